"""Pooled features of the superpatches of a scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class SuperpatchVectors:
    """Pooled features of the superpatches of a scan that hold more than air.

    Attributes:
        boxes: (N, 2, 3) int64, first voxel and end (exclusive) along k, j, i.
        body: (N,) float32, number of places of the first level that hold more than air.
        levels: for each level (N, C + D) float32: the mean over places that hold more than air, then the summary
            token of the method, if it has one.
    """

    boxes: np.ndarray
    body: np.ndarray
    levels: tuple[np.ndarray, ...]

    def packed(self) -> np.ndarray:
        """(N, 7 + sum of C + D) float32: boxes, body and all levels."""
        boxes = self.boxes.reshape(-1, 6).astype(np.float32)
        return np.concatenate([boxes, self.body[:, None], *self.levels], axis=1)

    def pooled(self) -> tuple[np.ndarray, ...]:
        """One vector (C + D,) float64 of the scan for each level, weighted by how much body a superpatch holds."""
        weights = self.body.astype(np.float64)
        if not weights.any():
            weights = np.ones_like(weights)
        return tuple(
            np.average(vectors.astype(np.float64), axis=0, weights=weights) for vectors in self.levels
        )
