"""A segmentation on the grid of a scan: reordered without loss where the grids agree, else resampled."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from MAESILCore.data.formats import geometry
from MAESILCore.data.formats.checks import dimensions_text
from MAESILCore.data.formats.found import listed
from MAESILCore.data.formats.scan import Unreadable
from MAESILCore.data.labels.labelmap import values_of
from MAESILCore.data.segmentation import Segmentation
from MAESILCore.data.volume import Volume

#: Largest displacement, in voxels, between voxel centres of grids that agree; headers round.
_SAME_PLACE = 0.05

#: A part of a grid: the first indices along i, j, k, and those behind the last.
_Box = tuple[np.ndarray, np.ndarray]


def on_grid_of(segmentation: Segmentation, like: Volume) -> Segmentation:
    """The segmentation on exactly the grid of a scan.

    Flipped, permuted, cropped and extended grids are the same lattice; no label changes. All others are resampled by
    nearest neighbour, which is noted.

    Args:
        segmentation: labels of any grid.
        like: the scan.

    Raises:
        Unreadable: there are labels, and all are outside of the scan.
    """
    to_scan = np.linalg.solve(like.ijk_to_ras, segmentation.ijk_to_ras)
    box = _box_of(segmentation.labels)
    if box is None:
        return replace(segmentation, labels=np.zeros(like.shape, np.uint8), ijk_to_ras=like.ijk_to_ras)
    target = _target(box, to_scan, like)
    lattice = _lattice(to_scan, segmentation.labels.shape)
    if lattice is not None:
        labels = _pasted(segmentation.labels, lattice, like.shape)
    else:
        labels = _resampled(segmentation.labels, to_scan, target, like.shape)
    notes = [*segmentation.notes, *([] if lattice is not None else [_note(segmentation)])]
    notes += _notes_on_lost(segmentation, labels, to_scan, box)
    return replace(segmentation, labels=labels, ijk_to_ras=like.ijk_to_ras, notes=tuple(notes))


def shares_lattice(ijk_to_ras: np.ndarray, shape: tuple[int, ...], like: Volume) -> bool:
    """Whether a grid is that of a scan but for flips, permutations and its extent, and has voxels inside of it.

    Args:
        ijk_to_ras: (4, 4), geometry of the grid.
        shape: k, j, i of the grid.
        like: the scan.
    """
    to_scan = np.linalg.solve(like.ijk_to_ras, ijk_to_ras)
    corners = _corners((np.zeros(3), np.array(shape[::-1])), to_scan)
    is_inside = (corners.max(axis=0) > 0).all() and (
        corners.min(axis=0) < np.array(like.shape[::-1]) - 1
    ).all()
    return bool(is_inside) and _lattice(to_scan, shape) is not None


def _box_of(labels: np.ndarray) -> _Box | None:
    """The smallest box with all labels; None without any."""
    is_labelled = labels > 0
    first, stop = [], []
    for axis in (2, 1, 0):
        others = tuple(other for other in range(3) if other != axis)
        found = np.flatnonzero(is_labelled.any(axis=others))
        if not len(found):
            return None
        first.append(found[0])
        stop.append(found[-1] + 1)
    return np.array(first), np.array(stop)


def _corners(box: _Box, matrix: np.ndarray) -> np.ndarray:
    """The corners of the outer faces of a box under a matrix, (8, 3)."""
    faces = np.array(list(itertools.product(*np.stack([box[0] - 0.5, box[1] - 0.5]).T)))
    return np.asarray(faces @ matrix[:3, :3].T + matrix[:3, 3])


def _target(box: _Box, to_scan: np.ndarray, like: Volume) -> _Box:
    """The part of the scan that a box can reach; empty if no voxel centre is inside the box.

    Raises:
        Unreadable: the box is outside of the scan.
    """
    corners = _corners(box, to_scan)
    low, high, shape = corners.min(axis=0), corners.max(axis=0), np.array(like.shape[::-1])
    if (high < -0.5 + _SAME_PLACE).any() or (low > shape - 0.5 - _SAME_PLACE).any():
        raise Unreadable("has all its labels outside of the scan: give the labels of this scan.")
    first = np.maximum(np.ceil(low - _SAME_PLACE), 0).astype(int)
    return first, np.maximum(np.minimum(np.floor(high + _SAME_PLACE).astype(int) + 1, shape), first)


def _lattice(to_scan: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """The matrix in whole numbers if voxel centres meet voxel centres, one to one."""
    whole = np.rint(to_scan)
    steps = np.abs(whole[:3, :3])
    if not ((steps.sum(axis=0) == 1) & (steps.sum(axis=1) == 1)).all():
        return None
    is_same = geometry.largest_distance(to_scan, whole, shape[::-1]) < _SAME_PLACE
    return whole.astype(int) if is_same else None


def _pasted(labels: np.ndarray, lattice: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The labels, (k, j, i), on a grid of another shape, without interpolation."""
    axes = np.abs(lattice[:3, :3]).argmax(axis=1)
    signs = lattice[range(3), axes]
    # From here on all is in the order i, j, k of the scan.
    turned = labels.T.transpose(axes)
    turned = turned[tuple(slice(None, None, int(sign)) for sign in signs)]
    starts = np.where(signs > 0, lattice[:3, 3], lattice[:3, 3] - np.array(turned.shape) + 1)
    stops = np.minimum(starts + turned.shape, shape[::-1])
    firsts = np.maximum(starts, 0)
    result = np.zeros(shape, dtype=labels.dtype)
    place = tuple(slice(first, stop) for first, stop in zip(firsts, stops, strict=True))
    part = tuple(
        slice(first - start, stop - start) for first, stop, start in zip(firsts, stops, starts, strict=True)
    )
    result.T[place] = turned[part]
    return result


def _resampled(labels: np.ndarray, to_scan: np.ndarray, target: _Box, shape: tuple[int, ...]) -> np.ndarray:
    from scipy import ndimage

    first, stop = target
    result = np.zeros(shape, dtype=labels.dtype)
    if (first == stop).any():
        return result
    from_scan = np.linalg.inv(to_scan)
    offset = from_scan[:3, :3] @ first + from_scan[:3, 3]
    part = tuple(slice(start, end) for start, end in zip(first[::-1], stop[::-1], strict=True))
    # "grid-constant": the outer half of an edge voxel belongs to it.
    result[part] = ndimage.affine_transform(
        labels,
        from_scan[2::-1, 2::-1],
        offset=offset[::-1],
        output_shape=tuple((stop - first)[::-1]),
        order=0,
        mode="grid-constant",
    )
    return result


def _note(segmentation: Segmentation) -> str:
    shape = dimensions_text(segmentation.labels.shape[::-1])
    spacing = " x ".join(f"{edge:.4g}" for edge in geometry.spacing_of(segmentation.ijk_to_ras))
    return (
        f"The labels are on another grid than the scan ({shape} voxels of {spacing} mm) and were resampled to its "
        "grid by nearest neighbour."
    )


def _notes_on_lost(
    segmentation: Segmentation, labels: np.ndarray, to_scan: np.ndarray, box: _Box
) -> tuple[str, ...]:
    """Notes on labels outside of the scan, and on segments without a voxel on the new grid."""
    notes = []
    limits = np.array(labels.shape[::-1]) - 0.5 + _SAME_PLACE
    corners = _corners(box, to_scan)
    if (corners < -0.5 - _SAME_PLACE).any() or (corners > limits).any():
        outside = _share_outside(segmentation.labels, to_scan, limits)
        if outside > 0:
            notes.append(f"{outside:.1%} of the labelled voxels are outside of the scan and were cut off.")
    left = values_of(labels)
    before = values_of(segmentation.labels)
    lost = [one.name for one in segmentation.segments if one.value in before and one.value not in left]
    if lost:
        notes.append(f"No voxel of the scan is left for {listed(lost)}.")
    return tuple(notes)


def _share_outside(labels: np.ndarray, to_scan: np.ndarray, limits: np.ndarray) -> float:
    """The share of labelled voxels whose centres are outside of the scan; one plane at a time."""
    outside = total = 0
    for k, plane in enumerate(labels):
        j, i = np.nonzero(plane)
        places = np.stack([i, j, np.full_like(i, k)], axis=1) @ to_scan[:3, :3].T + to_scan[:3, 3]
        outside += int(((places < -0.5 - _SAME_PLACE) | (places > limits)).any(axis=1).sum())
        total += len(places)
    return outside / max(total, 1)
