"""The exchange type of readers and writers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scan:
    """Voxels and geometry of a file.

    Attributes:
        voxels: (k, j, i), with slope and intercept applied.
        ijk_to_ras: (4, 4) float64, voxel centre (i, j, k, 1) to RAS in mm.
        notes: sentences for the user.
    """

    voxels: np.ndarray
    ijk_to_ras: np.ndarray
    notes: tuple[str, ...] = ()
