"""Mean and standard deviation of predictions for a volume under several masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Planes that are updated at a time, to keep temporary arrays small.
_PLANES = 8


class RunningStatistics:
    """Running mean and variance of a volume, voxel by voxel (Welford 1962, Technometrics 4:419).

    Only the voxels that `add` counts are updated, so predictions of visible voxels have no effect.

    Attributes:
        times: (k, j, i) uint16, how often each voxel was counted.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        """Start empty, for a volume of this shape (k, j, i)."""
        self.times = np.zeros(shape, dtype=np.uint16)
        self._mean = np.zeros(shape, dtype=np.float32)
        self._squares = np.zeros(shape, dtype=np.float32)

    def add(self, prediction: np.ndarray, counted: np.ndarray) -> None:
        """Add one prediction.

        Args:
            prediction: (k, j, i) float32; overwritten.
            counted: (k, j, i) bool, the voxels to update.
        """
        self.times += counted
        for start in range(0, len(self.times), _PLANES):
            slab = slice(start, start + _PLANES)
            times = self.times[slab].astype(np.float32)
            difference, mean = prediction[slab], self._mean[slab]
            difference -= mean
            step = difference * (counted[slab] / np.maximum(times, 1.0))
            mean += step
            # (x - old mean) * (x - new mean), with step = new mean - old mean; 0 for voxels not counted.
            step *= times - 1.0
            step *= difference
            self._squares[slab] += step

    @property
    def mean(self) -> np.ndarray:
        """(k, j, i) float32; 0 for voxels never counted."""
        return self._mean

    def deviation(self) -> np.ndarray:
        """Standard deviation over the counted predictions (dividing by their number), (k, j, i) float32.

        It overwrites the sums: `add` must not be called afterwards.
        """
        for start in range(0, len(self.times), _PLANES):
            slab = slice(start, start + _PLANES)
            self._squares[slab] /= np.maximum(self.times[slab], 1)
        return np.sqrt(self._squares, out=self._squares)
