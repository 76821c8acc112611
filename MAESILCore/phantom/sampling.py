"""Where a grid meets the patient: voxel positions in millimetres, and painting structures onto them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

#: A corner of a box, RAS mm.
Corner = tuple[float, float, float]
Slices = tuple[slice, slice, slice]

FAR = np.float32(1e3)
AIR = np.float32(-1000)


class Points(NamedTuple):
    """Positions in the patient's frame, mm; float32 arrays that broadcast to (k, j, i).

    On an axis-aligned grid each coordinate varies along one axis only and has size 1 along the others,
    which makes most formulas cheap.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray


@dataclass(frozen=True)
class Region:
    """The part of a canvas that one structure can reach.

    Attributes:
        slices: Where it lies on the canvas, k, j, i.
        points: Its voxel centres.
        texture: The patient's texture there, deviation 1.
    """

    slices: Slices
    points: Points
    texture: np.ndarray


class Canvas:
    """A block of voxels that structures are painted onto, one over the other.

    Attributes:
        hu: Float32 HU, (k, j, i).
        labels: Uint8 label of the structure that was painted last, (k, j, i).
        points: All voxel centres.
        texture: A texture of deviation 1 that belongs to the patient, (k, j, i).
        voxel: Edge of a cube of a voxel's size, mm.
    """

    def __init__(
        self, shape: tuple[int, int, int], ijk_to_ras: np.ndarray, texture: Callable[[Points], np.ndarray]
    ) -> None:
        self.shape = shape
        self.hu = np.full(shape, AIR, dtype=np.float32)
        self.labels = np.zeros(shape, dtype=np.uint8)
        self.voxel = float(abs(np.linalg.det(ijk_to_ras[:3, :3])) ** (1 / 3))
        self._ras_to_ijk = np.linalg.inv(ijk_to_ras)
        self.points = grid_points(shape, ijk_to_ras)
        self.texture = texture(self.points)

    def region(self, low: Corner, high: Corner) -> Region | None:
        """The voxels around the box from `low` to `high` in mm; None where the canvas does not reach it."""
        found = next(
            self.regions(np.array([low], dtype=np.float64), np.array([high], dtype=np.float64)), None
        )
        return None if found is None else found[1]

    def regions(self, low: np.ndarray, high: np.ndarray) -> Iterator[tuple[int, Region]]:
        """The voxels around many boxes, (N, 3) in mm, with the number of each box that the canvas reaches."""
        linear = self._ras_to_ijk[:3, :3]
        middle = (low + high) / 2 @ linear.T + self._ras_to_ijk[:3, 3]
        half = (high - low) / 2 @ np.abs(linear).T
        limits = np.array(self.shape)
        first = np.clip(np.floor(middle - half)[:, ::-1] - 1, 0, limits).astype(int)
        last = np.clip(np.ceil(middle + half)[:, ::-1] + 2, 0, limits).astype(int)
        for number in np.flatnonzero((first < last).all(axis=1)):
            (a, b, c), (d, e, f) = first[number].tolist(), last[number].tolist()
            slices = (slice(a, d), slice(b, e), slice(c, f))
            points = Points(*(_part(c, slices) for c in self.points))
            yield int(number), Region(slices, points, self.texture[slices])

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
            distance: Signed distance to its surface, mm, negative inside; broadcasts to the region.
            hu: Its HU, one value or one for each voxel.
            label: Its label; None keeps the labels that are there.
            opacity: How much of what is below is covered.
        """
        coverage = distance * np.float32(-1.0 / self.voxel)
        coverage += np.float32(0.5)
        np.clip(coverage, 0, 1, out=coverage)
        if opacity != 1.0:
            coverage *= np.float32(opacity)
        below = self.hu[region.slices]
        below += coverage * (np.asarray(hu, dtype=np.float32) - below)
        if label is not None:
            self.labels[region.slices][np.broadcast_to(distance < 0, below.shape)] = label

    def distance_field(self) -> np.ndarray:
        """An empty field to gather the smallest distance to many small shapes in, float32 (k, j, i)."""
        return np.full(self.shape, FAR, dtype=np.float32)


def grid_points(shape: tuple[int, int, int], ijk_to_ras: np.ndarray) -> Points:
    """The voxel centres of a grid."""
    x, y, z = (_coordinate(shape, row) for row in ijk_to_ras[:3])
    return Points(x, y, z)


def _coordinate(shape: tuple[int, int, int], row: np.ndarray) -> np.ndarray:
    """One coordinate of every voxel centre, of size 1 along axes on which it does not depend."""
    total = np.full((1, 1, 1), row[3])
    for weight, axis in zip(row[:3], (2, 1, 0), strict=True):
        # Directions from a file carry rounding in their zeros; what moves nothing must not cost a full array.
        if abs(weight) * shape[axis] < 1e-5:
            continue
        sizes = [1, 1, 1]
        sizes[axis] = shape[axis]
        total = total + weight * np.arange(shape[axis], dtype=np.float64).reshape(sizes)
    return total.astype(np.float32)


def _part(coordinate: np.ndarray, slices: Slices) -> np.ndarray:
    everything = slice(None)
    return coordinate[
        tuple(everything if n == 1 else part for n, part in zip(coordinate.shape, slices, strict=True))
    ]


def slabs(shape: tuple[int, int, int], voxels: int) -> Iterator[slice]:
    """Cut the k axis so that no slab holds many more than `voxels` voxels."""
    thickness = max(1, voxels // max(1, shape[1] * shape[2]))
    for start in range(0, shape[0], thickness):
        yield slice(start, min(start + thickness, shape[0]))
