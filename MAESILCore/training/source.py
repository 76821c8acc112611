"""Where training examples come from: the trainer knows this protocol alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class SampleKey:
    """Names one example of a training; the same key gives the same example, so resuming is exact.

    Attributes:
        seed: of the run.
        step: optimiser step, from 0.
        rank: number of the process that draws it.
        index: place in the step's whole batch, over all processes.
    """

    seed: int
    step: int
    rank: int
    index: int


@dataclass(frozen=True)
class Sample:
    """One training example.

    Attributes:
        voxels: (K, J, I) float32 in [0, 1], whole patches.
        stages: (Dk, Dj, Di) uint8, see `Mask.stages`; None if nothing is to be hidden.
        start: place of the first patch inside a superpatch, along k, j, i.
        spacing: mm along k, j, i.
    """

    voxels: np.ndarray
    stages: np.ndarray | None
    start: tuple[int, int, int]
    spacing: tuple[float, float, float]

    def cropped(self, shape: Sequence[int]) -> Sample:
        """The first voxels along every axis; `shape` is whole patches."""
        stages = self.stages
        if stages is not None:
            sizes = zip(shape, stages.shape, self.voxels.shape, strict=True)
            stages = _first(stages, [size * patches // extent for size, patches, extent in sizes])
        return replace(self, voxels=_first(self.voxels, shape), stages=stages)


def _first(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    return np.ascontiguousarray(array[tuple(slice(size) for size in shape)])


class SampleSource(Protocol):
    """Draws examples; every one is a pure function of its key."""

    def __len__(self) -> int:
        """How many scans, or other items, the examples come from."""

    def describe(self) -> str:
        """The items in the order that matters to `draw`, as JSON: [[name, [k, j, i]], ...], one a line.

        A run keeps it, and is resumed only with a source that says the same (see `split.check_same`).
        """

    def draw(self, key: SampleKey) -> Sample:
        """The example of a key."""


@dataclass(frozen=True)
class TrainingData:
    """All examples of a training.

    Attributes:
        training: what it learns from.
        validation: examples that never change; none, no validation.
        left_out: what is not used, each with a reason, as fields of an event.
    """

    training: SampleSource
    validation: Sequence[Sample] = ()
    left_out: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True)
class Opening:
    """What the trainer offers to those who open its data.

    Attributes:
        before: `SampleSource.describe` of the source that the run began with; None for a run without a step.
        note: takes a sentence on what is being done; may raise to stop.
        rank: number of this process.
        share: gives what the first process passes in to all processes.
    """

    before: str | None
    note: Callable[[str], None]
    rank: int
    share: Callable[[object], object]
