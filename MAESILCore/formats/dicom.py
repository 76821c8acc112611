"""DICOM folders through SimpleITK (GDCM): one series, sorted by position, rescaled to HU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from MAESILCore.errors import VolumeError
from MAESILCore.formats import checks, numbers
from MAESILCore.formats.dicom_geometry import stack_slices
from MAESILCore.formats.dicom_headers import SliceHeader, is_dicom, read_header
from MAESILCore.formats.dicom_series import DERIVED_MODALITIES, Series, choose_series, find_series
from MAESILCore.formats.scan import Scan


def read_folder(folder: Path, series: str | None) -> Scan:
    """Read the scan of a DICOM folder.

    Args:
        folder: With the images in it, or in folders below it.
        series: Number or UID of the wanted series where several can be a scan.

    Raises:
        VolumeError: If the series is not clear, or its slices make no evenly spaced stack of real numbers.
    """
    found, others = find_series(folder)
    chosen = choose_series(folder, found, series)
    headers = chosen.headers
    _refuse_contents(folder, headers)
    if len(headers) == 1:
        raise VolumeError(f"{folder.name} has only one slice: a 3D scan of at least two is needed.")
    ordered, ijk_to_ras = stack_slices(folder, headers)
    voxels = np.stack([_read_pixels(header.path) for header in ordered])
    return Scan(voxels, ijk_to_ras, _notes(chosen, found, others))


def refuse_file(path: Path) -> NoReturn:
    """Say why a single DICOM file is no scan.

    Raises:
        VolumeError: Always: classic DICOM keeps one slice in a file, and files of several frames are refused.
    """
    header = read_header(path)
    if header is None:
        if is_dicom(path):
            raise checks.damaged(path, "its pixel data end too early or do not decode, or it is no image")
        raise VolumeError(f"{path.name} lacks the header of a DICOM file (the DICM mark): export it again.")
    _refuse_contents(path, (header,))
    size = checks.dimensions_text(header.size)
    raise VolumeError(f"{path.name} has only one slice ({size}): give the folder of its series.")


def _refuse_contents(path: Path, headers: Sequence[SliceHeader]) -> None:
    modality, frames = headers[0].modality, max(header.frames for header in headers)
    if modality in DERIVED_MODALITIES:
        raise VolumeError(f"{path.name} is a DICOM object of the modality {modality}, not a scan.")
    if any(header.components > 1 for header in headers):
        raise VolumeError(f"{path.name} holds colours (RGB): a scan with one number a voxel is needed.")
    if frames > 1:
        raise VolumeError(
            f"{path.name} is multi-frame DICOM ({frames} frames), not read here: convert it to NIfTI."
        )


def _read_pixels(path: Path) -> np.ndarray:
    """One slice (j, i), rescaled, in the smallest type that holds it."""
    import SimpleITK

    try:
        image = SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO")
    except RuntimeError as error:
        raise checks.damaged(path, "its pixel data do not decode") from error
    pixels = SimpleITK.GetArrayViewFromImage(image)
    return numbers.narrowed(pixels[0] if pixels.ndim == 3 else pixels)


def _notes(chosen: Series, found: Sequence[Series], others: int) -> tuple[str, ...]:
    notes = []
    left_out = [str(one.info) for one in found if one is not chosen]
    if left_out:
        notes.append(f"The folder's other series were left out: {', '.join(left_out)}.")
    if others:
        notes.append(f"{others} other DICOM object{'s' * (others > 1)} (no image) left out.")
    modality = chosen.info.modality
    if modality != "CT":
        notes.append(f"The modality is {modality or 'not stated'}, not CT.")
    return tuple(notes)
