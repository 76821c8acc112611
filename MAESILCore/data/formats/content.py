"""Detection of files whose content does not match their name."""

from __future__ import annotations

import re
import stat
import zlib
from pathlib import Path

from MAESILCore.errors import VolumeError

GZIP_MARK = b"\x1f\x8b"
_LONGEST_POINTER = 1024
_PROBE_BYTES = 2048
_TAR_PLACE = 257

#: First bytes, in lower case, of the link files of macOS (XSym), Windows (.lnk) and Interix.
_LINKS = (b"xsym\n", b"l\0\0\0\x01\x14\x02\0\0", b"intxlnk\x01")

#: First bytes of archives, and the advice for each.
_ARCHIVES = (
    (b"PK\x03\x04", "is a zip archive: unpack it"),
    (b"Rar!", "is a RAR archive: unpack it"),
    (b"7z\xbc\xaf'\x1c", "is a 7-Zip archive: unpack it"),
    (b"\xfd7zXZ", "is compressed with xz: unpack it"),
    (b"BZh", "is compressed with bzip2: unpack it"),
    (b"(\xb5/\xfd", "is compressed with Zstandard: unpack it"),
    (b"\x1f\x9d", "is compressed with compress (.Z): unpack it"),
    (b"\x89HDF\r\n", "is an HDF5 file (MINC 2, MATLAB), which is not supported: convert it to NIfTI"),
)

#: Formats with a magic number, by extension.
_FORMATS = {
    **dict.fromkeys((".nii", ".nii.gz", ".hdr", ".hdr.gz"), "NIfTI"),
    **dict.fromkeys((".mgh", ".mgz"), "MGH"),
    **dict.fromkeys((".nrrd", ".nhdr"), "NRRD"),
    **dict.fromkeys((".mha", ".mhd"), "MetaImage"),
    ".dcm": "DICOM",
}
_COMPRESSED = {".nii": ".nii.gz", ".hdr": ".hdr.gz", ".img": ".img.gz", ".mgh": ".mgz"}
_UNCOMPRESSED = {compressed: plain for plain, compressed in _COMPRESSED.items()}

#: Formats with a text header.
_TEXT_FORMATS = ("NRRD", "MetaImage")
_TEXT = re.compile(rb"[\t\n\f\r\x20-\x7e]+")
_META_IMAGE = re.compile(rb"\s*(ObjectType|ObjectSubType|NDims|DimSize|Comment)[ \t]*=")
_MGH_TYPES = (0, 1, 3, 4, 10)


def refuse_other_content(path: Path, extension: str) -> None:
    """Reject a scan file that is empty, a pointer, a web page, or of another format or compression than its name.

    Args:
        path: a regular file.
        extension: its lower-case extension, such as ".nii.gz"; "" for a file without a known one.

    Raises:
        VolumeError: the file is of such a kind; the message gives the kind and the next step.
    """
    first, size = _beginning(path)
    wanted = _FORMATS.get(extension, "")
    is_gzip = first.startswith(GZIP_MARK)
    start = _unpacked(first) if is_gzip else first
    _refuse(
        path,
        _what_else(first, size)
        or _other_format(start, wanted, is_gzip=is_gzip, is_voxels=extension.startswith(".img"))
        or (_wrong_compression(start, extension, is_gzip=is_gzip) if extension else "")
        or (_no_header(start, wanted) if wanted else ""),
    )


def refuse_stand_in(path: Path) -> None:
    """Reject a raw voxel file that is empty, a pointer, or a web page.

    Raises:
        VolumeError: the file is of such a kind; the message gives the kind and the next step.
    """
    _refuse(path, _stand_in(*_beginning(path)))


def refuse_archive(path: Path) -> None:
    """Reject a too short raw voxel file that is compressed or an archive.

    Raises:
        VolumeError: the file is of such a kind; the message gives the kind and the next step.
    """
    first, _ = _beginning(path)
    if first.startswith(GZIP_MARK):
        _refuse(path, "is compressed with gzip, and its header does not say so: unpack it")
    _refuse(path, _archive(first))


def _refuse(path: Path, problem: str) -> None:
    if problem:
        raise VolumeError(f"{path.name} {problem}.")


def why_no_dicom(path: Path) -> str:
    """Why a file is no DICOM file, as the end of a sentence."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "it is no regular file"
        first, size = _beginning(path)
    except FileNotFoundError:
        return "it is a link to a file that does not exist"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    problem = _what_else(first, size)
    return f"it {problem.partition(':')[0]}" if problem else "it lacks the mark of a DICOM file (DICM)"


def _beginning(path: Path) -> tuple[bytes, int]:
    """The first bytes and the size of a file."""
    with path.open("rb") as file:
        return file.read(_PROBE_BYTES), path.stat().st_size


def _unpacked(first: bytes) -> bytes:
    """The decompressed start of a gzip stream; empty on failure."""
    try:
        return zlib.decompressobj(wbits=31).decompress(first, _PROBE_BYTES)
    except zlib.error:
        return b""


def _what_else(first: bytes, size: int) -> str:
    return _stand_in(first, size) or _archive(first)


def _stand_in(first: bytes, size: int) -> str:
    if size == 0:
        return "is empty (0 bytes): copy or export it again"
    text = first.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"version https://git-lfs", b"version https://hawser")):
        return "is a Git LFS pointer and not the scan itself: fetch the file with git lfs pull"
    if size <= _LONGEST_POINTER and b"annex/objects" in text:
        return "is a git-annex pointer and not the scan itself: fetch the file with git annex get (or datalad get)"
    if size <= _LONGEST_POINTER and text.startswith(b"outs:") and b"md5:" in text:
        return "is a DVC pointer and not the scan itself: fetch the file with dvc pull"
    if text.startswith(_LINKS):
        return "is a link and not the scan itself: copy the file that it points to"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<error>")):
        return "is a web page or XML and not a scan: download it again"
    return ""


def _archive(first: bytes) -> str:
    if first[_TAR_PLACE:].startswith(b"ustar"):
        return "is a tar archive: unpack it"
    return next((problem for mark, problem in _ARCHIVES if first.startswith(mark)), "")


def _other_format(start: bytes, wanted: str, *, is_gzip: bool, is_voxels: bool) -> str:
    """The problem of a file with the magic number of another format; raw voxels may match some by chance."""
    found, ending = _format_of(start)
    if not found or found == wanted or (is_voxels and found != "DICOM"):
        return ""
    kind = f"{'an' if found == 'MGH' else 'a'} {found} file"
    if not is_gzip:
        return f"is {kind}, and its name does not say so: rename it to end in {ending}"
    if ending in _COMPRESSED:
        return f"is {kind}, and its name does not say so: rename it to end in {_COMPRESSED[ending]}"
    return f"is {kind} that is compressed with gzip: unpack it, and let its name end in {ending}"


def _format_of(start: bytes) -> tuple[str, str]:
    """The format by magic number and its extension; both are empty if unknown."""
    if re.match(rb"NRRD000[1-9]", start):
        return "NRRD", ".nrrd"
    if _META_IMAGE.match(start):
        return "MetaImage", ".mha"
    if start[344:348] == b"n+1\0" or start[4:8] == b"n+2\0":
        return "NIfTI", ".nii"
    if start[344:348] == b"ni1\0" or start[4:8] == b"ni2\0":
        return "NIfTI", ".hdr"
    if start[128:132] == b"DICM":
        return "DICOM", ".dcm"
    version, *dimensions, kind = (int.from_bytes(start[n : n + 4], "big") for n in range(0, 24, 4))
    if version == 1 and kind in _MGH_TYPES and all(0 < length < 1 << 16 for length in dimensions):
        return "MGH", ".mgh"
    return "", ""


def _wrong_compression(start: bytes, extension: str, *, is_gzip: bool) -> str:
    """The problem of a file whose name is wrong about its compression."""
    if is_gzip and extension not in _UNCOMPRESSED:
        new = _COMPRESSED.get(extension)
        remedy = f"rename it to end in {new}" if new else "unpack it"
        return f"is compressed with gzip, and its name does not say so: {remedy}"
    if is_gzip or extension not in _UNCOMPRESSED:
        return ""
    plain, wanted = _UNCOMPRESSED[extension], _FORMATS.get(extension, "")
    is_right_otherwise = not wanted or _format_of(start)[0] == wanted or _is_analyze(start, extension)
    if is_right_otherwise:
        return f"is not compressed with gzip, as its name says: rename it to end in {plain}"
    if start[:1] == b"\x78" and int.from_bytes(start[:2], "big") % 31 == 0:
        return "is compressed with zlib and not with gzip, as its name says: compress it with gzip"
    return (
        _no_header(start, wanted)
        or f"is neither compressed with gzip, as its name says, nor of the format {wanted}: copy or export it again"
    )


def _is_analyze(start: bytes, extension: str) -> bool:
    return extension.startswith(".hdr") and 348 in (
        int.from_bytes(start[:4], "little"),
        int.from_bytes(start[:4], "big"),
    )


def _no_header(start: bytes, wanted: str) -> str:
    """The problem of a file without a header of its format."""
    if start[_TAR_PLACE:].startswith(b"ustar"):
        return "is a tar archive that is compressed with gzip: unpack it"
    if start.startswith(GZIP_MARK):
        return "is compressed with gzip twice: unpack it once"
    if start and not any(start):
        return "holds zeros in place of a header: copy or export it again"
    is_text_wanted = wanted in _TEXT_FORMATS
    if start.startswith((b"{", b"[")) if is_text_wanted else _TEXT.fullmatch(start):
        return "is text and not a scan: copy or download it again"
    return ""
