"""Stacking of slices: their order along the normal and the exact matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from MAESILCore.data.formats import geometry
from MAESILCore.data.formats.dicom.headers import FrameHeader
from MAESILCore.data.formats.dicom.notes import named_files
from MAESILCore.data.formats.scan import Unreadable

#: Tolerance for rounding of cosines and millimetres.
ROUNDING = 1e-3

#: Tolerance of slice positions as a share of the spacing, as headers round positions.
_EVEN_SHARE = 0.05


def stack_slices(slices: Sequence[FrameHeader]) -> tuple[list[FrameHeader], np.ndarray]:
    """Sort the slices of a series along their normal and build their IJK-to-RAS matrix.

    The k axis is the step between slice positions, so the matrix keeps a gantry tilt as shear.

    Args:
        slices: at least two slices.

    Raises:
        Unreadable: a slice lacks its place, slices differ in size, pixel spacing or orientation, two
            share a position, or one is missing or unevenly spaced.
    """
    axes, pixel_spacing = _common_plane(slices)
    positions = np.array([header.position for header in slices])
    normal = np.cross(axes[0], axes[1])
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    _refuse_gaps(positions, normal)
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    slice_spacing = float(np.linalg.norm(step))
    directions = np.column_stack([axes[0], axes[1], step / slice_spacing])
    ijk_to_ras = geometry.ras_from_lps(directions, (*pixel_spacing, slice_spacing), positions[0])
    return [slices[n] for n in order], ijk_to_ras


def _common_plane(slices: Sequence[FrameHeader]) -> tuple[np.ndarray, np.ndarray]:
    """The (2, 3) in-plane unit vectors and the pixel spacing along i and j that all slices share."""
    placeless = [one for one in slices if one.position is None or one.orientation is None]
    unspaced = [one for one in slices if one.pixel_spacing is None or not (one.pixel_spacing > 0).all()]
    for what, without in (("position or orientation", placeless), ("pixel spacing", unspaced)):
        if without:
            names = named_files(header.path for header in without)
            raise Unreadable(f"has slices without a {what} ({names}): export it again.")
    orientations = np.array([header.orientation for header in slices])
    spacings = np.array([header.pixel_spacing for header in slices])
    count = len(groups_of(orientations, ROUNDING))
    if count > 1:
        raise Unreadable(f"mixes slices of {count} orientations: give each a folder of its own.")
    if len({header.size for header in slices}) > 1 or len(groups_of(spacings, ROUNDING)) > 1:
        raise Unreadable("mixes pixel sizes or spacings: give each kind a folder of its own.")
    lengths = np.linalg.norm(orientations[0], axis=1, keepdims=True)
    if (np.abs(lengths - 1) > 0.01).any() or abs(orientations[0, 0] @ orientations[0, 1]) > 0.01:
        raise Unreadable(
            "has an image orientation that is not two perpendicular unit vectors: export it again."
        )
    return orientations[0] / lengths, spacings[0]


def groups_of(values: Iterable[np.ndarray], tolerance: float) -> list[list[int]]:
    """Indices of the values, grouped by their distance from the first value of each group."""
    groups: list[tuple[np.ndarray, list[int]]] = []
    for n, value in enumerate(values):
        group = next((group for first, group in groups if np.abs(value - first).max() <= tolerance), None)
        if group is None:
            groups.append((value, [n]))
        else:
            group.append(n)
    return [group for _, group in groups]


def _refuse_gaps(positions: np.ndarray, normal: np.ndarray) -> None:
    """Reject sorted (N, 3) positions that are not evenly spaced on a line."""
    gaps = np.diff(positions @ normal)
    same = int((gaps < ROUNDING).sum())
    if same:
        raise Unreadable(
            f"has {same} of {len(positions)} slices at the position of another one (several phases or echoes): "
            "keep one at each position."
        )
    even = np.linspace(positions[0], positions[-1], len(positions))
    spacing = gaps.mean()
    if np.linalg.norm(positions - even, axis=1).max() <= _EVEN_SHARE * spacing:
        return
    usual = float(np.median(gaps))
    multiples = gaps / usual
    if np.abs(multiples - multiples.round()).max() <= _EVEN_SHARE and multiples.round().max() > 1:
        missing = int((multiples.round() - 1).sum())
        reason = f"lacks {missing} slice{'s' * (missing > 1)} among slices {usual:.4g} mm apart"
    else:
        reason = f"has uneven slice distances, from {gaps.min():.4g} to {gaps.max():.4g} mm"
    step = positions[-1] - positions[0]
    degrees = np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1.0, 1.0)))
    tilt = f", and the gantry was tilted by {degrees:.1f} degrees" if degrees > 0.1 else ""
    raise Unreadable(f"{reason}{tilt}: export the complete, evenly spaced series.")
