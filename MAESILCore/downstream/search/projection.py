"""What is compared of feature vectors: directions in which all axes of their variation count about alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MAESILCore.downstream.search.ranking import unit

#: Most axes; in the bundled model, those beyond have less than a ten-millionth of the largest variance.
MOST_AXES = 128
#: Least boxes for each axis: of fewer, all places would be about equally far from each other.
_BOXES_PER_AXIS = 10
#: What is added to the variance of an axis, as a share of the largest one, so that rounding is not blown up.
_FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class Projection:
    """A whitening (Jegou and Chum, ECCV 2012): deviations from a mean, along principal axes over their deviation.

    Without it, the two axes of largest variation alone decide about the cosine: how bright and how uniform a place is.

    Attributes:
        mean: (C,) float64.
        axes: (C, D) float32.
    """

    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def of_moments(cls, mean: np.ndarray, covariance: np.ndarray, count: int) -> Projection:
        """From the moments of some vectors.

        Args:
            mean: (C,).
            covariance: (C, C).
            count: number of vectors.
        """
        variances, axes = np.linalg.eigh(covariance)  # ascending
        variances, axes = np.maximum(variances[::-1], 0.0), axes[:, ::-1]
        kept = int(np.clip(count // _BOXES_PER_AXIS, 1, MOST_AXES))
        floor = max(_FLOOR * float(variances[0]), float(np.finfo(np.float32).tiny))
        scaled = axes[:, :kept] / np.sqrt(variances[:kept] + floor)
        return cls(mean.astype(np.float64), scaled.astype(np.float32))

    @classmethod
    def of(cls, vectors: np.ndarray) -> Projection:
        """From vectors, (N, C), at least one."""
        exact = vectors.astype(np.float64)
        mean = exact.mean(axis=0)
        exact -= mean
        return cls.of_moments(mean, exact.T @ exact / len(exact), len(exact))

    def directions_of(self, vectors: np.ndarray) -> np.ndarray:
        """Unit vectors along the axes, (N, D) float32, of vectors (N, C); zeros for the mean."""
        return self.directions_of_deviations(vectors.astype(np.float32) - self.mean.astype(np.float32))

    def directions_of_deviations(self, deviations: np.ndarray) -> np.ndarray:
        """As `directions_of`, of vectors minus the mean, (N, C) float32."""
        return unit(deviations @ self.axes)
