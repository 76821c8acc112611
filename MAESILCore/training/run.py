"""A run: the folder with the whole state of one pre-training."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel

from MAESILCore.errors import Cancelled, CheckpointError, ConfigError, MaesilError
from MAESILCore.files import UNFINISHED, why_unwritable, write_whole
from MAESILCore.jobfolder import Event, EventCallback, JobFolder, message_of
from MAESILCore.jobfolder.folder import CANCEL, CONFIG, ENVIRONMENT, EVENTS, JOB, LOCK, LOG, PREVIEWS, SCANS
from MAESILCore.models.card import read_card
from MAESILCore.models.catalogue import CHECKPOINTS, FINAL
from MAESILCore.models.sealed import check_seal
from MAESILCore.training.checkpoints import Checkpoints, step_of
from MAESILCore.training.config import PretrainConfig, dump_config, load_config, read_recipe
from MAESILCore.training.environment import extended
from MAESILCore.training.sizes import changed_sizes

#: The kind of job in `job.json`.
KIND = "pretraining"


class Run:
    """A run folder, which is also a job folder.

    It holds `config.yaml`, `scans.json` (names and shapes of the training scans), `environment.json`, `checkpoints/`,
    `previews/`, and the files of `JobFolder`. Scans are named by their path below the folder, never by their headers.
    Under torchrun only the first process writes.

    Attributes:
        folder: the path of the folder.
        job: the folder as a `JobFolder`.
        checkpoints: the folder of the checkpoints.
        writes: whether this process writes.
        request: the request for `job.json`, so that the run can be resumed without it; None keeps the file's.
        kind: the kind of job in `job.json`.
    """

    kind: ClassVar[str] = KIND

    def __init__(self, folder: Path, new: bool) -> None:
        self.folder = folder
        self.job = JobFolder(folder)
        self.checkpoints = Checkpoints(folder / CHECKPOINTS, self)
        self.writes = os.environ.get("RANK", "0") == "0"
        self.request: Mapping[str, Any] | None = None
        self._emit: EventCallback | None = None
        self._begun = not new
        self._step = 0

    @classmethod
    def create(cls, folder: str | Path) -> Self:
        """Prepare a folder for a new run, which starts with `begin`.

        The folder must be empty, missing, or hold a run that ended before its first step or before its recipe was
        written. The new run replaces such a run and keeps its events.

        Raises:
            ConfigError: the folder holds other files, or cannot be written.
        """
        folder = Path(folder)
        run = cls(folder, new=True)
        if not run.writes:
            return run
        if (folder / CONFIG).exists():
            run._take_place()
            return run
        try:
            if folder.exists() and not all(map(_is_ours, folder.iterdir())):
                raise ConfigError(f"{folder} is not empty; choose another folder for the run.")
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):  # fail before all scans are read
                pass
        except OSError as error:
            message = f"The run folder {folder} cannot be written: {why_unwritable(folder, error)}."
            raise ConfigError(message) from error
        return run

    def _take_place(self) -> None:
        """Replace a run that ended before its first step."""
        checkpoints = self.checkpoints.paths()
        if any(map(step_of, checkpoints)) or self.job.state() not in ("failed", "cancelled"):
            raise ConfigError(
                f"{self.folder} already holds a run; add --resume to continue it, or choose another folder."
            )
        for path in checkpoints:  # the initial weights of the old run
            path.unlink()
        self._begun = True

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open an existing run.

        Raises:
            ConfigError: the folder holds no run.
        """
        folder = Path(folder)
        if not (folder / CONFIG).is_file():
            raise ConfigError(
                f"{folder} holds no run to resume ({CONFIG} is missing); omit --resume to start one."
            )
        return cls(folder, new=False)

    @classmethod
    def prepared(cls, job: JobFolder, emit: EventCallback | None, request: Mapping[str, Any]) -> Self:
        """The run of a job, new or with steps. Its folder and events remain, however the run ends.

        Args:
            job: the job folder; its lock may be held.
            emit: writes the events; None appends them to the folder.
            request: see `request`.
        """
        run = cls(job.path, new=False)
        run.job, run._emit, run.request = job, emit, request
        return run

    @property
    def is_new(self) -> bool:
        """Whether the run has no recipe yet."""
        return not (self.folder / CONFIG).is_file()

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to resume from, readable or not."""
        return bool(self.checkpoints.paths())

    @property
    def lost(self) -> str:
        """A sentence on a run that has taken steps but has no checkpoint; "" for any other run."""
        last = self.job.last_event()
        if self.has_checkpoint or last is None or not last.step:
            return ""
        return f"The run has taken {last.step} steps, but has no checkpoint: it starts again from its first step."

    @contextmanager
    def working(self, config: BaseModel) -> Iterator[None]:
        """Hold the run's lock during the block, and write a last event if it raises.

        A new run that fails with a `MaesilError` before `begin` leaves no files. After any other error `config.yaml`
        and the events remain.

        Raises:
            ConfigError: another process works in the folder, or the folder was moved or removed during the block.
        """
        if not self.writes:
            yield
            return
        self.folder.mkdir(exist_ok=True)
        try:
            with self.job.lock:
                self.job.withdraw()
                self._clear()
                if (previous := self.job.lock.previous) is not None:
                    message = f"The lock of process {previous.pid}, which has ended, was taken over."
                    self.write(Event("log", message))
                if self.lost:
                    self.write(Event("log", self.lost))
                try:
                    yield
                except BaseException as error:
                    self._record(error, config)
                    if isinstance(error, FileNotFoundError) and not self.folder.is_dir():
                        message = (
                            f"The run folder {self.folder} was moved or removed while its process worked. If it was "
                            "moved, resume it at its new place; it continues from its last checkpoint."
                        )
                        raise ConfigError(message) from error
                    raise
                finally:
                    self.job.withdraw()
        finally:
            if not self._begun and not any(self.folder.iterdir()):
                self.folder.rmdir()

    def _record(self, error: BaseException, config: BaseModel) -> None:
        """Write the event for the error that ended the run."""
        if not self._begun and isinstance(error, MaesilError):
            (self.folder / EVENTS).unlink(missing_ok=True)
            return
        if isinstance(error, (Cancelled, KeyboardInterrupt)):
            end = Event("cancelled", str(error), self._step)
        else:
            end = Event("failed", message_of(error), self._step)
        # On a full disk nothing can be written; the caller still raises the error.
        with suppress(OSError):
            if not self._begun:
                self._begun = True
                self._write(CONFIG, dump_config(config))
            self.write(end)

    @property
    def is_cancelled(self) -> bool:
        """Whether the file `cancel` exists; always False in processes that do not write."""
        return self.writes and self.job.is_cancelled

    def begin(self, config: BaseModel, scans: str) -> None:
        """Write the recipe and the inventory of the training scans."""
        if not self.writes:
            return
        if self.request is not None or not self.job.is_described:
            self.job.describe(self.kind, self.request or {})
        self._write(SCANS, scans)
        self._write(CONFIG, dump_config(config))
        self._begun = True

    def write_environment(self, step: int, environment: dict[str, Any]) -> None:
        """Add what the run is computed with from a step on to `environment.json`; see `environment.extended`."""
        if self.writes:
            path = self.folder / ENVIRONMENT
            before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
            self._write(ENVIRONMENT, extended(before, step, environment))

    def config(self, overrides: dict[str, Any] | None = None) -> PretrainConfig:
        """The recipe of the run, with top-level fields replaced by `overrides`.

        Raises:
            ConfigError: a value is invalid, or the file was changed so that it no longer fits the checkpoints.
        """
        path = self.folder / CONFIG
        if not read_recipe(path):
            raise ConfigError(f"{path} is empty: restore it, or start a new run in another folder.")
        config = load_config(path, overrides)
        changes = changed_sizes(config, self.checkpoints.paths())
        if changes:
            raise ConfigError(
                f"{path} was changed after the run's checkpoints were written ({changes}): undo the change, or start a "
                "new run in another folder."
            )
        return config

    def scans(self) -> str | None:
        """The inventory given to `begin`; None for new runs and for runs of versions that did not store it."""
        path = self.folder / SCANS
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None

    def model_after(self, steps: int) -> Path | None:
        """The final model of a run that finished at this step; None for any other run."""
        checkpoints, path = self.checkpoints.paths(), self.folder / FINAL
        try:
            both = {read_card(one).step for one in (*checkpoints[-1:], path)}
            check_seal(path)
        except (CheckpointError, OSError):  # the model is missing, or a file is damaged
            return None
        return path if checkpoints and both == {steps} else None

    def crops_per_pass(self) -> int | None:
        """What `crops_per_pass: auto` found last; None if it has not been tried."""
        found = [
            event.fields["crops_per_pass"] for event in self.job.events() if "crops_per_pass" in event.fields
        ]
        return int(found[-1]) if found else None

    def write(self, event: Event) -> None:
        """Append one event; see `MAESILCore.jobfolder.events` for the names."""
        if self.writes:
            self._step = max(self._step, event.step)
            (self._emit or self.job.write)(event)

    def sync_events(self) -> None:
        """Wait until the disk has all events, so that no rows before a checkpoint are lost when the power fails."""
        with open(self.folder / EVENTS, "ab") as file:
            os.fsync(file.fileno())

    def check_lock(self) -> None:
        """Check that this process still has the run.

        Raises:
            ConfigError: another process has taken over the run.
        """
        if self.job.lock.is_lost:
            message = f"Another process has taken over the run in {self.folder}; this one ends."
            raise ConfigError(message)

    def finish(self, step: int) -> None:
        """Write the last event; the final model must be written."""
        self.write(Event("finished", f"Finished after {step} steps.", step, fields={"model": FINAL}))

    def conclude(self, config: PretrainConfig) -> None:
        """Write the last event of a run that was killed after its final model was written."""
        if not self.writes or self._emit is not None:  # the worker of a job writes its last event
            return
        last = self.job.last_event()
        if last is None or last.event != "finished":
            with self.working(config):
                self.finish(config.steps)

    def _write(self, name: str, text: str) -> None:
        with write_whole(self.folder / name) as unfinished, open(unfinished, "x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def _clear(self) -> None:
        """Remove what killed processes left unfinished; the lock must be held."""
        for folder in (self.folder, self.checkpoints.folder, self.folder / PREVIEWS):
            for left in folder.glob(f"{UNFINISHED}*"):
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    """Whether a run writes such a file before its recipe."""
    return path.name in (JOB, EVENTS, LOG, CANCEL, LOCK, SCANS, ENVIRONMENT) or path.name.startswith(
        (UNFINISHED, f"{LOCK}.")
    )
