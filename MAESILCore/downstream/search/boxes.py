"""Feature vectors pooled to larger boxes, as an index stores them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MAESILCore.lattice import FeatureMap, SuperpatchGrid, Triple

#: Voxels along each edge of a pooled box; features of larger strides stay as they are.
EDGE = 16


def factors_of(stride: Triple) -> Triple:
    """How many feature vectors along k, j, i become one, for features of a stride in voxels."""
    k, j, i = (max(1, round(EDGE / one)) for one in stride)
    return k, j, i


def box_of(stride: Triple) -> Triple:
    """Voxels of a pooled box along k, j, i, for features of a stride in voxels."""
    k, j, i = (one * factor for one, factor in zip(stride, factors_of(stride), strict=True))
    return k, j, i


@dataclass(frozen=True, eq=False)
class PooledBoxes:
    """The pooled feature vectors of a volume.

    Attributes:
        vectors: (N, C) float32, for the boxes that hold more than air: the mean over their parts that do.
        numbers: (N,) int32, row-major number of each box on the lattice, ascending.
        shape: boxes of the lattice along k, j, i.
        lattice_to_ras: (4, 4) float64, maps (i, j, k, 1) of a box to the RAS position of its centre in mm.
    """

    vectors: np.ndarray
    numbers: np.ndarray
    shape: Triple
    lattice_to_ras: np.ndarray

    @classmethod
    def of(cls, features: FeatureMap) -> PooledBoxes:
        """Pool a map; a box at the far border of the lattice may be partial."""
        factors = factors_of(features.stride)
        grid = SuperpatchGrid(features.shape, factors, factors)
        counts = sums(features.body.astype(np.float32), factors)
        body = counts > 0
        vectors = np.empty((int(body.sum()), len(features.vectors)), dtype=np.float32)
        # A channel at a time, as another copy of the map would double the memory.
        for number, channel in enumerate(features.vectors):
            vectors[:, number] = sums(channel * features.body, factors)[body]
        vectors /= counts[body][:, None]
        numbers = np.flatnonzero(body).astype(np.int32)
        return cls(vectors, numbers, grid.lattice_shape, grid.lattice_to_ras(features.lattice_to_ras))


def sums(array: np.ndarray, factors: Triple) -> np.ndarray:
    """Sums over boxes of `factors` elements, the last one of each axis perhaps partial.

    Args:
        array: (k, j, i).
        factors: elements of a box along k, j, i.

    Returns:
        One value per box, along k, j, i.
    """
    for axis, factor in enumerate(factors):
        array = np.add.reduceat(array, np.arange(0, array.shape[axis], factor), axis=axis)
    return array
