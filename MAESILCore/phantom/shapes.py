"""Signed distances to simple shapes, in mm, negative inside; the bricks of the phantom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from MAESILCore.phantom.sampling import Canvas, Corner, Points

Vector = Sequence[float] | np.ndarray
_TINY = np.float32(1e-6)


def join(first: np.ndarray, second: np.ndarray, blend: float) -> np.ndarray:
    """Smooth union; `blend` is the width in mm over which the two flow into each other."""
    overlap = np.maximum(np.float32(blend) - np.abs(first - second), 0)
    return np.minimum(first, second) - overlap * overlap * np.float32(0.25 / blend)


def meet(first: np.ndarray, second: np.ndarray, blend: float) -> np.ndarray:
    """Smooth intersection."""
    overlap = np.maximum(np.float32(blend) - np.abs(first - second), 0)
    return np.maximum(first, second) + overlap * overlap * np.float32(0.25 / blend)


def carve(solid: np.ndarray, tool: np.ndarray, blend: float) -> np.ndarray:
    """Smooth difference: `solid` without `tool`."""
    return meet(solid, -tool, blend)


def unit(vector: Vector) -> np.ndarray:
    """The vector at length 1, float64."""
    array = np.asarray(vector, dtype=np.float64)
    return np.asarray(array / np.linalg.norm(array))


def frame(axis: Vector, hint: Vector = (0.0, 1.0, 0.0)) -> np.ndarray:
    """Three orthonormal rows of which the first points along `axis` and the second towards `hint`."""
    first = unit(axis)
    second = unit(np.asarray(hint, dtype=np.float64) - np.dot(hint, first) * first)
    return np.stack([first, second, np.cross(first, second)])


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid.

    Attributes:
        centre: Its centre, mm.
        radii: Its half-axes, mm.
        axes: Its axes as orthonormal rows; None means x, y, z.
    """

    centre: Vector
    radii: Vector
    axes: np.ndarray | None = None

    def distance(self, points: Points) -> np.ndarray:
        """Distance to the surface (first-order exact there)."""
        return ellipsoid(points, self.centre, self.radii, self.axes)

    def bounds(self, margin: float) -> tuple[Corner, Corner]:
        """Opposite corners of the box around it, widened by `margin` mm."""
        axes = np.eye(3) if self.axes is None else self.axes
        half = np.sqrt(((np.asarray(self.radii)[:, None] * axes) ** 2).sum(axis=0)) + margin
        low, high = (np.asarray(self.centre) - half).tolist(), (np.asarray(self.centre) + half).tolist()
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def ellipsoid(points: Points, centre: Vector, radii: Vector, axes: np.ndarray | None = None) -> np.ndarray:
    """Distance to an ellipsoid (first-order exact at its surface).

    Args:
        points: Where.
        centre: Its centre, mm.
        radii: Its half-axes, mm.
        axes: Its axes as orthonormal rows; None means x, y, z.
    """
    x, y, z = (c - np.float32(m) for c, m in zip(points, centre, strict=True))
    if axes is not None:
        x, y, z = (x * row[0] + y * row[1] + z * row[2] for row in axes.astype(np.float32))
    squares = [(o * np.float32(1.0 / r)) ** 2 for o, r in zip((x, y, z), radii, strict=True)]
    gauge = np.sqrt(squares[0] + squares[1] + squares[2])
    weights = [np.float32(1.0 / r**2) for r in radii]
    gradient = np.sqrt(squares[0] * weights[0] + squares[1] * weights[1] + squares[2] * weights[2])
    gradient += _TINY
    return np.asarray(gauge * (gauge - 1) / gradient)


def ellipse(
    across: np.ndarray, along: np.ndarray, width: np.ndarray | float, height: np.ndarray | float
) -> np.ndarray:
    """Distance to an ellipse with half-axes `width` and `height` around the origin of (across, along)."""
    u, v = across / np.float32(width), along / np.float32(height)
    gauge = np.sqrt(u * u + v * v)
    gradient = np.sqrt((u / np.float32(width)) ** 2 + (v / np.float32(height)) ** 2)
    return np.asarray(gauge * (gauge - 1) / (gradient + _TINY), dtype=np.float32)


def capsule(
    points: Points, start: Vector, stop: Vector, start_radius: float, stop_radius: float
) -> np.ndarray:
    """Distance to a round rod from `start` to `stop` whose radius changes evenly between the two."""
    direction = np.asarray(stop, dtype=np.float64) - np.asarray(start, dtype=np.float64)
    square = float(direction @ direction) or 1.0
    x, y, z = (c - np.float32(m) for c, m in zip(points, start, strict=True))
    share = x * np.float32(direction[0]) + y * np.float32(direction[1]) + z * np.float32(direction[2])
    share = np.clip(share * np.float32(1.0 / square), 0, np.float32(1.0))
    x, y, z = (o - share * np.float32(d) for o, d in zip((x, y, z), direction, strict=True))
    radius = np.float32(start_radius) + share * np.float32(stop_radius - start_radius)
    return np.asarray(np.sqrt(x * x + y * y + z * z) - radius)


def strap(
    points: Points, start: Vector, stop: Vector, axes: np.ndarray, half: tuple[float, float]
) -> np.ndarray:
    """Distance to a rod of elliptic section from `start` to `stop`.

    Args:
        points: Where.
        start: One end, mm.
        stop: The other end, mm.
        axes: Orthonormal rows: along the rod, along its thickness, along its breadth.
        half: Half thickness and half breadth, mm.
    """
    length = float(np.linalg.norm(np.asarray(stop) - np.asarray(start)))
    x, y, z = (c - np.float32(m) for c, m in zip(points, start, strict=True))
    along, thick, broad = (x * row[0] + y * row[1] + z * row[2] for row in axes.astype(np.float32))
    beyond = along - np.clip(along, 0, np.float32(length))
    thick, broad = thick * np.float32(1 / half[0]), broad * np.float32(1 / half[1])
    beyond = beyond * np.float32(1 / half[0])
    gauge = np.sqrt(thick**2 + broad**2 + beyond**2)
    gradient = np.sqrt(
        (thick**2 + beyond**2) / np.float32(half[0] ** 2) + broad**2 / np.float32(half[1] ** 2)
    )
    return np.asarray(gauge * (gauge - 1) / (gradient + _TINY), dtype=np.float32)


def smooth_path(vertices: Sequence[Vector], step: float = 6.0) -> np.ndarray:
    """A curve (N, 3) through the vertices, cut about every `step` mm; more columns (radii) go along."""
    from scipy.interpolate import PchipInterpolator

    knots = np.asarray(vertices, dtype=np.float64)
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots[:, :3], axis=0), axis=1))])
    places = np.linspace(0.0, lengths[-1], max(2, int(np.ceil(lengths[-1] / step)) + 1))
    return np.asarray(PchipInterpolator(lengths, knots, axis=0)(places))


def add_tube(canvas: Canvas, field: np.ndarray, path: np.ndarray) -> None:
    """Lower `field` to the distance to a tube whose path rows are (x, y, z, radius), mm, near that tube."""
    add_rods(canvas, field, path[:-1], path[1:])


def add_rods(canvas: Canvas, field: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> None:
    """Lower `field` to the distance to round rods between rows (x, y, z, radius), mm, near each of them."""
    margin = np.maximum(starts[:, 3:4], stops[:, 3:4]) + 0.75 * canvas.voxel
    low = np.minimum(starts, stops)[:, :3] - margin
    high = np.maximum(starts, stops)[:, :3] + margin
    for number, region in canvas.regions(low, high):
        start, stop = starts[number], stops[number]
        distance = capsule(region.points, start[:3], stop[:3], float(start[3]), float(stop[3]))
        here = field[region.slices]
        np.minimum(here, distance, out=here)


def add_strap(canvas: Canvas, field: np.ndarray, path: np.ndarray, normals: np.ndarray) -> None:
    """Lower `field` to the distance to a strap.

    Args:
        canvas: The canvas that `field` belongs to.
        field: Distances, (k, j, i).
        path: Rows (x, y, z, half thickness, half breadth), mm.
        normals: The direction of the thickness at each row, (N, 3).
    """
    starts, stops = path[:-1], path[1:]
    margin = np.maximum(starts[:, 3:], stops[:, 3:]).max(axis=1, keepdims=True) + 0.75 * canvas.voxel
    low, high = np.minimum(starts, stops)[:, :3] - margin, np.maximum(starts, stops)[:, :3] + margin
    for index, region in canvas.regions(low, high):
        start, stop = starts[index], stops[index]
        half = (float(start[3] + stop[3]) / 2, float(start[4] + stop[4]) / 2)
        axes = frame(stop[:3] - start[:3], normals[index] + normals[index + 1])
        distance = strap(region.points, start[:3], stop[:3], axes, half)
        here = field[region.slices]
        np.minimum(here, distance, out=here)
