"""DICOM RTSTRUCT: the contours of structures, filled on the grid of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from MAESILCore.data.formats import geometry
from MAESILCore.data.formats.dicom.kinds import parsing, text_of
from MAESILCore.data.formats.found import listed
from MAESILCore.data.formats.scan import Unreadable
from MAESILCore.data.labels import contours
from MAESILCore.data.labels.canvas import Canvas, unlabelled
from MAESILCore.data.labels.dicom import refuse_other_frame
from MAESILCore.data.labels.grid import on_grid_of
from MAESILCore.data.labels.labelmap import complete
from MAESILCore.data.labels.naming import tidied
from MAESILCore.data.segmentation import Segment, Segmentation
from MAESILCore.data.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Geometric types that enclose an area (DICOM PS3.3, C.8.8.6.3).
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")

#: How far, in voxels, contours may be outside of the scan without a note; outlines follow the faces of voxels.
_BEYOND = 0.5


@dataclass(frozen=True)
class _Structure:
    """A structure: its segment, closed contours as (N, 3) points in RAS, and the number of other contours."""

    segment: Segment
    contours: tuple[np.ndarray, ...]
    ignored: int


def read(path: Path, like: Volume | None, scan: Path | None) -> Segmentation:
    """Read a structure set on the grid of a scan.

    Contours in the planes of slices are filled there. Contours in other planes are filled in a grid of their own,
    which is resampled by nearest neighbour.

    Args:
        path: the file.
        like: the scan.
        scan: its path, to compare the frames of reference.

    Raises:
        Unreadable: there is no scan, the contours belong to another one, or they are damaged.
    """
    if like is None:
        raise Unreadable(
            "holds contours, which have no voxels: give the scan, too, on which they were drawn."
        )
    with parsing(path):
        from pydicom import dcmread

        dataset = dcmread(path)
        structures, name_notes = _structures(dataset)
        frames = {
            text_of(one, "FrameOfReferenceUID")
            for one in dataset.get("ReferencedFrameOfReferenceSequence", [])
        }
    refuse_other_frame(frames - {""}, scan)
    to_voxels = np.linalg.inv(like.ijk_to_ras)
    _refuse_outside(structures, to_voxels, like)
    canvas = Canvas(like.shape, len(structures), unlabelled(one.segment for one in structures))
    resampled = []
    for structure in structures:
        if structure.contours:
            mask, is_resampled = _filled(structure.contours, to_voxels, like)
            canvas.paint(structure.segment.value, mask)
            resampled += [structure.segment.name] * is_resampled
    segments = [one.segment for one in structures]
    overlaps = canvas.notes({one.value: one.name for one in segments})
    more = _notes(structures, resampled, to_voxels, like)
    return complete(canvas.labels, like.ijk_to_ras, segments, None, (*name_notes, *overlaps, *more))


def _structures(dataset: Dataset) -> tuple[list[_Structure], tuple[str, ...]]:
    stated = dataset.get("StructureSetROISequence", [])
    if not stated:
        raise Unreadable("is a structure set without structures: export it again.")
    drawn = {int(one.ReferencedROINumber): one for one in dataset.get("ROIContourSequence", [])}
    segments, notes = tidied(
        Segment(value, text_of(one, "ROIName"), _color_of(drawn.get(int(one.ROINumber))))
        for value, one in enumerate(stated, 1)
    )
    structures = []
    for one, segment in zip(stated, segments, strict=True):
        own = drawn.get(int(one.ROINumber))
        parts = [] if own is None else own.get("ContourSequence", None) or []
        closed = [part for part in parts if text_of(part, "ContourGeometricType") in _CLOSED]
        points = tuple(_points(part) for part in closed)
        structures.append(_Structure(segment, points, len(parts) - len(closed)))
    return structures, notes


def _color_of(roi: Dataset | None) -> tuple[float, float, float] | None:
    stated = None if roi is None else roi.get("ROIDisplayColor")
    if not stated:
        return None
    red, green, blue = (min(max(int(part), 0), 255) / 255 for part in stated)
    return red, green, blue


def _points(contour: Dataset) -> np.ndarray:
    """The points of a contour, (N, 3) in RAS."""
    from pydicom.dataelem import RawDataElement

    stored = contour.get_item("ContourData")
    # An element that was not looked at yet is text; pydicom takes a hundred times as long to make numbers of it.
    text = stored.value if isinstance(stored, RawDataElement) else None
    parts = text.split(b"\\") if text else contour.ContourData
    points = np.array([float(part) for part in parts]).reshape(-1, 3)
    if not np.isfinite(points).all():
        raise Unreadable("has contours with points that are no numbers: export it again.")
    return points @ geometry.LPS_TO_RAS[:3, :3]


def _refuse_outside(structures: Sequence[_Structure], to_voxels: np.ndarray, like: Volume) -> None:
    drawn = [contour for one in structures for contour in one.contours]
    if not drawn:
        return
    places = _indices(np.concatenate(drawn), to_voxels)
    if (places.max(axis=0) < -0.5).any() or (places.min(axis=0) > np.array(like.shape[::-1]) - 0.5).any():
        raise Unreadable("has all its contours outside of the scan: give the contours of this scan.")


def _indices(points: np.ndarray, to_voxels: np.ndarray) -> np.ndarray:
    return np.asarray(points @ to_voxels[:3, :3].T + to_voxels[:3, 3])


def _filled(outlines: Sequence[np.ndarray], to_voxels: np.ndarray, like: Volume) -> tuple[np.ndarray, bool]:
    """The voxels of a structure, (k, j, i) bool, and whether they were resampled."""
    places = [_indices(outline, to_voxels) for outline in outlines]
    axis = contours.planar_axis(places)
    if axis is not None:
        return contours.fill(places, like.shape, axis), False
    ijk_to_ras, shape = _own_grid(outlines, min(like.spacing))
    inverse = np.linalg.inv(ijk_to_ras)
    mask = contours.fill([_indices(outline, inverse) for outline in outlines], shape, 2)
    try:
        fitted = on_grid_of(Segmentation(mask.astype(np.uint8), ijk_to_ras, ()), like)
    except Unreadable:
        # The other structures are inside of the scan, so this one merely has no voxels there.
        return np.zeros(like.shape, dtype=bool), True
    return fitted.labels > 0, True


def _own_grid(outlines: Sequence[np.ndarray], spacing: float) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The IJK-to-RAS matrix and the (k, j, i) shape of a grid around contours, with slices in their planes.

    Raises:
        Unreadable: the contours are not planar, or their planes are not parallel.
    """
    centred = np.concatenate([outline - outline.mean(axis=0) for outline in outlines])
    # The direction of least extent is normal to the planes.
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    turned = [outline @ axes.T for outline in outlines]
    if max(float(np.ptp(outline[:, 2])) for outline in turned) > spacing / 4:
        raise Unreadable("has contours that are not in parallel planes: save the segmentation as .seg.nrrd.")
    heights = np.array(sorted(float(outline[:, 2].mean()) for outline in turned))
    steps = np.diff(heights)
    steps = steps[steps > spacing / 4]
    step = float(np.median(steps)) if len(steps) else spacing
    points = np.concatenate(turned)
    first = np.array([*(points[:, :2].min(axis=0) - spacing), heights[0]])
    edges = np.array([spacing, spacing, step])
    last = points.max(axis=0) + np.array([spacing, spacing, 0.0])
    extent = np.ceil((last - first) / edges - 1e-3).astype(int)
    ijk_to_ras = np.eye(4)
    ijk_to_ras[:3, :3], ijk_to_ras[:3, 3] = axes.T * edges, axes.T @ first
    i, j, k = (int(length) + 1 for length in extent)
    return ijk_to_ras, (k, j, i)


def _notes(
    structures: Sequence[_Structure], resampled: Sequence[str], to_voxels: np.ndarray, like: Volume
) -> tuple[str, ...]:
    limits = np.array(like.shape[::-1]) - 0.5
    cut = []
    for one in structures:
        places = _indices(np.concatenate([np.empty((0, 3)), *one.contours]), to_voxels)
        if ((places < -0.5 - _BEYOND) | (places > limits + _BEYOND)).any():
            cut.append(one.segment.name)
    ignored = [one.segment.name for one in structures if one.ignored]
    notes = [
        (
            "The contours of {} are not in the planes of the scan and were resampled by nearest neighbour.",
            resampled,
        ),
        ("Parts of {} are outside of the scan and were cut off.", cut),
        ("Points and open lines of {} enclose no area and were left out.", ignored),
    ]
    return tuple(text.format(listed(names)) for text, names in notes if names)
