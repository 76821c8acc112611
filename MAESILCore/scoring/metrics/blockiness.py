"""The grid artefact of patch-wise models, as a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from MAESILCore.lattice import SuperpatchGrid


@dataclass(frozen=True)
class Steps:
    """How much larger steps across patch borders are than steps inside hidden patches.

    A step is the absolute difference of two neighbouring voxels. Each value is a ratio of two means, taken along every
    axis by itself and then averaged, since slices may be farther apart than voxels in them. None where it is
    not defined: no such borders, or nothing but flat patches.

    Attributes:
        between_hidden: across borders of two hidden patches: the model's own grid.
        at_seams: across borders of a hidden and a visible patch.
    """

    between_hidden: float | None
    at_seams: float | None


def measure_steps(unit: np.ndarray, hidden: np.ndarray, grid: SuperpatchGrid) -> Steps:
    """Measure the steps of a volume whose hidden patches were filled in.

    Args:
        unit: (k, j, i).
        hidden: (k, j, i) bool, whole patches.
        grid: whose patches are meant.
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
