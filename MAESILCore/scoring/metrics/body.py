"""Finds the body of the patient in a CT."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np

from MAESILCore.data.intensity import body_floor
from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window

_BODY_HU = -500.0
#: Air that touches the edge of a slice is lung if its median is above this, else room air. Lungs in chest crops have
#: medians of -850 to -700 HU, room air of -1000 to -870 HU.
_LUNG_HU = -850.0
#: Depth of the skin in `below_skin`.
_SKIN_MM = 5.0


def body_mask(volume: Volume, window: Window) -> tuple[np.ndarray, str]:
    """The voxels of the patient, without table and surrounding air.

    They are the largest connected part above -500 HU with its holes filled in each axial slice, so that lungs and bowel
    gas are included. Lungs that touch the edge of a slice are recognised by their median HU. If the values are not HU,
    the body is what lies above `intensity.body_floor`.

    Args:
        volume: the scan.
        window: used only if the values are not HU.

    Returns:
        (k, j, i) bool, and a sentence on the method.
    """
    if not volume.looks_like_hu:
        floor = body_floor(volume.voxels, window)
        return volume.voxels > floor, f"The values are not HU: body is what lies above {floor:g}."
    body = _largest_part(volume.voxels > _BODY_HU)
    axial = _axial_axis(volume.ijk_to_ras)
    slices = zip(np.moveaxis(body, axial, 0), np.moveaxis(volume.voxels, axial, 0), strict=True)
    for inside, hu in slices:
        _fill_slice(inside, hu)
    return body, f"Body is the largest part above {_BODY_HU:g} HU with its holes filled slice by slice."


def below_skin(body: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """The voxels of a body that are more than 5 mm away from its surface, measured along the axes.

    The body is known from the scan, so that its skin is where the scan is bright: predictions of a blurred skin are too
    dark inside the body, and too bright outside, even if they are right on average.

    Args:
        body: (k, j, i) bool, the result of `body_mask`.
        spacing: voxel size along k, j, i, mm.

    Returns:
        (k, j, i) bool. What the scan cuts off counts as body.
    """
    from scipy.ndimage import minimum_filter

    size = [2 * ceil(_SKIN_MM / edge) + 1 for edge in spacing]
    return np.asarray(minimum_filter(body.view(np.uint8), size=size, mode="nearest")).astype(bool)


def _largest_part(tissue: np.ndarray) -> np.ndarray:
    """The largest 26-connected component."""
    from scipy.ndimage import label

    parts, count = label(tissue, structure=np.ones((3, 3, 3), dtype=bool))
    if count < 2:
        return tissue
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == sizes.argmax())


def _axial_axis(ijk_to_ras: np.ndarray) -> int:
    """The array axis (0 for k) closest to the head-feet direction."""
    directions = ijk_to_ras[:3, :3] / np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    return 2 - int(np.abs(directions[2]).argmax())


def _fill_slice(inside: np.ndarray, hu: np.ndarray) -> None:
    """Add enclosed holes, and lungs that touch the edge, to one slice, in place."""
    from scipy.ndimage import label, median

    parts, count = label(~inside)
    if not count or not inside.any():
        return
    edge = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    numbers = np.arange(1, count + 1)
    is_inside = np.isin(numbers, edge, invert=True)
    cut = numbers[~is_inside]
    is_inside[~is_inside] = np.atleast_1d(median(hu, parts, cut)) > _LUNG_HU
    inside |= np.concatenate([[False], is_inside])[parts]
