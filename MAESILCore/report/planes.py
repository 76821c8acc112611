"""Slices in radiological convention: patient right on the viewer's left, front or head up, true proportions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MAESILCore.data.formats import geometry
from MAESILCore.data.volume import Volume
from MAESILCore.data.window import SOFT_TISSUE

AXIAL, CORONAL, SAGITTAL = "axial", "coronal", "sagittal"
PLANES = (AXIAL, CORONAL, SAGITTAL)
#: Letters at the left, right, top and bottom edge of each plane.
LETTERS = {AXIAL: ("R", "L", "A", "P"), CORONAL: ("R", "L", "S", "I"), SAGITTAL: ("A", "P", "S", "I")}
#: The display axis normal to each plane.
_FIXED = {AXIAL: 0, CORONAL: 1, SAGITTAL: 2}
#: Lower limit of tissue, HU; lungs are found as holes in tissue.
_TISSUE_HU = -400.0
_MARGIN_MM = 10.0


@dataclass(frozen=True)
class DisplayFrame:
    """The permutation and flips of a volume's arrays for display; oblique volumes are shown along their own axes.

    Attributes:
        order: the array axes (of k, j, i) nearest to down, back and left.
        flipped: whether each of these must be reversed.
        spacing: voxel size along the display axes, mm.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    spacing: tuple[float, float, float]

    def turn(self, array: np.ndarray) -> np.ndarray:
        """A view of an array (k, j, i), of voxels or patches, with axes (down, back, left)."""
        turned = array.transpose(self.order)
        return turned[tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)]

    def borders(
        self, shape: tuple[int, int, int], size: tuple[int, int, int], axis: int, span: slice
    ) -> np.ndarray:
        """Where blocks begin along a display axis, inside a span and counted from its start.

        Args:
            shape: voxels of the array along k, j, i.
            size: voxels of a block along k, j, i; the first block begins at voxel 0.
            axis: the display axis.
            span: the part of this axis that is shown.
        """
        count = shape[self.order[axis]]
        starts = np.arange(0, count, size[self.order[axis]])[1:]
        starts = count - starts[::-1] if self.flipped[axis] else starts
        return starts[(starts > span.start) & (starts < span.stop)] - span.start


def display_frame(volume: Volume) -> DisplayFrame:
    """The frame that brings a volume's axes nearest to down, back and left."""
    nearest = geometry.nearest_axes(volume.ijk_to_ras)
    down, back, left = (nearest.index(axis) for axis in (2, 1, 0))
    # Array axes that grow towards head, front or right are flipped.
    grows = [bool(volume.directions[nearest[axis], axis] > 0) for axis in (down, back, left)]
    spacing = volume.spacing
    return DisplayFrame(
        order=(2 - down, 2 - back, 2 - left),
        flipped=(grows[0], grows[1], grows[2]),
        spacing=(spacing[down], spacing[back], spacing[left]),
    )


@dataclass(frozen=True)
class Cut:
    """One slice of a display array, cropped.

    Attributes:
        plane: name of the plane.
        fixed: the display axis normal to it.
        index: position along that axis.
        rows: the range of the vertical axis.
        columns: the range of the horizontal axis.
        pixel: height and width of a voxel, mm.
    """

    plane: str
    fixed: int
    index: int
    rows: slice
    columns: slice
    pixel: tuple[float, float]

    def of(self, display: np.ndarray) -> np.ndarray:
        """The slice of a display array, (rows, columns)."""
        return np.take(display, self.index, axis=self.fixed)[self.rows, self.columns]

    @property
    def size(self) -> tuple[float, float]:
        """Height and width, mm."""
        height = (self.rows.stop - self.rows.start) * self.pixel[0]
        return height, (self.columns.stop - self.columns.start) * self.pixel[1]


def cuts_to_show(
    display: np.ndarray, spacing: tuple[float, float, float], is_hu: bool, hidden: np.ndarray
) -> list[Cut]:
    """Axial, coronal and sagittal cuts through the middle of the body, cropped to it.

    If only a region is hidden, the cuts go through its middle.

    Args:
        display: intensities, axes (down, back, left).
        spacing: voxel size along these axes, mm.
        is_hu: whether the intensities are HU, which separate tissue from air.
        hidden: not 0 where a voxel is hidden, same axes.
    """
    spans, middle = _extent(display, spacing, is_hu)
    shares = [
        np.asarray(hidden.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)
    ]
    # Drawn masks reach all sides of a scan, regions do not.
    is_region = not all(share[0] and share[-1] for share in shares)
    if shares[0].any() and (
        is_region or not all(share[at] for share, at in zip(shares, middle, strict=True))
    ):
        for axis, share in enumerate(shares):
            there = np.flatnonzero(share)
            middle[axis] = int(there[len(there) // 2])
            # The region may lie outside the body.
            first, last = min(spans[axis].start, int(there[0])), max(spans[axis].stop, int(there[-1]) + 1)
            spans[axis] = slice(first, last)
    cuts = []
    for plane in PLANES:
        fixed = _FIXED[plane]
        down, across = (axis for axis in range(3) if axis != fixed)
        cuts.append(
            Cut(plane, fixed, middle[fixed], spans[down], spans[across], (spacing[down], spacing[across]))
        )
    return cuts


def is_mostly_soft_tissue(picture: np.ndarray) -> bool:
    """Whether more than a half of the body in an axial slice is soft tissue, lungs and gas being part of the body.

    Args:
        picture: HU, (rows, columns).
    """
    from scipy.ndimage import binary_fill_holes, label

    parts, count = label(picture > _TISSUE_HU)
    if not count:
        return False
    body = binary_fill_holes(parts == np.bincount(parts.ravel())[1:].argmax() + 1)
    inside = picture[body]
    return float(((inside >= SOFT_TISSUE.low) & (inside <= SOFT_TISSUE.high)).mean()) > 0.5


def _extent(
    display: np.ndarray, spacing: tuple[float, float, float], is_hu: bool
) -> tuple[list[slice], list[int]]:
    """The span of the body along each axis, and its middle."""
    # Every second voxel suffices and is eight times as fast.
    coarse = display[::2, ::2, ::2]
    low, high = np.percentile(coarse, [2, 99.5])
    body = coarse > (_TISSUE_HU if is_hu else low + 0.15 * (high - low))
    spans, middle = [], []
    for axis, size in enumerate(display.shape):
        share = body.mean(axis=tuple(other for other in range(3) if other != axis))
        # Table, blanket and noise fill a small share of a slice, a body a large one.
        rows = np.flatnonzero(share > 0.12 * share.max()) if share.max() > 0 else np.arange(len(share))
        margin = int(np.ceil(_MARGIN_MM / spacing[axis]))
        first, last = max(0, 2 * int(rows[0]) - margin), min(size, 2 * int(rows[-1]) + 2 + margin)
        spans.append(slice(first, last))
        weights = share[rows]
        centre = float((rows * weights).sum() / weights.sum()) if weights.sum() > 0 else float(rows.mean())
        middle.append(min(size - 1, round(2 * centre)))
    return spans, middle
