"""Measures the grid artefact of patch-wise models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from MAESILCore.lattice import SuperpatchGrid


@dataclass(frozen=True)
class Steps:
    """Steps across patch borders relative to steps inside hidden patches.

    A step is the absolute difference of two neighbouring voxels. Each value is a ratio of two means per axis, averaged
    over the axes, since slices may be farther apart than voxels in them. None if there are no such borders, or only
    flat patches.

    Attributes:
        between_hidden: steps between two hidden patches: the grid of the model's output.
        at_seams: steps between a hidden and a visible patch.
    """

    between_hidden: float | None
    at_seams: float | None


def measure_steps(unit: np.ndarray, hidden: np.ndarray, grid: SuperpatchGrid) -> Steps:
    """Measure the steps of a volume with predicted patches.

    Args:
        unit: (k, j, i) in [0, 1].
        hidden: (k, j, i) bool, whole patches.
        grid: the grid of the patches.
    """
    axes = [_measure_axis(unit, hidden, axis, grid.patch_size[axis]) for axis in range(3)]
    return Steps(_mean([between for between, _ in axes]), _mean([seam for _, seam in axes]))


def _measure_axis(
    unit: np.ndarray, hidden: np.ndarray, axis: int, patch: int
) -> tuple[float | None, float | None]:
    unit, hidden = np.moveaxis(unit, axis, 0), np.moveaxis(hidden, axis, 0)
    inside, between, seams = _Mean(), _Mean(), _Mean()
    for place in range(1, len(unit)):
        step = np.abs(unit[place] - unit[place - 1])
        if place % patch:
            inside.add(step[hidden[place]])
        else:
            between.add(step[hidden[place] & hidden[place - 1]])
            seams.add(step[hidden[place] ^ hidden[place - 1]])
    return between.over(inside), seams.over(inside)


class _Mean:
    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, values: np.ndarray) -> None:
        self.total += float(values.sum(dtype=np.float64))
        self.count += values.size

    def over(self, other: _Mean) -> float | None:
        if not self.count or not other.total:
            return None
        return (self.total / self.count) / (other.total / other.count)


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None
