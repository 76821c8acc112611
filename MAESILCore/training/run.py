"""A run: the folder with the whole state of one pre-training."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from MAESILCore.errors import Cancelled, CheckpointError, ConfigError, MaesilError
from MAESILCore.files import UNFINISHED, sync_folder, write_whole
from MAESILCore.jobfolder import Event, EventCallback, JobFolder, message_of
from MAESILCore.jobfolder.folder import CANCEL, EVENTS, JOB, LOCK, LOG
from MAESILCore.models.card import SUFFIX, Card, read_card
from MAESILCore.models.checkpoint import load_tensors, save_checkpoint
from MAESILCore.training.config import PretrainConfig, dump_config, load_config

#: The kind of job in `job.json`.
KIND = "pretraining"
CONFIG = "config.yaml"
MODEL = f"model{SUFFIX}"
SCANS = "scans.json"
CHECKPOINTS = "checkpoints"


class Run:
    """A run folder, which is also a job folder.

    It holds `config.yaml`, `scans.json` (names and shapes of the training scans), `checkpoints/`, and the files of
    `JobFolder`. Scans are named by their path below the folder, never by their headers. Under torchrun only the first
    process writes.

    Attributes:
        folder: the path of the folder.
        job: the folder as a `JobFolder`.
        writes: whether this process writes.
        request: the request for `job.json`, so that the run can be resumed without it; None keeps the file's.
    """

    def __init__(self, folder: Path, new: bool) -> None:
        self.folder = folder
        self.job = JobFolder(folder)
        self.writes = os.environ.get("RANK", "0") == "0"
        self.request: Mapping[str, Any] | None = None
        self._emit: EventCallback | None = None
        self._begun = not new
        self._step = 0

    @classmethod
    def create(cls, folder: str | Path) -> Run:
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
            message = f"The run folder {folder} cannot be written: {error.strerror}."
            raise ConfigError(message) from error
        return run

    def _take_place(self) -> None:
        """Replace a run that ended before its first step."""
        checkpoints = self._checkpoints()
        if any(map(_step_of, checkpoints)) or self.job.state() not in ("failed", "cancelled"):
            raise ConfigError(
                f"{self.folder} already holds a run; add --resume to continue it, or choose another folder."
            )
        for path in checkpoints:  # the initial weights of the old run
            path.unlink()
        self._begun = True

    @classmethod
    def open(cls, folder: str | Path) -> Run:
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
    def prepared(cls, job: JobFolder, emit: EventCallback | None, request: Mapping[str, Any]) -> Run:
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
        return bool(self._checkpoints())

    @contextmanager
    def working(self, config: PretrainConfig) -> Iterator[None]:
        """Hold the run's lock during the block, and write a last event if it raises.

        A new run that fails with a `MaesilError` before `begin` leaves no files. After any other error `config.yaml`
        and the events remain.

        Raises:
            ConfigError: another process works in the folder.
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
                try:
                    yield
                except BaseException as error:
                    self._record(error, config)
                    raise
                finally:
                    self.job.withdraw()
        finally:
            if not self._begun and not any(self.folder.iterdir()):
                self.folder.rmdir()

    def _record(self, error: BaseException, config: PretrainConfig) -> None:
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

    def begin(self, config: PretrainConfig, scans: str) -> None:
        """Write the recipe and the inventory of the training scans."""
        if not self.writes:
            return
        if self.request is not None or not self.job.is_described:
            self.job.describe(KIND, self.request or {})
        self._write(SCANS, scans)
        self._write(CONFIG, dump_config(config))
        self._begun = True

    def config(self, overrides: dict[str, Any] | None = None) -> PretrainConfig:
        """The recipe of the run, with top-level fields replaced by `overrides`.

        Raises:
            ConfigError: a value is invalid.
        """
        return load_config(self.folder / CONFIG, overrides)

    def scans(self) -> str | None:
        """The inventory given to `begin`; None for new runs and for runs of versions that did not store it."""
        path = self.folder / SCANS
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def model_after(self, steps: int) -> Path | None:
        """The final model of a run that finished at this step; None for any other run."""
        checkpoints, path = self._checkpoints(), self.folder / MODEL
        try:
            both = {read_card(one).step for one in (*checkpoints[-1:], path)}
        except CheckpointError:  # the model is missing, or a file is damaged
            return None
        return path if checkpoints and both == {steps} else None

    def write(self, event: Event) -> None:
        """Append one event; see `MAESILCore.jobfolder.events` for the names."""
        if self.writes:
            self._step = max(self._step, event.step)
            (self._emit or self.job.write)(event)

    def finish(self, step: int) -> None:
        """Write the last event; the final model must be written."""
        self.write(Event("finished", step=step, fields={"model": MODEL}))

    def conclude(self, config: PretrainConfig) -> None:
        """Write the last event of a run that was killed after its final model was written."""
        if not self.writes or self._emit is not None:  # the worker of a job writes its last event
            return
        last = self.job.last_event()
        if last is None or last.event != "finished":
            with self.working(config):
                self.finish(config.steps)

    def save(
        self,
        step: int,
        tensors: dict[str, torch.Tensor],
        card: Card,
        keep: int,
        *,
        best: bool = False,
        seconds: float = 0.0,
    ) -> None:
        """Write the checkpoint of a step and remove all but the newest `keep`; `Saver` calls it in a thread.

        Args:
            step: number of optimiser steps taken.
            tensors: the state, from `state.pack`.
            card: the card of this step.
            keep: number of checkpoints to keep, beside the best one.
            best: whether this is the best state by validation so far, kept as `best.safetensors`.
            seconds: how long the training stood still for it.

        Raises:
            CheckpointError: the file cannot be written.
            ConfigError: another process has taken over the run.
        """
        if not self.writes:
            return
        if self.job.lock.is_lost:
            message = f"Another process has taken over the run in {self.folder}; this one ends."
            raise ConfigError(message)
        path = self.folder / CHECKPOINTS / f"step-{step:08d}{SUFFIX}"
        save_checkpoint(path, tensors, card)
        if best:
            _link(path, self.best)
        fields = {"file": path.name, "seconds": round(seconds, 4), "best": best}
        self.write(Event("checkpoint", step=step, fields=fields))
        for old in self._checkpoints()[:-keep]:
            try:
                old.unlink(missing_ok=True)
            except OSError as error:  # Windows keeps a file that is being read; the next call retries
                fields = {"file": old.name, "reason": str(error.strerror)}
                self.write(Event("not_removed", fields=fields))

    @property
    def best(self) -> Path:
        """The checkpoint with the best first score of validation; missing before the first validation."""
        return self.folder / CHECKPOINTS / f"best{SUFFIX}"

    def best_score(self) -> float:
        """The first score of `best`; minus infinity if there is none."""
        with suppress(CheckpointError, AttributeError):
            return float(next(iter(read_card(self.best).training.get("validation", {}).values()), -math.inf))
        return -math.inf

    def load_latest(
        self, report: Callable[[str], None] = lambda _: None
    ) -> tuple[int, dict[str, torch.Tensor]] | None:
        """Step and tensors of the newest intact checkpoint; None for a run without one.

        Damaged checkpoints are renamed to `*.damaged`, so that they are skipped later. If all others are damaged, the
        best one is used.

        Args:
            report: callback for a sentence about each damaged checkpoint.

        Raises:
            CheckpointError: all checkpoints are damaged.
        """
        failed: list[tuple[Path, CheckpointError]] = []
        last_resort = [self.best] if self.best.is_file() else []
        for path in (*reversed(self._checkpoints()), *last_resort):
            try:
                step, tensors = read_card(path).step, load_tensors(path, "")
            except CheckpointError as error:
                failed.append((path, error))
                continue
            for damaged, reason in failed:
                if self.writes:
                    damaged.replace(damaged.with_name(damaged.name + ".damaged"))
                self.write(Event("damaged", fields={"file": damaged.name, "reason": str(reason)}))
                report(f"{reason} Continuing from {path.name}.")
            # Clone the memory-mapped tensors: Windows would lock the file for the whole run.
            return step, {name: tensor.clone() for name, tensor in tensors.items()}
        if failed:
            raise failed[0][1]
        return None

    def _write(self, name: str, text: str) -> None:
        with write_whole(self.folder / name) as unfinished, open(unfinished, "x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def _checkpoints(self) -> list[Path]:
        return sorted((self.folder / CHECKPOINTS).glob("step-*" + SUFFIX))

    def _clear(self) -> None:
        """Remove what killed processes left unfinished; the lock must be held."""
        for folder in (self.folder, self.folder / CHECKPOINTS):
            for left in folder.glob(f"{UNFINISHED}*"):
                shutil.rmtree(left, ignore_errors=True)


def _is_ours(path: Path) -> bool:
    """Whether a run writes such a file before its recipe."""
    return path.name in (JOB, EVENTS, LOG, CANCEL, LOCK, SCANS) or path.name.startswith(
        (UNFINISHED, f"{LOCK}.")
    )


def _link(path: Path, other: Path) -> None:
    """Give a file a second name, as a copy where the file system has no hard links."""
    with write_whole(other) as unfinished:
        try:
            os.link(path, unfinished)
        except OSError:
            shutil.copyfile(path, unfinished)
            with open(unfinished, "rb+") as file:
                os.fsync(file.fileno())
    sync_folder(other.parent)


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.stem.removeprefix("step-"))
