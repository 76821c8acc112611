"""What is compared of feature vectors: directions in which all axes of their variation count about alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Most axes of a search; in the bundled model, those beyond have less than a ten-millionth of the largest variance.
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
    def of_moments(
        cls, mean: np.ndarray, covariance: np.ndarray, count: int, most: int = MOST_AXES
    ) -> Projection:
        """From the moments of some vectors.

        Args:
            mean: (C,).
            covariance: (C, C).
            count: number of vectors.
            most: most axes.
        """
        variances, axes = np.linalg.eigh(covariance)  # ascending
        variances, axes = np.maximum(variances[::-1], 0.0), axes[:, ::-1]
        kept = int(np.clip(count // _BOXES_PER_AXIS, 1, most))
        floor = max(_FLOOR * float(variances[0]), float(np.finfo(np.float32).tiny))
        scaled = axes[:, :kept] / np.sqrt(variances[:kept] + floor)
        return cls(mean.astype(np.float64), scaled.astype(np.float32))

    @classmethod
    def of(cls, vectors: np.ndarray, most: int = MOST_AXES) -> Projection:
        """From vectors, (N, C), at least one; with `most` axes at most."""
        exact = vectors.astype(np.float64)
        mean = exact.mean(axis=0)
        exact -= mean
        return cls.of_moments(mean, exact.T @ exact / len(exact), len(exact), most)

    def directions_of(self, vectors: np.ndarray) -> np.ndarray:
        """Unit vectors along the axes, (N, D) float32, of vectors (N, C); zeros for the mean."""
        return self.directions_of_deviations(vectors.astype(np.float32) - self.mean.astype(np.float32))

    def directions_of_deviations(self, deviations: np.ndarray) -> np.ndarray:
        """As `directions_of`, of vectors minus the mean, (N, C) float32."""
        return unit(deviations @ self.axes)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of unit length, (N, C); zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0.0, lengths, 1.0))
