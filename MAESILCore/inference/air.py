"""Patches that hold only air, judged by the visible patches; they need no network pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from MAESILCore.data.window import Window
from MAESILCore.lattice import SuperpatchGrid

#: An array or a tensor.
Values = TypeVar("Values", bound=Any)

#: Neighbourhood that must be air: patches on each side.
_REACH = 2

#: Limits of an air patch: its mean and its largest voxel above the floor of the window, as shares of the window.
#: In a window of 2000 HU they are 20 HU and 100 HU, which allows noise, but not cloth or foam.
_MEAN, _PEAK = 0.01, 0.05


@dataclass(frozen=True, eq=False)
class PatchLevels:
    """Each patch's mean and largest voxel in the window, from 0 to 1, both (Dk, Dj, Di) float32."""

    mean: np.ndarray
    peak: np.ndarray

    @classmethod
    def of(cls, voxels: np.ndarray, window: Window, grid: SuperpatchGrid) -> PatchLevels:
        """Measure a volume (k, j, i), one row of patches at a time."""
        mean, peak = (np.empty(grid.lattice_shape, dtype=np.float32) for _ in range(2))
        _, columns, layers = grid.lattice_shape
        pk, pj, pi = grid.patch_size
        for row, (box, _) in enumerate(grid.rows()):
            slab = window.apply(grid.cut_box(voxels, box))
            sums, peaks = slab.sum(axis=0), slab.max(axis=0)
            mean[row] = sums.reshape(columns, pj, layers, pi).sum(axis=(1, 3)) / (pk * pj * pi)
            peak[row] = peaks.reshape(columns, pj, layers, pi).max(axis=(1, 3))
        return cls(mean, peak)

    @property
    def above_air(self) -> np.ndarray:
        """The patches that hold more than air themselves, (Dk, Dj, Di) bool."""
        return is_above_air(self.mean, self.peak)


def is_above_air(mean: Values, peak: Values) -> Values:
    """Whether boxes hold more than air, as bool.

    Args:
        mean: the mean of each box in the window, from 0 to 1, an array or tensor of any shape.
        peak: its largest voxel.
    """
    return (mean > _MEAN) | (peak > _PEAK)


def holds_more_than_air(voxels: np.ndarray, window: Window, grid: SuperpatchGrid) -> np.ndarray:
    """The patches of a volume (k, j, i) that hold more than air, (Dk, Dj, Di) bool."""
    return PatchLevels.of(voxels, window, grid).above_air


@dataclass(frozen=True, eq=False)
class Content:
    """Patches that hold more than air, judged by the visible patches alone.

    A patch is air if all visible patches in its neighbourhood (two patches on each side) are air, and if each patch of
    that neighbourhood has a visible patch in its own. Hidden patches have no influence.

    Attributes:
        present: (Dk, Dj, Di) bool, False for air.
        air: (Dk, Dj, Di) float32 in [0, 1]: mean of the visible patches around; valid only in air.
    """

    present: np.ndarray
    air: np.ndarray

    @classmethod
    def of(cls, levels: PatchLevels, hidden: np.ndarray) -> Content:
        """Judge a volume under a mask; `hidden` is (Dk, Dj, Di) bool."""
        from scipy.ndimage import maximum_filter, uniform_filter

        width = 2 * _REACH + 1

        def around(patches: np.ndarray) -> np.ndarray:
            return np.asarray(maximum_filter(patches, width, mode="constant", cval=False))

        holds = ~hidden & levels.above_air
        unknown = ~around(~hidden)
        share = uniform_filter((~hidden).astype(np.float64), width, mode="constant")
        total = uniform_filter(np.where(hidden, 0.0, levels.mean), width, mode="constant")
        air = np.clip(total / np.maximum(share, width**-4), 0.0, 1.0)
        return cls(around(holds | unknown), air.astype(np.float32))
