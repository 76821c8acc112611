"""The files of a DICOM folder: images, other DICOM objects, and other files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from MAESILCore.data.formats.dicom.headers import FileHeader, FrameHeader, read_header
from MAESILCore.data.formats.dicom.kinds import Kind, is_dicom, is_dicom_image
from MAESILCore.data.formats.dicom.lookalikes import Slices, is_companion
from MAESILCore.data.formats.scan import Unreadable
from MAESILCore.errors import VolumeError

#: Folders with copies or metadata of files, made by macOS archives and Synology stations.
_SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir"})

#: Maximum number of files to open below a folder with images; only their headers are read.
_MOST_BELOW = 1000

_UNCLEAR = "its SOP class, the kind of object, is missing or damaged: copy the folder again"


@dataclass
class Contents:
    """The contents of a folder.

    Attributes:
        headers: headers of all frames of all images.
        others: DICOM files without an image.
        strangers: files that are not DICOM, except usual companions of slices.
    """

    headers: list[FrameHeader] = field(default_factory=list)
    others: list[FileHeader] = field(default_factory=list)
    strangers: list[Path] = field(default_factory=list)


def read_contents(folder: Path) -> Contents:
    """Read the headers of a folder.

    The folders below are searched only if the folder itself has no images.

    Raises:
        VolumeError: an image cannot be read, a file looks like a lost slice, or there is no DICOM image.
    """
    contents = _read(folder.iterdir())
    if not contents.headers:
        contents = _read(_files_below(folder))
    if not contents.headers:
        kinds = ", ".join(sorted({other.modality or "unknown" for other in contents.others}))
        what = f"holds DICOM files, but none of them is an image (modality {kinds})"
        raise Unreadable(
            f"{what if contents.others else 'holds no DICOM files'}: give the folder of a CT series."
        )
    _sort_out_strangers(contents)
    return contents


def images_below(folder: Path) -> tuple[list[FrameHeader], bool]:
    """Headers of DICOM images in the subfolders of a folder.

    Unreadable files are skipped, and at most `_MOST_BELOW` files are opened.

    Returns:
        The headers, and whether all files were opened.
    """
    files = (path for path in _files_below(folder) if path.parent != folder)
    headers: list[FrameHeader] = []
    for path in islice(files, _MOST_BELOW):
        with suppress(VolumeError, OSError):
            headers += read_header(path).frames if is_dicom_image(path) else ()
    return headers, next(files, None) is None


def _read(paths: Iterable[Path]) -> Contents:
    contents = Contents()
    for path in sorted(path for path in paths if path.name.upper() != "DICOMDIR" and not path.is_dir()):
        if not _is_readable_dicom(path):
            contents.strangers.append(path)
            continue
        header = read_header(path)
        contents.headers += header.frames
        if header.kind is not Kind.IMAGE:
            contents.others.append(header)
    return contents


def _files_below(folder: Path) -> Iterator[Path]:
    """All files in and below a folder; follows links, visits each folder once, skips hidden ones."""
    visited: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(
            name for name in folders if name not in _SYSTEM_FOLDERS and not name.startswith(".")
        )
        yield from (Path(place) / name for name in sorted(names))


def _is_readable_dicom(path: Path) -> bool:
    try:
        return is_dicom(path)
    except VolumeError:
        # An unreadable file matters only if it is named like a slice, which is checked later.
        return False


def _sort_out_strangers(contents: Contents) -> None:
    """Reject non-DICOM files that look like slices, as skipping a lost slice would shorten the scan."""
    slices = Slices(header.path for header in contents.headers)
    losses = [(path, slices.loss(path)) for path in contents.strangers]
    unclear = [other.path for other in contents.others if other.kind is Kind.UNCLEAR]
    losses += [(path, _UNCLEAR) for path in unclear if slices.are_like(path)]
    for path, reason in losses:
        if reason:
            raise Unreadable(
                f"holds {path.name}, which looks like a slice, but {reason}, or take this file away."
            )
    contents.strangers = [path for path in [*contents.strangers, *unclear] if not is_companion(path)]
    contents.others = [other for other in contents.others if other.kind is Kind.OTHER]
