"""Pictures of the places that a search has found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.data.volume import Volume
from MAESILCore.errors import VolumeError
from MAESILCore.files import why_unwritable, write_whole
from MAESILCore.optional import require
from MAESILCore.report.planes import display_frame
from MAESILCore.report.shading import rgb, viewing_window

#: Edge of a picture in pixels, and of the part of the scan that it shows in mm.
SIZE, WIDTH_MM = 192, 160.0
#: The cross; a gap keeps the place itself visible.
_COLOUR, _ARM, _GAP = "#ffd23f", 14, 5


def thumbnail(volume: Volume, ras: Sequence[float]) -> np.ndarray:
    """An axial cut around a place, with a cross, in radiological convention.

    Oblique volumes are cut along their own axes. Outside the scan it is black.

    Args:
        volume: the scan.
        ras: the place in mm.

    Returns:
        (SIZE, SIZE, 3) uint8.
    """
    from scipy.ndimage import map_coordinates

    frame = display_frame(volume)
    display = frame.turn(volume.voxels)
    kji = np.linalg.solve(volume.ijk_to_ras, [*ras, 1.0])[2::-1]
    place = [kji[axis] for axis in frame.order]
    for axis, is_flipped in enumerate(frame.flipped):
        if is_flipped:
            place[axis] = display.shape[axis] - 1 - place[axis]
    offsets = (np.arange(SIZE) - (SIZE - 1) / 2) * (WIDTH_MM / SIZE)
    rows, columns = (place[axis] + offsets / frame.spacing[axis] for axis in (1, 2))
    plane = int(np.clip(round(float(place[0])), 0, len(display) - 1))
    window = viewing_window(volume)
    cut = map_coordinates(
        display[plane].astype(np.float32),
        np.meshgrid(rows, columns, indexing="ij"),
        order=1,
        cval=window.low,
    )
    picture = np.repeat(np.rint(window.apply(cut) * 255.0).astype(np.uint8)[..., None], 3, axis=2)
    middle = SIZE // 2
    for arm in (slice(middle - _ARM, middle - _GAP), slice(middle + _GAP, middle + _ARM)):
        for index in ((slice(middle - 1, middle + 1), arm), (arm, slice(middle - 1, middle + 1))):
            picture[index] = np.rint(rgb(_COLOUR) * 255.0)
    return picture


def write_thumbnail(volume: Volume, ras: Sequence[float], path: Path) -> None:
    """Write `thumbnail` as PNG.

    Raises:
        MissingPackageError: pillow is not installed.
        VolumeError: the file cannot be written.
    """
    image: Any = require("PIL.Image", "A thumbnail")
    try:
        with write_whole(path) as unfinished:
            image.fromarray(thumbnail(volume, ras)).save(unfinished)
    except OSError as error:
        raise VolumeError(f"{path} cannot be written: {why_unwritable(path, error)}.") from error
