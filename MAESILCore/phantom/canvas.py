"""Signed distances to simple shapes in mm, negative inside, and the canvas to paint them on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

#: A point or direction (x, y, z) in RAS mm; in paths with further columns, such as a radius.
Vector = Sequence[float] | np.ndarray
Slices = tuple[slice, ...]
#: Voxels whose distances are computed at once.
_BATCH_VOXELS = 30_000


class Points(NamedTuple):
    """Positions in the patient's frame, mm; float32 arrays that broadcast to (k, j, i).

    On an axis-aligned grid each varies along one axis and has size 1 along the others, so most formulas are cheap.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray

    def part(self, slices: Slices) -> Points:
        """The points of a part of a grid."""
        cuts = ([slice(None) if n == 1 else s for n, s in zip(c.shape, slices, strict=True)] for c in self)
        return Points(*(c[tuple(cut)] for c, cut in zip(self, cuts, strict=True)))

    def at(self, voxels: Sequence[np.ndarray]) -> Points:
        """The points at indices (k, j, i) that broadcast."""
        return Points(
            *(c[tuple(0 if n == 1 else v for n, v in zip(c.shape, voxels, strict=True))] for c in self)
        )


def grid_points(shape: tuple[int, int, int], ijk_to_ras: np.ndarray) -> Points:
    """The voxel centres of a grid; a coordinate has size 1 along axes that it does not depend on."""
    coordinates = []
    for row in ijk_to_ras[:3]:
        # Zeros of directions from files may have rounding errors.
        sizes = [n if abs(weight) * n >= 1e-5 else 1 for n, weight in zip(shape, row[2::-1], strict=True)]
        steps = zip(np.ogrid[tuple(map(slice, sizes))], row[2::-1], strict=True)
        coordinates.append(
            np.asarray(row[3] + sum(index * weight for index, weight in steps), dtype=np.float32)
        )
    return Points(*coordinates)


def curve(knots: Sequence[Sequence[float]]) -> Callable[[np.ndarray | float], np.ndarray]:
    """A smooth float32 function through (position, value) knots, constant beyond them."""
    at, values = np.array(sorted(map(tuple, knots)), dtype=np.float64).T
    smooth = PchipInterpolator(at, values)
    return lambda where: np.asarray(smooth(np.clip(where, at[0], at[-1])), dtype=np.float32)


def join(first: np.ndarray, second: np.ndarray, blend: float) -> np.ndarray:
    """Smooth union; `blend` is the width of the transition in mm."""
    overlap = np.maximum(blend - np.abs(first - second), 0)
    return np.minimum(first, second) - overlap * overlap * (0.25 / blend)


def meet(first: np.ndarray, second: np.ndarray, blend: float) -> np.ndarray:
    """Smooth intersection; with the second negated, smooth difference."""
    return -join(-first, -second, blend)


def frame(axis: Vector, hint: Vector = (0.0, 1.0, 0.0)) -> np.ndarray:
    """Three orthonormal rows: the first along `axis`, the second towards `hint`."""
    first = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    second = np.asarray(hint, dtype=np.float64) - np.dot(hint, first) * first
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)])


def ellipse(offsets: Iterable[np.ndarray], radii: Iterable[np.ndarray | float]) -> np.ndarray:
    """Distance to an ellipse or ellipsoid around the origin of `offsets`, first-order exact at its surface."""
    shares = [(offset / radius, radius) for offset, radius in zip(offsets, radii, strict=True)]
    gauge = np.sqrt(sum(share * share for share, _ in shares))
    return np.asarray(gauge * (gauge - 1) / (np.sqrt(sum((share / r) ** 2 for share, r in shares)) + 1e-6))


def ellipsoid(
    points: Points, centre: Vector, radii: Sequence[float], axes: np.ndarray | None = None
) -> np.ndarray:
    """Distance to an ellipsoid, mm; `axes` are orthonormal rows, default x, y, z."""
    x, y, z = (c - float(m) for c, m in zip(points, centre, strict=True))
    if axes is None:
        return ellipse((x, y, z), radii)
    return ellipse([x * a + y * b + z * c for a, b, c in axes.tolist()], radii)


def rod(points: Points, start: Vector, stop: Vector) -> np.ndarray:
    """Distance to a round rod between two rows (x, y, z, radius), mm; rows of shape (4, N, 1, 1, 1) are N rods."""
    way = np.subtract(stop, start, dtype=np.float64)
    square = way[0] * way[0] + way[1] * way[1] + way[2] * way[2]
    scale = (1 / np.where(square > 0, square, 1)).astype(np.float32)
    dx, dy, dz, widening = way.astype(np.float32)
    x, y, z, radius = np.asarray(start, dtype=np.float32)
    x, y, z = points.x - x, points.y - y, points.z - z
    share = np.clip((x * dx + y * dy + z * dz) * scale, 0, 1)
    x, y, z = x - share * dx, y - share * dy, z - share * dz
    return np.asarray(np.sqrt(x * x + y * y + z * z) - (radius + share * widening))


def smooth_path(vertices: Iterable[Vector], step: float = 5.0) -> np.ndarray:
    """A smooth curve through vertices, sampled about every `step` mm; further columns (radii) are interpolated."""
    knots = np.array(list(vertices), dtype=np.float64)
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots[:, :3], axis=0), axis=1))])
    places = np.linspace(0.0, lengths[-1], max(2, int(np.ceil(lengths[-1] / step)) + 1))
    return np.asarray(PchipInterpolator(lengths, knots)(places))


@dataclass(frozen=True)
class Canvas:
    """A block of voxels to paint structures on; later ones cover earlier ones.

    Attributes:
        hu: float32 HU, (k, j, i).
        labels: uint8 label of the last painted structure, (k, j, i).
        texture: smooth noise of standard deviation 1, fixed to the patient, (k, j, i).
        points: the voxel centres.
        ijk_to_ras: geometry of the block.
    """

    hu: np.ndarray
    labels: np.ndarray
    texture: np.ndarray
    points: Points
    ijk_to_ras: np.ndarray

    @property
    def voxel(self) -> float:
        """Edge of a cube with the volume of a voxel, mm."""
        return float(abs(np.linalg.det(self.ijk_to_ras[:3, :3])) ** (1 / 3))

    def boxes(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First voxel (k, j, i) and size of boxes with corners (N, 3) in mm; a size is 0 or less off the canvas."""
        linear = np.linalg.inv(self.ijk_to_ras[:3, :3])
        middle = ((low + high) / 2 - self.ijk_to_ras[:3, 3]) @ linear.T
        half = (high - low) / 2 @ np.abs(linear).T
        first = np.clip(np.floor(middle - half)[:, ::-1] - 1, 0, self.hu.shape).astype(int)
        last = np.clip(np.ceil(middle + half)[:, ::-1] + 2, 0, self.hu.shape).astype(int)
        return first, last - first

    def crop(self, low: Vector, high: Vector) -> Canvas | None:
        """The part inside a box in mm, as a view; None without overlap."""
        (first,), (size,) = self.boxes(np.array([low], dtype=np.float64), np.array([high], dtype=np.float64))
        if size.min() <= 0:
            return None
        part = tuple(map(slice, first.tolist(), (first + size).tolist()))
        geometry = self.ijk_to_ras.copy()
        geometry[:3, 3] += geometry[:3, :3] @ first[::-1].astype(np.float64)
        arrays = (self.hu[part], self.labels[part], self.texture[part])
        return Canvas(*arrays, self.points.part(part), geometry)

    def paint(
        self, distance: np.ndarray, hu: float | np.ndarray, label: int | None = None, opacity: float = 1.0
    ) -> None:
        """Paint a structure, given by the signed distance to its surface; label None keeps the labels."""
        coverage = distance * np.float32(-1 / self.voxel)
        coverage = np.clip(coverage + 0.5, 0, opacity, out=coverage)
        self.hu[...] += coverage * (hu - self.hu)
        if label is not None:
            self.labels[np.broadcast_to(distance < 0, self.labels.shape)] = label

    def tubes(self, paths: Iterable[Iterable[Vector]]) -> np.ndarray:
        """Distance to smooth tubes with rows (x, y, z, radius), mm, exact near the tubes, (k, j, i)."""
        rows = [smooth_path(path) for path in paths]
        return self.rods(np.concatenate([r[:-1] for r in rows]), np.concatenate([r[1:] for r in rows]))

    def rods(self, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
        """Distance to round rods between rows (x, y, z, radius), mm, exact near the rods, (k, j, i)."""
        field = np.full(self.hu.shape, 1e3, dtype=np.float32)
        margin = np.maximum(starts, stops)[:, 3:] + 0.75 * self.voxel
        low, high = np.minimum(starts, stops)[:, :3] - margin, np.maximum(starts, stops)[:, :3] + margin
        firsts, sizes = self.boxes(low, high)
        # Boxes of one size are computed at once: NumPy costs more per call than per voxel of a thin rod.
        for size in np.unique(sizes[(sizes > 0).all(axis=1)], axis=0):
            alike = np.flatnonzero((sizes == size).all(axis=1))
            for some in np.array_split(alike, -(-len(alike) * int(size.prod()) // _BATCH_VOXELS)):
                steps = np.ogrid[tuple(map(slice, size))]
                voxels = [firsts[some, k].reshape(-1, 1, 1, 1) + step for k, step in enumerate(steps)]
                rows = (ends[some].T[:, :, None, None, None] for ends in (starts, stops))
                distances = rod(self.points.at(voxels), *rows)
                for first, distance in zip(firsts[some], distances, strict=True):
                    here = field[tuple(map(slice, first, first + size))]
                    np.minimum(here, distance, out=here)
        return field
