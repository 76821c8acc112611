"""Which reader or writer a path gets, and writing that leaves nothing half-written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from MAESILCore.errors import VolumeError
from MAESILCore.formats import nifti
from MAESILCore.formats.scan import Scan

WRITABLE = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")

_DOUBLE_EXTENSIONS = (".nii.gz", ".hdr.gz", ".img.gz")


def extension_of(path: Path) -> str:
    """The lower-case extension, ".nii.gz" in one piece."""
    name = path.name.lower()
    return next((double for double in _DOUBLE_EXTENSIONS if name.endswith(double)), path.suffix.lower())


def stem_of(path: Path) -> str:
    """The name of a file without its extension, or of a folder."""
    extension = "" if path.is_dir() else extension_of(path)
    return path.name[: len(path.name) - len(extension)] if extension else path.name


def read(path: Path, series: str | None = None) -> Scan:
    """Read a file by its extension, or a DICOM folder.

    Raises:
        VolumeError: If there is nothing at the path, or what is there cannot be used.
    """
    if not path.exists():
        raise VolumeError(f"There is no file or folder {path}.")
    extension = extension_of(path)
    if path.is_file() and extension in nifti.READABLE:
        return nifti.read(path)
    raise VolumeError(f"{path.name} is of no known format.")


def write(scan: Scan, path: Path) -> None:
    """Write a file by its extension; on any failure the path is left as it was.

    Raises:
        VolumeError: If the format is unknown, cannot hold the scan, or the folder cannot be written to.
    """
    extension = extension_of(path)
    if extension not in WRITABLE:
        raise VolumeError(f"Volumes are written as {', '.join(WRITABLE)}, not as {extension or path.name!r}.")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".maesil-") as folder:
            unfinished = Path(folder) / path.name
            nifti.write(scan, unfinished)
            _publish(unfinished, path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise VolumeError(f"{path} cannot be written: {reason[:1].lower()}{reason[1:]}.") from error


def _publish(unfinished: Path, folder: Path) -> None:
    """Move what a writer made into place, a detached data file before the header that names it."""
    for file in sorted(unfinished.parent.iterdir(), key=lambda made: made == unfinished):
        os.replace(file, folder / file.name)
