"""Choice of reader or writer by path, and atomic writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from MAESILCore.data.formats import analyze, content, entries, itk_writers, metaimage, mgh, names, nifti, nrrd
from MAESILCore.data.formats.dicom import reader
from MAESILCore.data.formats.dicom.kinds import is_dicom
from MAESILCore.data.formats.scan import Scan, Unreadable, named
from MAESILCore.errors import VolumeError
from MAESILCore.files import write_whole

_WRITERS = {
    **dict.fromkeys((".nii", ".nii.gz"), nifti.write),
    **dict.fromkeys((".nrrd", ".mha", ".mhd"), itk_writers.write),
}


def read(path: Path, series: str | None = None, within: Path | None = None) -> Scan:
    """Read a file by its extension, or a DICOM folder.

    Args:
        path: the file or folder.
        series: number or UID of the wanted series of a DICOM folder.
        within: the folder that must contain all data files of a header; None allows all folders.

    Raises:
        VolumeError: the path does not exist or cannot be read as a scan.
    """
    with readable(path):
        return _read(path, series, within)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Check a path, and convert the errors of reading it to sentences.

    Raises:
        VolumeError: the path does not exist, or the block raised an `Unreadable` or `OSError`.
    """
    entries.refuse_unreadable(path)
    try:
        with named(path):
            yield
    except OSError as error:
        raise _unusable(path, "read", error) from error


def _read(path: Path, series: str | None, within: Path | None) -> Scan:
    if path.is_dir():
        return reader.read_folder(path, series)
    if series is not None:
        raise Unreadable("is a file, but a series can be chosen from a DICOM folder only.")
    extension = names.extension_of(path)
    if extension in names.READABLE:
        content.refuse_other_content(path, extension)
    if extension in names.NRRD:
        return nrrd.read(path, within)
    if extension in names.META_IMAGE:
        return metaimage.read(path, within)
    if extension in names.MGH:
        return mgh.read(path)
    if extension in (".nii", ".nii.gz"):
        return nifti.read(path)
    if extension in names.NIFTI:
        halves = nifti.pair(path)
        for half in halves:
            content.refuse_other_content(half, names.extension_of(half))
        return nifti.read(path) if nifti.is_nifti(halves[0]) else analyze.read(path)
    if extension == ".dcm" or is_dicom(path):
        return reader.read_file(path)
    content.refuse_other_content(path, "")
    raise Unreadable(f"has no supported format: give {' '.join(names.READABLE)} or a DICOM folder.")


def write(scan: Scan, path: Path) -> None:
    """Write a file by its extension, atomically.

    Raises:
        VolumeError: the format is unknown, cannot hold the scan, or the folder cannot be written to.
    """
    write_with(_writer_of(path), scan, path)


def write_with(write_file: Callable[[Scan, Path], None], scan: Scan, path: Path) -> None:
    """Write a file by a function, atomically.

    Raises:
        VolumeError: the format cannot hold the scan, or the folder cannot be written to.
    """
    try:
        with write_whole(path) as unfinished:
            write_file(scan, unfinished)
    except OSError as error:
        raise _unusable(path, "written", error) from error


def check_format(path: Path) -> None:
    """Check in advance that a volume can be written with the extension of a path.

    Raises:
        VolumeError: the format is unknown.
    """
    _writer_of(path)


def _writer_of(path: Path) -> Callable[[Scan, Path], None]:
    extension = names.extension_of(path)
    if extension not in _WRITERS:
        raise VolumeError(f"Volumes are written as {', '.join(_WRITERS)}, not as {extension or path.name!r}.")
    return _WRITERS[extension]


def _unusable(path: Path, done: str, error: OSError) -> VolumeError:
    return VolumeError(f"{path} cannot be {done}: {entries.system_reason(error)}.")
