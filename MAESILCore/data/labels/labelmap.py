"""The segmentation in the voxels of an ordinary scan file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from MAESILCore.data.formats.scan import Scan, Unreadable
from MAESILCore.data.formats.voxeltypes import share_of_equal_neighbours
from MAESILCore.data.labels.canvas import label_type
from MAESILCore.data.labels.naming import completed
from MAESILCore.data.segmentation import Segment, Segmentation

#: Largest rounding error of a label that was stored with a slope.
_ROUNDING = 1e-3

#: Up to so many values are those of a label map. With more, a larger share of neighbours than this must be equal.
_SURELY_LABELS, _LEAST_EQUAL = 16, 0.5

#: The note on a label map without any label.
EMPTY = "No voxel has a label."


def segmentation_of(scan: Scan, names: Mapping[int, str] | None) -> Segmentation:
    """The segmentation of a label map.

    Args:
        scan: voxels and geometry.
        names: name of each value.

    Raises:
        Unreadable: a voxel is negative, no whole number or too large, or the values are those of an image.
    """
    labels = whole_numbers(scan.voxels)
    count = len(values_of(labels))
    # Of the voxels of structures most have a neighbour of the same; those of images have noise.
    if count > _SURELY_LABELS and share_of_equal_neighbours(labels) <= _LEAST_EQUAL:
        raise Unreadable(
            f"has {count} different values, as an image has and no label map: give the label map."
        )
    return complete(labels, scan.ijk_to_ras, (), names, scan.notes)


def complete(
    labels: np.ndarray,
    ijk_to_ras: np.ndarray,
    segments: Sequence[Segment],
    names: Mapping[int, str] | None,
    notes: tuple[str, ...],
) -> Segmentation:
    """A segmentation with a name for each of its values, and notes on made-up names and on an empty label map.

    Args:
        labels: (k, j, i) uint8 or uint16.
        ijk_to_ras: (4, 4).
        segments: the segments that the file names.
        names: names of further values.
        notes: notes so far.
    """
    values = values_of(labels)
    named, name_notes = completed(segments, values, names)
    empty = () if values else (EMPTY,)
    return Segmentation(labels, ijk_to_ras, named, (*notes, *name_notes, *empty))


def whole_numbers(voxels: np.ndarray) -> np.ndarray:
    """Labels of any shape as uint8 or uint16.

    Raises:
        Unreadable: a voxel is negative, no whole number or too large.
    """
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise Unreadable("holds voxels that are no numbers (NaN or infinite), which are no labels.")
    low, high = voxels.min(), voxels.max()
    if low <= -0.5:
        raise Unreadable(f"holds negative values (down to {low:g}), which are no labels: give the label map.")
    labels = np.empty(voxels.shape, dtype=label_type(int(np.rint(high))))
    for target, plane in zip(labels, voxels, strict=True):
        whole = np.rint(plane)
        if plane.dtype.kind == "f" and (np.abs(whole - plane) > _ROUNDING).any():
            odd = plane[np.abs(whole - plane) > _ROUNDING][0]
            raise Unreadable(
                f"holds values that are no whole numbers (such as {odd:g}), which are no labels: give the label map."
            )
        target[...] = whole
    return labels


def values_of(labels: np.ndarray) -> list[int]:
    """The values above 0 of a label map of uint8 or uint16, ascending."""
    is_present = np.zeros(np.iinfo(np.uint16).max + 1, dtype=bool)
    for plane in labels:
        is_present[plane] = True
    return [int(value) for value in np.flatnonzero(is_present) if value > 0]
