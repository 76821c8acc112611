"""Mean and spread of what a model predicts for one superpatch under several masks."""

from __future__ import annotations

import numpy as np

from MAESILCore.lattice import Triple


class RunningStatistics:
    """Running mean and variance of a superpatch, patch by patch (Welford 1962, Technometrics 4:419).

    Only patches that count move: a prediction made while a patch was visible leaves no trace.
    """

    def __init__(self, lattice_shape: Triple, patch_size: Triple) -> None:
        """Start with nothing seen of a superpatch of (Dk, Dj, Di) patches."""
        k, j, i = lattice_shape
        pk, pj, pi = patch_size
        self._shape = (k * pk, j * pj, i * pi)
        self._cubes = (k, pk, j, pj, i, pi)
        self._times = np.zeros(lattice_shape, dtype=np.int32)
        self._mean = np.zeros(self._cubes, dtype=np.float32)
        self._squares = np.zeros(self._cubes, dtype=np.float32)

    def add(self, prediction: np.ndarray, counted: np.ndarray) -> None:
        """Take in one prediction.

        Args:
            prediction: (K, J, I) float32.
            counted: (Dk, Dj, Di) bool, the patches for which it counts.
        """
        self._times += counted
        share = np.where(counted, 1.0 / np.maximum(self._times, 1), 0.0).astype(np.float32)
        difference = prediction.reshape(self._cubes) - self._mean
        step = difference * _per_voxel(share)
        self._mean += step
        # (x - old mean) * (x - new mean), with step = new mean - old mean; 0 for patches that do not count.
        step *= _per_voxel((self._times - 1) * counted)
        step *= difference
        self._squares += step

    @property
    def mean(self) -> np.ndarray:
        """(K, J, I) float32; 0 for patches that never counted."""
        return self._mean.reshape(self._shape)

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation over the counted predictions (dividing by their number), (K, J, I) float32."""
        variance = self._squares / _per_voxel(np.maximum(self._times, 1))
        return np.asarray(np.sqrt(variance).reshape(self._shape), dtype=np.float32)


def _per_voxel(lattice: np.ndarray) -> np.ndarray:
    """(Dk, Dj, Di) -> float32 that broadcasts over (Dk, pk, Dj, pj, Di, pi)."""
    return np.asarray(lattice[:, None, :, None, :, None], dtype=np.float32)
