"""Where a grid meets the patient: voxel positions in millimetres, and painting structures onto them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

#: A corner of a box, RAS mm.
Corner = tuple[float, float, float]
Slices = tuple[slice, slice, slice]

FAR = np.float32(1e3)


class Points(NamedTuple):
    """Positions in the patient's frame, mm; float32 arrays that broadcast to (k, j, i).

    On an axis-aligned grid each coordinate varies along one axis only and has size 1 along the others, which makes
    most formulas cheap.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray


@dataclass(frozen=True)
class Region:
    """The part of a canvas that one structure can reach."""

    slices: Slices
    points: Points


class Canvas:
    """A block of voxels that structures are painted onto, one over the other.

    Attributes:
        hu: Float32 HU, (k, j, i).
        labels: Uint8 label of the structure that was painted last, (k, j, i).
    """

    def __init__(self, shape: tuple[int, int, int], ijk_to_ras: np.ndarray, air: float) -> None:
        self.shape = shape
        self.hu = np.full(shape, air, dtype=np.float32)
        self.labels = np.zeros(shape, dtype=np.uint8)
        self._ijk_to_ras = ijk_to_ras
        self._ras_to_ijk = np.linalg.inv(ijk_to_ras)
        self.voxel = float(abs(np.linalg.det(ijk_to_ras[:3, :3])) ** (1 / 3))

    def everything(self) -> Region:
        """The whole canvas as a region."""
        whole = tuple(slice(0, size) for size in self.shape)
        return Region((whole[0], whole[1], whole[2]), self._points_at((whole[0], whole[1], whole[2])))

    def region(self, low: Corner, high: Corner) -> Region | None:
        """The voxels around the box from `low` to `high` in mm, or None where the canvas does not reach it."""
        corners = np.array(
            [[x, y, z, 1.0] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
        )
        ijk = corners @ self._ras_to_ijk[:3].T
        first = np.floor(ijk.min(axis=0)).astype(int)[::-1] - 1
        last = np.ceil(ijk.max(axis=0)).astype(int)[::-1] + 2
        spans = [(max(int(a), 0), min(int(b), n)) for a, b, n in zip(first, last, self.shape, strict=True)]
        if any(start >= stop for start, stop in spans):
            return None
        slices = (slice(*spans[0]), slice(*spans[1]), slice(*spans[2]))
        return Region(slices, self._points_at(slices))

    def paint(
        self,
        region: Region,
        distance: np.ndarray,
        hu: float | np.ndarray,
        label: int | None = None,
        *,
        opacity: float = 1.0,
    ) -> None:
        """Lay a structure over what is there.

        Args:
            region: Where.
            distance: Signed distance to the structure's surface, mm, negative inside; broadcasts to the region.
            hu: Its HU, one value or one for each voxel.
            label: Its label; None keeps the labels that are there.
            opacity: How much of what is below is covered.
        """
        coverage = np.clip(np.float32(0.5) - distance * np.float32(1.0 / self.voxel), 0.0, np.float32(1.0))
        if opacity != 1.0:
            coverage *= np.float32(opacity)
        below = self.hu[region.slices]
        below += coverage * (np.asarray(hu, dtype=np.float32) - below)
        if label is not None:
            self.labels[region.slices][np.broadcast_to(distance < 0, below.shape)] = label

    def distance_field(self) -> np.ndarray:
        """An empty field to gather the smallest distance to many small shapes in, float32 (k, j, i)."""
        return np.full(self.shape, FAR, dtype=np.float32)

    def _points_at(self, slices: Slices) -> Points:
        x, y, z = (self._coordinate(axis, slices) for axis in range(3))
        return Points(x, y, z)

    def _coordinate(self, axis: int, slices: Slices) -> np.ndarray:
        row = self._ijk_to_ras[axis]
        total = np.full((1, 1, 1), row[3])
        for column, array_axis in ((0, 2), (1, 1), (2, 0)):
            # Directions from a file carry rounding in their zeros; what moves nothing must not cost a full array.
            if abs(row[column]) * self.shape[array_axis] < 1e-5:
                continue
            span = slices[array_axis]
            sizes = [1, 1, 1]
            sizes[array_axis] = span.stop - span.start
            total = total + row[column] * np.arange(span.start, span.stop, dtype=np.float64).reshape(sizes)
        return total.astype(np.float32)


def slabs(shape: tuple[int, int, int], voxels: int) -> Iterator[slice]:
    """Cut the k axis so that no slab holds many more than `voxels` voxels."""
    thickness = max(1, voxels // max(1, shape[1] * shape[2]))
    for start in range(0, shape[0], thickness):
        yield slice(start, min(start + thickness, shape[0]))
