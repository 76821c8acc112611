"""What DICOM SEG and RTSTRUCT share: finding the object, and the check that it belongs to the scan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from MAESILCore.data.formats.dicom.kinds import is_dicom, parsing, text_of
from MAESILCore.data.formats.found import listed
from MAESILCore.data.formats.scan import Unreadable
from MAESILCore.wording import displayable

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

STRUCTURE_SET = "RTSTRUCT"
SEGMENTATION = "SEG"

_MODALITIES = (STRUCTURE_SET, SEGMENTATION)


def object_at(path: Path) -> tuple[Path, str] | None:
    """The DICOM object with segments that a path means, and its modality; None if it is something else.

    Args:
        path: a file, or a folder with one such object; other DICOM files beside it, such as the scan, do not matter.

    Raises:
        VolumeError: a folder has several.
    """
    objects = [(file, modality) for file in _files(path) if (modality := _modality(file)) in _MODALITIES]
    if len(objects) > 1:
        names = listed([displayable(file.name) for file, _ in objects])
        raise Unreadable(f"holds {len(objects)} DICOM objects with segments ({names}): give one of them.")
    return objects[0] if objects else None


def frames_of_reference(path: Path) -> set[str]:
    """The UIDs of the frames of reference of a DICOM file or folder; empty if it is no DICOM."""
    found = set()
    for file in _files(path):
        if is_dicom(file):
            with parsing(file):
                found.add(text_of(_header(file), "FrameOfReferenceUID"))
    return found - {""}


def refuse_other_frame(uids: set[str], scan: Path | None) -> None:
    """Check that segments are in the frame of reference of a scan, as far as both state it.

    Args:
        uids: frames of reference of the segments.
        scan: the scan's file or folder.

    Raises:
        Unreadable: they are not.
    """
    wanted = set() if scan is None else frames_of_reference(scan)
    if scan is not None and uids and wanted and not uids & wanted:
        raise Unreadable(
            f"belongs to another scan than {displayable(scan.name)} (its frame of reference is another one): "
            "give the labels of this scan."
        )


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
    else:
        yield path


def _modality(path: Path) -> str:
    """The modality of a DICOM file, "" of another file."""
    if not is_dicom(path):
        return ""
    with parsing(path):
        return text_of(_header(path), "Modality")


def _header(path: Path) -> Dataset:
    from pydicom import dcmread

    return dcmread(path, stop_before_pixels=True, specific_tags=["Modality", "FrameOfReferenceUID"])
