"""The scans below folders: single files by their extension, and folders of DICOM slices."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from MAESILCore.errors import VolumeError
from MAESILCore.formats.dicom_headers import is_dicom_image
from MAESILCore.formats.names import READABLE, extension_of

#: The halves of two-file formats that are not a scan of their own.
_SECOND_HALVES = (".img", ".img.gz")


def find_scans(paths: Iterable[Path]) -> list[Path]:
    """Files and DICOM folders at and below the given paths, sorted, each once.

    Raises:
        VolumeError: If a path does not exist, or there is no scan at all.
    """
    starts = list(paths)
    found: dict[Path, Path] = {}
    for start in starts:
        if not start.exists():
            raise VolumeError(f"There is no file or folder {start}.")
        for scan in _scans_below(start) if start.is_dir() else [start]:
            found.setdefault(scan.resolve(), scan)
    if not found:
        places = ", ".join(str(start) for start in starts) or "no path"
        kinds = "NIfTI, NRRD, MetaImage or MGH files, or DICOM folders"
        raise VolumeError(f"There is no scan in {places}: give {kinds}.")
    return sorted(found.values())


def _scans_below(start: Path) -> list[Path]:
    files: list[Path] = []
    dicom_folders: list[Path] = []
    for folder, names in _walk(start):
        scans = [folder / name for name in names if _is_scan_file(name)]
        files += scans
        rest = (folder / name for name in names if extension_of(Path(name)) not in READABLE)
        if any(is_dicom_image(path) for path in rest):
            dicom_folders.append(folder)
    return files + [_widest(folder, start, files, dicom_folders) for folder in dicom_folders]


def _walk(start: Path) -> Iterator[tuple[Path, list[str]]]:
    for folder, below, names in os.walk(start):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield Path(folder), sorted(name for name in names if not name.startswith("."))


def _is_scan_file(name: str) -> bool:
    extension = extension_of(Path(name))
    return extension in READABLE and extension not in _SECOND_HALVES


def _widest(folder: Path, start: Path, files: list[Path], dicom_folders: list[Path]) -> Path:
    """The outermost folder, up to `start`, below which this is the only scan: it names it best."""
    others = [*files, *(other for other in dicom_folders if other != folder)]
    while folder != start and not any(other.is_relative_to(folder.parent) for other in others):
        folder = folder.parent
    return folder
