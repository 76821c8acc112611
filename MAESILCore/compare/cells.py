"""The cells of a comparison: each is a run folder with its scores."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from MAESILCore.compare.config import CompareConfig
from MAESILCore.jobfolder.folder import EVENTS

#: The scores in the folder of a cell.
SCORES = "scores.json"


class Scored:
    """A run folder with scores beside its files."""

    folder: Path

    @property
    def is_done(self) -> bool:
        """Whether the cell has scores."""
        return (self.folder / SCORES).is_file()

    def scores(self) -> dict[str, Any] | None:
        """The result of the evaluation; None if there is none yet."""
        try:
            found: dict[str, Any] = json.loads((self.folder / SCORES).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return found


@dataclass(frozen=True)
class Cell(Scored):
    """One training of a comparison.

    Attributes:
        view: `steps` or `time`.
        row: a key of `CompareConfig.methods`.
        seed: seed of the training.
        folder: the folder of the run; its scores lie beside the run's files.
    """

    view: str
    row: str
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """Name for people."""
        return f"{self.row}, seed {self.seed}, equal {self.view}"

    def events(self) -> list[dict[str, Any]]:
        """The events of the run, oldest first."""
        return _events_of(self.folder)


def cells_of(config: CompareConfig, out: Path) -> Iterator[Cell]:
    """All cells, those of equal steps first and seed by seed, so that a stopped comparison has whole tables."""
    for view in sorted(config.views):
        for seed in config.seeds:
            for row in config.methods:
                yield Cell(view, row, seed, out / view / f"{row}-seed{seed}")


def seconds_per_step(cell: Cell) -> float | None:
    """The median duration of a step of a cell; see `seconds_of_step`."""
    return seconds_of_step(cell.folder)


def seconds_of_step(folder: Path) -> float | None:
    """The median duration of a step of a run, without validation and checkpoints; None for a run of one step."""
    steps = [event for event in _events_of(folder) if event["event"] in ("step", "validation", "checkpoint")]
    times = [
        after["time"] - before["time"]
        for before, after in pairwise(steps)
        if before["event"] == after["event"] == "step"
    ]
    return statistics.median(times) if times else None


def _events_of(folder: Path) -> list[dict[str, Any]]:
    """The events of a run, oldest first."""
    text = (folder / EVENTS).read_text(encoding="ascii")
    return [json.loads(line) for line in text.splitlines()]
