"""DICOM scans: one series of a folder, or one multi-frame file, sorted by position, rescaled to HU."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from MAESILCore.data.formats import checks, content
from MAESILCore.data.formats.dicom.folder import images_below
from MAESILCore.data.formats.dicom.geometry import ROUNDING, stack_slices
from MAESILCore.data.formats.dicom.headers import FrameHeader, read_header
from MAESILCore.data.formats.dicom.kinds import DERIVED_MODALITIES, Kind, is_dicom
from MAESILCore.data.formats.dicom.notes import left_out_notes, named_files, stack_notes
from MAESILCore.data.formats.dicom.pixels import read_frames
from MAESILCore.data.formats.dicom.series import choose_series, find_series, listing, without_strays
from MAESILCore.data.formats.scan import Scan, Unreadable, damaged


def read_folder(folder: Path, series: str | None) -> Scan:
    """Read the scan of a DICOM folder with classic slices or enhanced multi-frame images.

    Args:
        folder: the folder; images may be in subfolders.
        series: number or UID of the wanted series; None if only one can be a scan.

    Raises:
        Unreadable: the series is ambiguous, or its slices are no evenly spaced stack of real numbers.
    """
    found, contents = find_series(folder)
    chosen = choose_series(found, series)
    notes = left_out_notes([other.path for other in contents.others], contents.strangers)
    others = [one for one in found if one is not chosen]
    if others:
        notes.insert(0, f"The folder's other series were left out: {listing(others, found)}.")
    if any(header.path.parent == folder for header in chosen.headers):
        notes += _notes_on_images_below(folder, chosen.headers)
    scan = _read_stack(folder, chosen.headers)
    return Scan(scan.voxels, scan.ijk_to_ras, (*notes, *scan.notes))


def read_file(path: Path) -> Scan:
    """Read an enhanced multi-frame file.

    Raises:
        Unreadable: the file holds a single slice, as classic DICOM does, or no stack of real numbers.
    """
    if not is_dicom(path):
        content.refuse_other_content(path, ".dcm")
        raise Unreadable("lacks the header of a DICOM file (the DICM mark): export it again.")
    header = read_header(path)
    if header.kind is Kind.UNCLEAR:
        raise damaged("its SOP class, the kind of object, is missing or unknown")
    if header.kind is Kind.OTHER:
        raise Unreadable("is a DICOM object without a supported image: give a CT series.")
    return _read_stack(path, header.frames)


def _read_stack(path: Path, headers: Sequence[FrameHeader]) -> Scan:
    stack, scouts = without_strays(headers)
    _refuse_contents(stack)
    part_notes = _part_notes(stack)
    if len(stack) == 1:
        size = checks.dimensions_text(stack[0].size)
        remedy = "a 3D scan of at least two is needed" if path.is_dir() else "give the folder of its series"
        # Decoding the pixels first reports damaged files as such.
        read_frames(stack)
        raise Unreadable(f"has only one slice ({size}): {remedy}.")
    checks.refuse_flat((*stack[0].size, len(stack)))
    ordered, ijk_to_ras = stack_slices(stack)
    voxels, notes = read_frames(ordered)
    return Scan(voxels, ijk_to_ras, (*part_notes, *stack_notes(ordered, scouts), *notes))


def _refuse_contents(headers: Sequence[FrameHeader]) -> None:
    modality = headers[0].modality
    if modality in DERIVED_MODALITIES:
        raise Unreadable(f"is a DICOM object of the modality {modality}, not a scan: give a CT series.")
    if any(header.is_colour for header in headers):
        raise Unreadable("holds colours (RGB): one number per voxel is needed.")
    frames = next((header.frames for header in headers if header.frames > 1 and header.position is None), 1)
    if frames > 1:
        raise Unreadable(
            f"is multi-frame DICOM ({frames} frames) without the position of each frame: convert it to NIfTI."
        )


def _part_notes(headers: Sequence[FrameHeader]) -> list[str]:
    """Reject an image with missing parts; returns a note if the number of parts is unknown."""
    images = defaultdict(list)
    for part in (header.part for header in headers if header.part is not None):
        images[part.of].append(part)
    notes = []
    for parts in images.values():
        there, stated = {part.number for part in parts} - {0}, max(part.count for part in parts)
        count = max(stated, *there, 0)
        missing = count - len(there)
        if missing:
            raise Unreadable(
                f"is a part of a larger image (a concatenation), of which {missing} of {count} parts "
                f"{'is' if missing == 1 else 'are'} missing: give a folder with all of them."
            )
        if not stated:
            notes.append(
                "The image is divided into parts, and no header states their number: some may be missing."
            )
    return notes


def _notes_on_images_below(folder: Path, headers: Sequence[FrameHeader]) -> list[str]:
    """A note on images in subfolders, which are not read.

    Raises:
        Unreadable: some of them continue this stack.
    """
    below, is_all = images_below(folder)
    lost = [header for header in below if _continues(header, headers)]
    places = named_files(header.path.parent for header in lost or below)
    if lost:
        raise Unreadable(
            f"has {len(lost)} more slice{'s' * (len(lost) > 1)} of this series in folders below ({places}): "
            "put all slices into one folder."
        )
    if not below:
        return []
    files = len({header.path for header in below})
    count = f"{files}" if is_all else f"At least {files}"
    images = "image in a folder below was" if files == 1 else "images in folders below were"
    return [f"{count} DICOM {images} left out ({places})."]


def _continues(header: FrameHeader, headers: Sequence[FrameHeader]) -> bool:
    """Whether a slice has the series and kind of others, but a new position, so that it is no copy."""
    first = headers[0]
    # Blank identifiers match nothing, and resampled copies may keep the series UID.
    is_alike = header.series_uid != "" and all(
        header.acquisition[tag] == first.acquisition[tag]
        for tag in ("StudyInstanceUID", "FrameOfReferenceUID", "ImageType")
    )
    is_alike &= (header.series_uid, header.size) == (first.series_uid, first.size) and not header.is_localizer
    if not is_alike or header.position is None:
        return False
    pairs = ((header.orientation, first.orientation), (header.pixel_spacing, first.pixel_spacing))
    if any(a is None or b is None or bool((np.abs(a - b) > ROUNDING).any()) for a, b in pairs):
        return False
    positions = np.array([one.position for one in headers if one.position is not None]).reshape(-1, 3)
    return bool((np.abs(positions - header.position).max(axis=1) > ROUNDING).all())
