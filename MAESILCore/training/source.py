"""Sources of training samples, as a protocol; the trainer depends on nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window


@dataclass(frozen=True)
class SampleKey:
    """Identifies one sample of a training; equal keys give equal samples, so resuming is exact.

    Attributes:
        seed: seed of the run.
        step: optimiser step, from 0.
        index: position in the step's batch, over all processes.
    """

    seed: int
    step: int
    index: int

    @property
    def number(self) -> int:
        """A random seed from the key, from 0 to 2^63 - 1, for what is drawn beside the sample."""
        text = f"{self.seed} {self.step} {self.index}".encode("ascii")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class Sample:
    """One training sample.

    Attributes:
        voxels: (K, J, I) float32 in [0, 1], whole patches.
        stages: (Dk, Dj, Di) uint8, see `Mask.stages`; None to hide nothing.
        start: position of the first patch in a superpatch, along k, j, i, in patches.
        spacing: mm along k, j, i.
        scan: name of the scan that it was drawn from.
        corner: its first voxel in the scan, along k, j, i.
    """

    voxels: np.ndarray
    stages: np.ndarray | None
    start: tuple[int, int, int]
    spacing: tuple[float, float, float]
    scan: str = ""
    corner: tuple[int, ...] = ()

    def cropped(self, shape: Sequence[int]) -> Sample:
        """The first voxels along each axis; `shape` must be whole patches."""
        stages = self.stages
        if stages is not None:
            sizes = zip(shape, stages.shape, self.voxels.shape, strict=True)
            stages = _first(stages, [size * patches // extent for size, patches, extent in sizes])
        return replace(self, voxels=_first(self.voxels, shape), stages=stages)


def _first(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    return np.ascontiguousarray(array[tuple(slice(size) for size in shape)])


class SampleSource(Protocol):
    """Draws samples; each is a pure function of its key."""

    def __len__(self) -> int:
        """Number of scans or other items."""

    def describe(self) -> str:
        """The items in the order used by `draw`, as JSON: [[name, [k, j, i]], ...], one per line.

        A run stores it and resumes only with a source of the same items (see `split.check_same`).
        """

    def draw(self, key: SampleKey) -> Sample:
        """The sample of a key."""


class Shown(NamedTuple):
    """What previews show.

    Attributes:
        part: the part of a scan.
        window: that of the whole scan for scans without HU; None is the model's.
    """

    part: Volume
    window: Window | None = None


@dataclass(frozen=True)
class TrainingData:
    """All samples of a training.

    Attributes:
        training: the source of training samples.
        validation: samples that never change; empty for no validation.
        left_out: unused scans and entries with reasons, as fields of events.
        preview: reads the part of a scan that previews show; None for no previews.
    """

    training: SampleSource
    validation: Sequence[Sample] = ()
    left_out: Sequence[Mapping[str, str]] = ()
    preview: Callable[[], Shown] | None = None


@dataclass(frozen=True)
class Opening:
    """What the trainer passes to the function that opens its data.

    Attributes:
        before: `SampleSource.describe` of the run's first source; None for a run without a step.
        report: callback for progress sentences; may raise to stop.
        rank: rank of this process.
        share: broadcasts the argument of the first process to all processes.
    """

    before: str | None
    report: Callable[[str], None]
    rank: int
    share: Callable[[object], object]
