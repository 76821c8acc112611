"""Planar contours as voxels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Largest distance, in voxels, of a voxel centre from a contour that passes through it; files round to 1e-3 mm.
_ON_LINE = 2e-3

#: Contours in one plane differ along the axis by at most this part of a slice.
_SAME_PLANE = 0.05


def planar_axis(contours: Sequence[np.ndarray]) -> int | None:
    """The axis (0 to 2 for i, j, k) along which no contour extends; None if there is no such axis.

    Args:
        contours: (N, 3) voxel indices each.
    """
    spreads = np.array([np.ptp(contour, axis=0) for contour in contours]).max(axis=0)
    axis = int(spreads.argmin())
    return axis if spreads[axis] <= _SAME_PLANE else None


def fill(contours: Sequence[np.ndarray], shape: Sequence[int], axis: int) -> np.ndarray:
    """The voxels inside contours, (k, j, i) bool.

    A voxel is inside if its centre is inside an odd number of the contours of its plane, or on one of them. A slice
    takes the contours of the nearest plane, at most half the distance of neighbouring planes away: planes that are
    further apart than the slices are as thick as their distance.

    Args:
        contours: (N, 3) voxel indices (i, j, k) each, closed.
        shape: k, j, i.
        axis: the axis along which no contour extends.
    """
    mask = np.zeros(tuple(shape), dtype=bool)
    # Slices first; the transpose has the axes i, j, k.
    slices = np.moveaxis(mask.T, axis, 0)
    places, members = _planes(np.array([contour[:, axis].mean() for contour in contours]))
    step = float(np.median(np.diff(places))) if len(places) > 1 else 1.0
    reach = max(step, 1.0) / 2 + _SAME_PLANE
    in_plane = [contour[:, [other for other in range(3) if other != axis]] for contour in contours]
    filled: dict[int, np.ndarray] = {}
    first, last = np.ceil(places[0] - reach), np.floor(places[-1] + reach)
    for number in range(max(int(first), 0), min(int(last), len(slices) - 1) + 1):
        nearest = int(np.abs(places - number).argmin())
        if abs(places[nearest] - number) <= reach:
            if nearest not in filled:
                # Neighbouring slices alone share a plane.
                polygons = [in_plane[member] for member in members[nearest]]
                filled = {nearest: fill_polygons(polygons, slices.shape[1:])}
            slices[number] = filled[nearest]
    return mask


def _planes(places: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Positions of the planes, ascending, and the numbers of the contours in each."""
    order = np.argsort(places, kind="stable")
    starts = np.flatnonzero(np.diff(places[order]) > 2 * _SAME_PLANE) + 1
    members = np.split(order, starts)
    return np.array([places[group].mean() for group in members]), members


def fill_polygons(polygons: Sequence[np.ndarray], shape: Sequence[int]) -> np.ndarray:
    """The pixels whose centres are inside an odd number of polygons, or on an edge; bool.

    Args:
        polygons: (N, 2) coordinates along the two axes each, closed.
        shape: of the two axes.
    """
    points = np.concatenate(polygons)
    # Only the part of the picture around the polygons is looked at.
    first = np.clip(np.floor(points.min(axis=0)), 0, shape).astype(int)
    stop = np.clip(np.ceil(points.max(axis=0)) + 1, first, shape).astype(int)
    picture = np.zeros(tuple(shape), dtype=bool)
    starts = points - first
    ends = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons]) - first
    part = picture[first[0] : stop[0], first[1] : stop[1]]
    part[...] = _inside(starts, ends, *part.shape)
    _mark_line(part, starts, ends)
    _mark_line(part.T, starts[:, ::-1], ends[:, ::-1])
    return picture


def _inside(starts: np.ndarray, ends: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The pixels with an odd number of edges before them in their line."""
    # Of the lines that an edge crosses, that of its first end counts, that of its second does not.
    low, high = np.minimum(starts[:, 0], ends[:, 0]), np.maximum(starts[:, 0], ends[:, 0])
    edge, row = _crossings(np.ceil(low), np.ceil(high), rows)
    column = _where(starts[edge], ends[edge], row)
    places = row * (columns + 1) + np.clip(np.ceil(column), 0, columns).astype(int)
    exchanges = np.bincount(places, minlength=rows * (columns + 1)).reshape(rows, columns + 1)
    return np.asarray(np.cumsum(exchanges, axis=1)[:, :columns] % 2).astype(bool)


def _crossings(first: np.ndarray, stop: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of an edge and a row from `first` to before `stop`, rows inside of the picture alone."""
    first, stop = (np.clip(ends, 0, rows).astype(int) for ends in (first, stop))
    counts = np.maximum(stop - first, 0)
    edge = np.repeat(np.arange(len(counts)), counts)
    begins = np.cumsum(counts) - counts
    return edge, first[edge] + np.arange(len(edge)) - begins[edge]


def _where(start: np.ndarray, end: np.ndarray, row: np.ndarray) -> np.ndarray:
    """The second coordinate of edges at a first one."""
    length = end[:, 0] - start[:, 0]
    share = np.divide(row - start[:, 0], length, out=np.zeros(len(row)), where=length != 0)
    return np.asarray(start[:, 1] + np.clip(share, 0.0, 1.0) * (end[:, 1] - start[:, 1]))


def _mark_line(picture: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
    """Mark the pixels whose centres are on edges; each of the two axes finds the edges that are steep along it."""
    low, high = np.minimum(starts[:, 0], ends[:, 0]), np.maximum(starts[:, 0], ends[:, 0])
    edge, row = _crossings(np.ceil(low - _ON_LINE), np.floor(high + _ON_LINE) + 1, picture.shape[0])
    column = _where(starts[edge], ends[edge], row)
    whole = np.rint(column)
    is_on = (np.abs(column - whole) <= _ON_LINE) & (whole >= 0) & (whole < picture.shape[1])
    picture[row[is_on], whole[is_on].astype(int)] = True
