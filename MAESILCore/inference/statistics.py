"""Mean and standard deviation of predictions for a volume under several masks."""

from __future__ import annotations

import numpy as np

from MAESILCore.lattice import SuperpatchGrid


class RunningStatistics:
    """Running mean and variance of a volume, patch by patch (Welford 1962, Technometrics 4:419).

    Only the patches that `add` counts are updated, so predictions of visible patches have no effect.
    """

    def __init__(self, grid: SuperpatchGrid) -> None:
        """Start empty, for a volume divided by `grid`."""
        self._grid = grid
        self._times = np.zeros(grid.lattice_shape, dtype=np.int32)
        self._mean = np.zeros(grid.shape, dtype=np.float32)
        self._squares = np.zeros(grid.shape, dtype=np.float32)

    def add(self, prediction: np.ndarray, counted: np.ndarray) -> None:
        """Add one prediction.

        Args:
            prediction: (k, j, i) float32; overwritten.
            counted: (Dk, Dj, Di) bool, the patches to update.
        """
        self._times += counted
        share = np.where(counted, 1.0 / np.maximum(self._times, 1), 0.0).astype(np.float32)
        repeated = ((self._times - 1) * counted).astype(np.float32)
        for box, slab in self._grid.rows():
            difference, mean = prediction[slab], self._mean[slab]
            difference -= mean
            step = difference * self._grid.expand(share[box.slices], box)
            mean += step
            # (x - old mean) * (x - new mean), with step = new mean - old mean; 0 for patches not counted.
            step *= self._grid.expand(repeated[box.slices], box)
            step *= difference
            self._squares[slab] += step

    @property
    def mean(self) -> np.ndarray:
        """(k, j, i) float32; 0 for patches never counted."""
        return self._mean

    def deviation(self) -> np.ndarray:
        """Standard deviation over the counted predictions (dividing by their number), (k, j, i) float32.

        It overwrites the sums: `add` must not be called afterwards.
        """
        times = np.maximum(self._times, 1).astype(np.float32)
        for box, slab in self._grid.rows():
            self._squares[slab] /= self._grid.expand(times[box.slices], box)
        return np.sqrt(self._squares, out=self._squares)
