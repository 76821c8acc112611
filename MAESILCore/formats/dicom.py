"""DICOM scans: one series of a folder, or one multi-frame file, sorted by position, rescaled to HU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from MAESILCore.errors import VolumeError
from MAESILCore.formats import checks, content
from MAESILCore.formats.dicom_geometry import stack_slices
from MAESILCore.formats.dicom_headers import FrameHeader, is_dicom, read_headers
from MAESILCore.formats.dicom_pixels import read_frames
from MAESILCore.formats.dicom_series import (
    DERIVED_MODALITIES,
    Series,
    choose_series,
    find_series,
    without_strays,
)
from MAESILCore.formats.scan import Scan
from MAESILCore.wording import displayable

_NAMED_FILES = 3


def read_folder(folder: Path, series: str | None) -> Scan:
    """Read the scan of a DICOM folder, of classic slices or of enhanced multi-frame images.

    Args:
        folder: With the images in it, or in folders below it.
        series: Number or UID of the wanted series where several can be a scan.

    Raises:
        VolumeError: If the series is not clear, or its slices make no evenly spaced stack of real numbers.
    """
    found, others = find_series(folder)
    chosen = choose_series(folder, found, series)
    scan = _read_stack(folder, chosen.headers)
    return Scan(scan.voxels, scan.ijk_to_ras, (*_folder_notes(chosen, found, others), *scan.notes))


def read_file(path: Path) -> Scan:
    """Read an enhanced multi-frame file.

    Raises:
        VolumeError: If the file holds a single slice, as classic DICOM does, or no stack of real numbers.
    """
    if not is_dicom(path):
        content.refuse_other_content(path, ".dcm")
        raise VolumeError(f"{path.name} lacks the header of a DICOM file (the DICM mark): export it again.")
    headers = read_headers(path)
    if not headers:
        raise VolumeError(f"{path.name} is a DICOM object without an image that is read here.")
    return _read_stack(path, headers)


def _read_stack(path: Path, headers: Sequence[FrameHeader]) -> Scan:
    stack, scouts = without_strays(headers)
    _refuse_contents(path, stack)
    if len(stack) == 1:
        size = checks.dimensions_text(stack[0].size)
        remedy = "a 3D scan of at least two is needed" if path.is_dir() else "give the folder of its series"
        # The pixels are decoded all the same, so that a damaged file is named as such.
        read_frames(stack)
        raise VolumeError(f"{path.name} has only one slice ({size}): {remedy}.")
    checks.refuse_flat(path, (*stack[0].size, len(stack)))
    ordered, ijk_to_ras = stack_slices(path, stack)
    voxels, notes = read_frames(ordered)
    return Scan(voxels, ijk_to_ras, (*_stack_notes(ordered, scouts), *notes))


def _refuse_contents(path: Path, headers: Sequence[FrameHeader]) -> None:
    modality = headers[0].modality
    if modality in DERIVED_MODALITIES:
        raise VolumeError(f"{path.name} is a DICOM object of the modality {modality}, not a scan.")
    if any(header.is_colour for header in headers):
        raise VolumeError(f"{path.name} holds colours (RGB): a scan with one number a voxel is needed.")
    frames = next((header.frames for header in headers if header.frames > 1 and header.position is None), 1)
    if frames > 1:
        raise VolumeError(
            f"{path.name} is multi-frame DICOM ({frames} frames) without the position of each frame: "
            "convert it to NIfTI."
        )


def _folder_notes(chosen: Series, found: Sequence[Series], others: int) -> tuple[str, ...]:
    notes = []
    left_out = [str(one.info) for one in found if one is not chosen]
    if left_out:
        notes.append(f"The folder's other series were left out: {', '.join(left_out)}.")
    if others:
        notes.append(f"{others} other DICOM object{'s' * (others > 1)} (no image) left out.")
    return tuple(notes)


def _stack_notes(ordered: Sequence[FrameHeader], scouts: Sequence[FrameHeader]) -> tuple[str, ...]:
    notes = []
    if scouts:
        names = [displayable(scout.path.name) for scout in scouts[:_NAMED_FILES]]
        more = ", ..." if len(scouts) > _NAMED_FILES else ""
        count = "1 scout image was" if len(scouts) == 1 else f"{len(scouts)} scout images were"
        notes.append(f"{count} left out ({', '.join(names)}{more}).")
    first = ordered[0]
    if first.modality != "CT":
        notes.append(f"The modality is {first.modality or 'not stated'}, not CT.")
    if _is_interleaved([header.acquisition for header in ordered]):
        notes.append(
            "The slices of several acquisitions alternate in this stack: it may mix phases or doses."
        )
    if len({header.kernel for header in ordered}) > 1:
        notes.append("The slices were reconstructed with different kernels.")
    unscaled = sum(not (header.has_rescale or header.has_modality_lut) for header in ordered)
    if first.modality == "CT" and unscaled:
        notes.append(
            f"{unscaled} of {len(ordered)} slices state no rescale slope and intercept; 1 and 0 were taken."
        )
    if any(header.has_modality_lut for header in ordered):
        notes.append("The values come from the file's Modality LUT, which replaces slope and intercept.")
    if any(header.has_coloured_values for header in ordered):
        notes.append("Some values stand for colours of a map over the image, not for HU.")
    units = sorted({header.rescale_type for header in ordered} - {"HU", "US", ""})
    if first.modality == "CT" and units:
        notes.append(f"The header says that the values are in {' and '.join(units)}, not HU.")
    return tuple(notes)


def _is_interleaved(acquisitions: Sequence[tuple[str, ...]]) -> bool:
    """Whether an acquisition comes back after another one, along the stack."""
    for values in zip(*acquisitions, strict=True):
        runs = [value for n, value in enumerate(values) if n == 0 or value != values[n - 1]]
        if len(set(runs)) < len(runs):
            return True
    return False
