"""The checkpoints of a run: written whole, rotated, the best one kept, damaged ones set aside."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import torch

from MAESILCore.errors import CheckpointError
from MAESILCore.files import sync_folder, write_whole
from MAESILCore.jobfolder import Event
from MAESILCore.methods.scores import deciding_score
from MAESILCore.models.card import SUFFIX, Card, read_card
from MAESILCore.models.checkpoint import load_tensors, save_checkpoint


class Owner(Protocol):
    """The run of the checkpoints."""

    writes: bool

    def write(self, event: Event) -> None:
        """Append one event."""

    def sync_events(self) -> None:
        """Wait until the disk has all events."""

    def check_lock(self) -> None:
        """Raise an error if another process has taken over the run."""


class Checkpoints:
    """The folder `checkpoints` of a run.

    Args:
        folder: the folder, which may not exist yet.
        run: the run.
    """

    def __init__(self, folder: Path, run: Owner) -> None:
        self.folder, self._run = folder, run

    def paths(self) -> list[Path]:
        """All checkpoints but the best one, oldest first, readable or not."""
        return sorted(self.folder.glob("step-*" + SUFFIX))

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
        if not self._run.writes:
            return
        self._run.check_lock()
        path = self.folder / f"step-{step:08d}{SUFFIX}"
        save_checkpoint(path, tensors, card)
        if best:
            self._keep_best(path)
        fields = {"file": path.name, "seconds": round(seconds, 4), "best": best}
        self._run.write(Event("checkpoint", step=step, fields=fields))
        self._run.sync_events()
        self._rotate(keep)

    def complete(self, keep: int) -> None:
        """Do what a kill after the writing of a checkpoint left undone; see `save`."""
        if self._run.writes:
            for path in self.paths():
                if _score_of(path) > self.best_score():
                    self._keep_best(path)
            self._rotate(keep)

    def _keep_best(self, path: Path) -> None:
        try:
            _link(path, self.best)
        except (
            OSError
        ) as error:  # Windows keeps a file that is being read; the next best score or resume retries
            self._run.write(
                Event("not_removed", fields={"file": self.best.name, "reason": str(error.strerror)})
            )

    def _rotate(self, keep: int) -> None:
        for old in self.paths()[:-keep]:
            try:
                old.unlink(missing_ok=True)
            except OSError as error:  # Windows keeps a file that is being read; the next call retries
                fields = {"file": old.name, "reason": str(error.strerror)}
                self._run.write(Event("not_removed", fields=fields))

    @property
    def best(self) -> Path:
        """The checkpoint with the best first score of validation; missing before the first validation."""
        return self.folder / f"best{SUFFIX}"

    def best_score(self) -> float:
        """The first score of `best`; minus infinity if there is none."""
        return _score_of(self.best)

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
        for path in (*reversed(self.paths()), *last_resort):
            try:
                step, tensors = read_card(path).step, load_tensors(path, "")
            except CheckpointError as error:
                failed.append((path, error))
                continue
            for damaged, reason in failed:
                if self._run.writes:
                    damaged.replace(damaged.with_name(damaged.name + ".damaged"))
                self._run.write(Event("damaged", fields={"file": damaged.name, "reason": str(reason)}))
                report(f"{reason} Continuing from {path.name}.")
            # Clone the memory-mapped tensors: Windows would lock the file for the whole run.
            return step, {name: tensor.clone() for name, tensor in tensors.items()}
        if failed:
            names = ", ".join(path.name for path, _ in failed)
            raise CheckpointError(
                f"All checkpoints of the run are damaged ({names}); restore one from a backup, or start a new run. "
                f"({failed[0][1]})"
            )
        return None


def _score_of(path: Path) -> float:
    """The deciding score in a card; minus infinity for an unreadable checkpoint, or one without a validation."""
    with suppress(CheckpointError):
        return deciding_score(dict(read_card(path).training.get("validation", {})))
    return -math.inf


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


def step_of(checkpoint: Path) -> int:
    """The step of a checkpoint, from its name."""
    return int(checkpoint.stem.removeprefix("step-"))
