"""IJK-to-RAS matrices: spacing, directions, checks, and conversion from the LPS of DICOM and ITK."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike

#: Converts between LPS and RAS.
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

#: Tolerance for the cosine of perpendicular axes, as headers round to about 1e-4.
PERPENDICULAR_COSINE = 1e-3

#: Note on a file without axis directions.
NO_ORIENTATION = "The file stores no orientation: which side is left is a guess."


def spacing_of(ijk_to_ras: np.ndarray) -> np.ndarray:
    """The lengths of the voxel edges along i, j, k in mm, (3,)."""
    return np.asarray(np.linalg.norm(ijk_to_ras[:3, :3], axis=0))


def directions_of(ijk_to_ras: np.ndarray) -> np.ndarray:
    """Unit vectors of the i, j, k axes in RAS as the columns of a (3, 3) matrix."""
    return np.asarray(ijk_to_ras[:3, :3] / spacing_of(ijk_to_ras))


def shear_degrees(ijk_to_ras: np.ndarray) -> float:
    """The largest deviation of two axes from 90 degrees."""
    directions = directions_of(ijk_to_ras)
    cosines = np.abs((directions.T @ directions)[np.triu_indices(3, 1)])
    return float(np.degrees(np.arcsin(min(cosines.max(), 1.0))))


def is_sheared(ijk_to_ras: np.ndarray) -> bool:
    """Whether the axes are not perpendicular."""
    return shear_degrees(ijk_to_ras) > math.degrees(PERPENDICULAR_COSINE)


def is_invertible(ijk_to_ras: np.ndarray) -> bool:
    """Whether the three axes have a length and span space."""
    if not np.isfinite(ijk_to_ras).all() or not (spacing_of(ijk_to_ras) > 0).all():
        return False
    return bool(abs(np.linalg.det(directions_of(ijk_to_ras))) > PERPENDICULAR_COSINE)


def nearest_axes(ijk_to_ras: np.ndarray) -> tuple[int, ...]:
    """The anatomical axis (0 to 2 for R, A, S) nearest to each of i, j, k; all differ."""
    cosines = np.abs(directions_of(ijk_to_ras))
    return max(permutations(range(3)), key=lambda order: float(cosines[order, range(3)].sum()))


def ras_from_lps(directions: np.ndarray, spacing: ArrayLike, origin: ArrayLike) -> np.ndarray:
    """The IJK-to-RAS matrix of an LPS image.

    Args:
        directions: (3, 3), unit vectors of the i, j, k axes in LPS as columns.
        spacing: voxel edges along i, j, k in mm.
        origin: LPS position of the centre of voxel (0, 0, 0) in mm.
    """
    ijk_to_lps = np.eye(4)
    ijk_to_lps[:3, :3] = np.asarray(directions, dtype=np.float64) * np.asarray(spacing, dtype=np.float64)
    ijk_to_lps[:3, 3] = origin
    return np.asarray(LPS_TO_RAS @ ijk_to_lps)


def largest_distance(first: np.ndarray, second: np.ndarray, shape: Sequence[int]) -> float:
    """The largest distance in mm between the corners of an (i, j, k) grid under two matrices."""
    ends = np.array(np.meshgrid(*([0, length - 1] for length in shape), indexing="ij")).reshape(3, -1)
    corners = np.vstack([ends, np.ones(ends.shape[1])])
    return float(np.linalg.norm(((first - second) @ corners)[:3], axis=0).max())
