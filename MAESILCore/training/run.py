"""A run: the folder of one pre-training, the only place where its state lives."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from MAESILCore.errors import CheckpointError, ConfigError
from MAESILCore.models.checkpoint import SUFFIX, Card, load_tensors, read_card, save_checkpoint
from MAESILCore.training.config import PretrainConfig, dump_config, load_config

CONFIG = "config.yaml"
EVENTS = "events.jsonl"
MODEL = f"model{SUFFIX}"
SCANS = "scans.json"


class Run:
    """A run folder.

    `config.yaml`, `scans.json` (names and extents of the scans that it trains on), `events.jsonl` (one JSON object a
    line, only ever appended to), `checkpoints/`. Scans appear by their path below the folder only, never by anything
    in their headers. Of several processes that share a run (torchrun) only the first one writes.

    Attributes:
        folder: where it is.
        writes: whether this process is the one that writes.
        new: whether it was created, not opened.
    """

    def __init__(self, folder: Path, new: bool) -> None:
        self.folder = folder
        self.new = new
        self.writes = os.environ.get("RANK", "0") == "0"

    @classmethod
    def create(cls, folder: str | Path) -> Run:
        """Take a folder that is empty or not there for a new run, which exists from `begin` on.

        Raises:
            ConfigError: the folder already holds something, or cannot be written.
        """
        folder = Path(folder)
        run = cls(folder, new=True)
        if not run.writes:
            return run
        if (folder / CONFIG).exists():
            message = (
                f"{folder} already holds a run; add --resume to go on with it, or choose another folder."
            )
            raise ConfigError(message)
        try:
            if folder.exists() and any(folder.iterdir()):
                message = f"{folder} is not empty; choose another folder for the run."
                raise ConfigError(message)
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):  # better now than after all scans were read
                pass
        except OSError as error:
            message = f"The run folder {folder} cannot be written: {error.strerror}."
            raise ConfigError(message) from error
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open an existing run.

        Raises:
            ConfigError: there is none.
        """
        folder = Path(folder)
        if not (folder / CONFIG).is_file():
            message = (
                f"{folder} holds no run to resume ({CONFIG} is missing); leave out --resume to start one."
            )
            raise ConfigError(message)
        return cls(folder, new=False)

    def begin(self, config: PretrainConfig, scans: str) -> None:
        """Write the recipe and the scans that the run is trained on from here."""
        self._write(SCANS, scans)
        self._write(CONFIG, dump_config(config))

    def discard_unless_used(self) -> None:
        """Remove what a new run wrote when no step of it is in a checkpoint; other files in the folder stay."""
        if not (self.new and self.writes):
            return
        checkpoints = self._checkpoints()
        if any(_step_of(path) > 0 for path in checkpoints):
            return
        for path in (*(self.folder / name for name in (CONFIG, EVENTS, SCANS)), *checkpoints):
            path.unlink(missing_ok=True)
        for folder in (self.folder / "checkpoints", self.folder):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def config(self, overrides: dict[str, Any] | None = None) -> PretrainConfig:
        """The recipe of the run, with single values laid over it.

        Raises:
            ConfigError: a value does not fit.
        """
        return load_config(self.folder / CONFIG, overrides)

    def scans(self) -> str | None:
        """What `begin` was told; None for a run that is new or of a MAESIL that did not write it down."""
        path = self.folder / SCANS
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def model_after(self, steps: int) -> Path | None:
        """The final model of a run that ended with this step; None for any other run."""
        checkpoints, path = self._checkpoints(), self.folder / MODEL
        try:
            both = {read_card(one).step for one in (*checkpoints[-1:], path)}
        except CheckpointError:  # it ended before it wrote the model, or one of them is damaged
            return None
        return path if checkpoints and both == {steps} else None

    def event(self, kind: str, **fields: object) -> None:
        """Append one event with the time of day in seconds since 1970."""
        if not self.writes:
            return
        line = json.dumps({"time": round(time.time(), 3), "event": kind, **fields})
        with open(self.folder / EVENTS, "a", encoding="utf-8") as stream:
            stream.write(line + "\n")

    def save(self, step: int, tensors: dict[str, torch.Tensor], card: Card, keep: int) -> None:
        """Write the checkpoint of a step and drop all but the newest `keep`."""
        if not self.writes:
            return
        path = self.folder / "checkpoints" / f"step-{step:08d}{SUFFIX}"
        save_checkpoint(path, tensors, card)
        self.event("checkpoint", step=step, file=path.name)
        for old in self._checkpoints()[:-keep]:
            try:
                old.unlink(missing_ok=True)
            except (
                OSError
            ) as error:  # on Windows a file that someone reads stays; the next time finds it again
                self.event("not_removed", file=old.name, reason=str(error.strerror))

    def load_latest(
        self, note: Callable[[str], None] = lambda _: None
    ) -> tuple[int, dict[str, torch.Tensor]] | None:
        """Step and tensors of the newest checkpoint that can be read; None for a run without one.

        One that is damaged is set aside as `*.damaged`, so that it is not taken for the newest again.

        Args:
            note: told in a sentence about every damaged one.

        Raises:
            CheckpointError: there are some, and none can be read.
        """
        failed: list[tuple[Path, CheckpointError]] = []
        for path in reversed(self._checkpoints()):
            try:
                step, tensors = read_card(path).step, load_tensors(path, "")
            except CheckpointError as error:
                failed.append((path, error))
                continue
            for damaged, reason in failed:
                self._set_aside(damaged, str(reason))
                note(f"{reason} Going on from {path.name}.")
            # What is read is the mapped file, which Windows would not let go of while the run lasts.
            return step, {name: tensor.clone() for name, tensor in tensors.items()}
        if failed:
            raise failed[0][1]
        return None

    def _set_aside(self, path: Path, reason: str) -> None:
        if not self.writes:
            return
        path.replace(path.with_name(path.name + ".damaged"))
        self.event("damaged", file=path.name, reason=reason)

    def _write(self, name: str, text: str) -> None:
        """Replace a file, all of it or nothing."""
        if not self.writes:
            return
        temporary = self.folder / f".{name}.tmp"
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, self.folder / name)

    def _checkpoints(self) -> list[Path]:
        return sorted((self.folder / "checkpoints").glob("step-*" + SUFFIX))


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.stem.removeprefix("step-"))
