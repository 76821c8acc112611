"""What a reader hands over and a writer takes: voxels and geometry, before they become a `Volume`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scan:
    """An image as a file format holds it.

    Attributes:
        voxels: (k, j, i), with slope and intercept applied.
        ijk_to_ras: (4, 4) float64, voxel centre (i, j, k, 1) to RAS in mm.
        notes: sentences about what a reader of results should know.
    """

    voxels: np.ndarray
    ijk_to_ras: np.ndarray
    notes: tuple[str, ...] = ()
