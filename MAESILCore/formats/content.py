"""What a file really holds when its name promises something else."""

from __future__ import annotations

import stat
from pathlib import Path

from MAESILCore.errors import VolumeError

_GZIP = b"\x1f\x8b"
_LONGEST_POINTER = 1024
_PROBE_BYTES = 2048

#: First bytes of what people meet in place of a scan, and what to do about it.
_OTHER_KINDS = (
    (b"PK\x03\x04", "is a zip archive: unpack it"),
    (b"Rar!", "is a RAR archive: unpack it"),
    (b"7z\xbc\xaf'\x1c", "is a 7-Zip archive: unpack it"),
    (b"\xfd7zXZ", "is compressed with xz: unpack it"),
    (b"BZh", "is compressed with bzip2: unpack it"),
    (b"(\xb5/\xfd", "is compressed with Zstandard: unpack it"),
    (b"\x89HDF\r\n", "is an HDF5 file (MINC 2, MATLAB), which is not read here: convert it to NIfTI"),
)


def refuse_other_content(path: Path, extension: str) -> None:
    """Refuse a scan file that is empty, a pointer to a file elsewhere, a web page, or compressed against its name.

    Args:
        path: A regular file.
        extension: Its extension, in lower case and ".nii.gz" in one piece.

    Raises:
        VolumeError: With what the file is, and what to do.
    """
    with path.open("rb") as file:
        first = file.read(_PROBE_BYTES)
    problem = _what_else(first, path.stat().st_size)
    if problem:
        raise VolumeError(f"{path.name} {problem}.")
    is_gzip = first.startswith(_GZIP)
    if extension in (".nii", ".hdr", ".img", ".mgh", ".nrrd", ".nhdr", ".mha", ".mhd") and is_gzip:
        new = ".mgz" if extension == ".mgh" else f"{extension}.gz"
        remedy = (
            f"rename it to end in {new}" if extension in (".nii", ".hdr", ".img", ".mgh") else "unpack it"
        )
        raise VolumeError(f"{path.name} is compressed with gzip, and its name does not say so: {remedy}.")
    if extension in (".nii.gz", ".hdr.gz", ".img.gz", ".mgz") and not is_gzip:
        new = ".mgh" if extension == ".mgz" else extension[: -len(".gz")]
        raise VolumeError(
            f"{path.name} is not compressed with gzip, as its name says: rename it to end in {new}."
        )


def why_no_dicom(path: Path) -> str:
    """Why a file is no DICOM file, as the end of a sentence."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "it is no regular file"
        with path.open("rb") as file:
            first = file.read(_PROBE_BYTES)
    except FileNotFoundError:
        return "it is a link to a file that does not exist"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    problem = _what_else(first, path.stat().st_size)
    return f"it {problem.partition(':')[0]}" if problem else "it lacks the mark of a DICOM file (DICM)"


def _what_else(first: bytes, size: int) -> str:
    if size == 0:
        return "is empty (0 bytes): copy or export it again"
    text = first.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"version https://git-lfs", b"version https://hawser")):
        return "is a Git LFS pointer and not the scan itself: fetch the file with git lfs pull"
    if size <= _LONGEST_POINTER and b"annex/objects" in text:
        return "is a git-annex pointer and not the scan itself: fetch the file with git annex get (or datalad get)"
    if size <= _LONGEST_POINTER and text.startswith(b"outs:") and b"md5:" in text:
        return "is a DVC pointer and not the scan itself: fetch the file with dvc pull"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page or XML and not a scan: download it again"
    return next((problem for mark, problem in _OTHER_KINDS if first.startswith(mark)), "")
