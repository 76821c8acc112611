"""Checks on MetaImage files that the reader leaves out: it takes corrupt voxels for good."""

from __future__ import annotations

import math
import re
import zlib
from pathlib import Path

from MAESILCore.errors import VolumeError
from MAESILCore.formats import checks

_ELEMENT_BYTES = {
    "MET_CHAR": 1,
    "MET_UCHAR": 1,
    "MET_SHORT": 2,
    "MET_USHORT": 2,
    "MET_INT": 4,
    "MET_UINT": 4,
    "MET_LONG": 4,
    "MET_ULONG": 4,
    "MET_LONG_LONG": 8,
    "MET_ULONG_LONG": 8,
    "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
}
_CHUNK = 1 << 20

#: A line that can be read in one way only: the reader also takes ":" for "=", goes on to the next line for a value that
#: is missing, and cuts long lines in two.
_PLAIN_LINE = re.compile(r"([A-Za-z]\w*)[ \t]*=[ \t]*([^\s=:].*)")
_LONGEST_LINE = 400


def check_data(path: Path) -> None:
    """Make sure that the voxels behind a MetaImage header are all there and decompress.

    Raises:
        VolumeError: If the header is none, its data file is missing, or the data are cut short or damaged.
    """
    fields, header_bytes = _read_fields(path)
    location = fields["elementdatafile"]
    is_text = fields.get("binarydata", "true").lower() == "false"
    if is_text or location.upper().startswith("LIST") or "%" in location:
        return
    is_local = location.upper() == "LOCAL"
    data = path if is_local else path.parent / location
    if not data.is_file():
        raise VolumeError(f"{path.name} names the data file {location}, which is not beside it.")
    voxel_bytes, skipped = _voxel_bytes(path, fields)
    start = header_bytes if is_local else skipped
    if fields.get("compresseddata", "false").lower() == "true":
        if "compresseddatasize" not in fields:
            raise VolumeError(f"{path.name} is compressed without a CompressedDataSize: write it again.")
        _check_compressed(data, start, voxel_bytes)
    elif data.stat().st_size - start < voxel_bytes:
        raise checks.damaged(data, f"it has {data.stat().st_size - start} of {voxel_bytes} bytes of voxels")


def named_data(path: Path) -> list[str]:
    """The data that a header names, as it writes them; [] if they follow it in the same file.

    Raises:
        VolumeError: If the header is none, or is written so that the reader could find another name in it.
    """
    with path.open("rb") as file:
        while line := file.readline(_LONGEST_LINE):
            text = line.decode("utf-8", errors="replace").rstrip()
            found = _PLAIN_LINE.fullmatch(text)
            if found is None or not line.endswith(b"\n") or not text.replace("\t", " ").isprintable():
                break
            if found[1] == "ElementDataFile":
                return [] if found[2].upper() == "LOCAL" else [found[2]]
    raise VolumeError(f"{path.name} has no plain MetaImage header: save the scan anew, such as .nii.gz.")


def _read_fields(path: Path) -> tuple[dict[str, str], int]:
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while "elementdatafile" not in fields:
            line = file.readline(4096)
            name, separator, value = line.decode("latin-1").partition("=")
            if not separator:
                raise VolumeError(f"{path.name} is not a complete MetaImage header.")
            fields[name.strip().lower()] = value.strip()
        return fields, file.tell()


def _voxel_bytes(path: Path, fields: dict[str, str]) -> tuple[int, int]:
    """How many bytes the voxels take, and how many come before them in a data file of their own."""
    try:
        lengths = [int(length) for length in fields["dimsize"].split()]
        channels = int(fields.get("elementnumberofchannels", 1))
        voxel_bytes = math.prod(lengths) * channels * _ELEMENT_BYTES[fields["elementtype"].upper()]
        # -1 says that the voxels are the end of the file, whatever comes before.
        return voxel_bytes, max(int(fields.get("headersize", 0)), 0)
    except (KeyError, ValueError) as error:
        raise VolumeError(
            f"{path.name} is a MetaImage whose DimSize, ElementType or HeaderSize cannot be read."
        ) from error


def _check_compressed(data: Path, start: int, voxel_bytes: int) -> None:
    """Decompress once in small pieces, because the reader takes a broken stream for good."""
    decompressor, size = zlib.decompressobj(), 0
    try:
        with data.open("rb") as file:
            file.seek(start)
            while not decompressor.eof and (piece := file.read(_CHUNK)):
                size += len(decompressor.decompress(piece))
    except zlib.error as error:
        raise checks.damaged(data, "its compressed voxels do not decode") from error
    if not decompressor.eof or size < voxel_bytes:
        raise checks.damaged(data, f"it has {size} of {voxel_bytes} bytes of voxels")
