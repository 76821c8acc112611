"""NRRD: the header as Teem defines it, and the voxels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from MAESILCore.data.formats import checks, confined, nrrd_geometry, voxeldata, voxeltypes
from MAESILCore.data.formats.plainnumbers import BLANKS, integer, words
from MAESILCore.data.formats.scan import Scan
from MAESILCore.errors import VolumeError

_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(
        (
            "longlong",
            "long long",
            "long long int",
            "signed long long",
            "signed long long int",
            "int64",
            "int64_t",
        ),
        "i8",
    ),
    **dict.fromkeys(
        ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"
    ),
    "float": "f4",
    "double": "f8",
}
_ENCODINGS = {
    "raw": "raw",
    **dict.fromkeys(("gzip", "gz"), "deflate"),
    **dict.fromkeys(("bzip2", "bz2"), "bzip2"),
    **dict.fromkeys(("txt", "text", "ascii"), "text"),
    "hex": "hex",
}
_ENDIANS = {"little": "<", "big": ">"}
_LIST = re.compile(r"data ?file:\s*LIST", re.IGNORECASE)

#: The fields of Teem's definition, without spaces; other readers fail on any other.
_FIELDS = frozenset(
    (
        *(
            "dimension",
            "type",
            "blocksize",
            "encoding",
            "endian",
            "content",
            "min",
            "max",
            "oldmin",
            "oldmax",
        ),
        *("datafile", "lineskip", "byteskip", "number", "sampleunits", "sizes", "spacings", "thicknesses"),
        *("axismins", "axismaxs", "centers", "centerings", "labels", "units", "kinds", "space"),
        *("spacedimension", "spaceunits", "spaceorigin", "spacedirections", "measurementframe"),
    )
)
_LONGEST_HEADER = 1 << 20

#: Kinds of an axis along which voxels lie, and of one whose samples belong to a voxel; Teem knows no others.
_SPATIAL_KINDS = ("", "domain", "space", "none", "???")
_COMPONENT_KINDS = re.compile(
    r"time|list|point|vector|covariant-vector|normal|stub|scalar|complex|[234]-vector|[34]-color|(RGBA?|HSV|XYZ)-color|"
    r"3-gradient|3-normal|quaternion|[23]D-(masked-)?(symmetric-)?matrix",
    re.IGNORECASE,
)


def read(path: Path, within: Path | None = None) -> Scan:
    """Read one NRRD file, attached or detached.

    Args:
        path: the file with the header.
        within: the folder that must contain its data; None allows all folders.

    Raises:
        VolumeError: the file is damaged, or holds no real-valued 3D volume.
    """
    fields, data_files, start = _read_header(path)
    sizes, dtype, data = _layout(path, fields, data_files, start)
    confined.refuse_elsewhere(path, data_files, within)
    shape, spatial, notes = _spatial_axes(path, fields, sizes)
    ijk_to_ras, geometry_notes = nrrd_geometry.ijk_to_ras_of(path, fields, spatial)
    voxels, extra = voxeldata.read_voxels(path, data, dtype, sizes)
    voxels = voxeltypes.rescale(voxels.reshape(shape[::-1]))
    return Scan(voxels, ijk_to_ras, (*notes, *geometry_notes, *voxeldata.extra_bytes_notes(extra)))


def _read_header(path: Path) -> tuple[dict[str, str], list[str], int]:
    """The fields by their lower-case names, the names of detached data, and where attached data begin."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        if not re.fullmatch(rb"NRRD000[1-5]\s*", file.readline(16)):
            raise VolumeError(
                f"{path.name} is not a NRRD file: it does not begin with the mark NRRD0001 to NRRD0005."
            )
        for line in _lines(path, file):
            name, separator, value = line.partition(":")
            name = name.replace(" ", "").lower()
            if line.startswith("#") or value.startswith("="):
                continue
            if not separator or name not in _FIELDS or name in fields:
                problem = "a second time" if name in fields else "as none of NRRD's fields"
                raise VolumeError(
                    f"{path.name} has the header line {line[:40]!r} {problem}: save the scan anew, such as .nii.gz."
                )
            fields[name] = value.strip(BLANKS)
        stated = fields.get("datafile", "")
        if not stated:
            return fields, [], file.tell()
        rest = file.read(_LONGEST_HEADER).splitlines() if stated.startswith("LIST") else []
        return (
            fields,
            _detached(path, stated, [_text(line) for line in rest]),
            0,
        )


def _lines(path: Path, file: Iterator[bytes]) -> Iterator[str]:
    """The header's lines up to the empty one that ends it; a lone return ends a line, too."""
    length = 0
    for raw in file:
        text = _text(raw)
        length += len(raw)
        if not text:
            return
        if length > _LONGEST_HEADER:
            raise VolumeError(f"{path.name} has no end of its NRRD header: copy or export it again.")
        yield from text.split("\r")
        if _LIST.match(text):
            return


def _text(line: bytes) -> str:
    return line.strip().decode("utf-8", errors="surrogateescape")


def _detached(path: Path, stated: str, listed: Sequence[str]) -> list[str]:
    if stated.split()[0] == "LIST":
        return [name for name in listed if name]
    pattern = re.fullmatch(r"(.*%.*?)\s+(-?\d+)\s+(-?\d+)\s+(-?\d+)(\s+\d+)?", stated)
    return checks.numbered_names(path, *pattern.group(1, 2, 3, 4)) if pattern else [stated]


def _layout(
    path: Path, fields: dict[str, str], data_files: Sequence[str], start: int
) -> tuple[list[int], np.dtype, voxeldata.VoxelData]:
    try:
        sizes = [integer(size) for size in words(fields["sizes"])]
        if len(sizes) != integer(fields["dimension"]) or not sizes:
            raise ValueError
        kind = _TYPES[" ".join(fields["type"].lower().split())]
        encoding = _ENCODINGS[fields["encoding"].lower()]
        # Text and single bytes have no byte order.
        is_needed = encoding != "text" and not kind.endswith("1")
        endian = _ENDIANS[(fields["endian"] if is_needed else fields.get("endian", "little")).lower()]
        skip_lines = integer(fields.get("lineskip", "0"))
        skip_bytes = integer(fields.get("byteskip", "0"))
        if skip_lines < 0 or skip_bytes < -1:
            raise ValueError
    except (KeyError, ValueError) as error:
        raise VolumeError(
            f"{path.name} is a NRRD file whose type, dimension, sizes, encoding, endian or skips cannot be read."
        ) from error
    files = [path.parent / name for name in data_files] or [path]
    data = voxeldata.VoxelData(files, encoding, skip_lines, skip_bytes, start)
    return sizes, np.dtype(endian + kind), data


def _spatial_axes(
    path: Path, fields: dict[str, str], sizes: Sequence[int]
) -> tuple[tuple[int, int, int], list[int], tuple[str, ...]]:
    """The (i, j, k) shape, which axes of the file these are, and a note if others were dropped."""
    stated = words(fields.get("kinds", ""))
    kinds = stated if len(stated) == len(sizes) else [""] * len(sizes)
    vectors = nrrd_geometry.directions_of(path, fields, len(sizes))
    spatial = []
    for axis, (kind, size) in enumerate(zip(kinds, sizes, strict=True)):
        is_component = kind.lower() not in _SPATIAL_KINDS or (vectors is not None and vectors[axis] is None)
        if is_component and not (_COMPONENT_KINDS.fullmatch(kind) or kind.lower() in _SPATIAL_KINDS):
            raise VolumeError(
                f"{path.name} has an axis of the unknown kind {kind!r}: save it anew, such as .nii.gz."
            )
        if not is_component:
            spatial.append(axis)
        elif kind.lower() == "complex":
            checks.refuse_pixel_kind(path, np.dtype(np.complex64))
        elif size > 1:
            raise VolumeError(
                f"{path.name} holds {size} values a voxel (colours or vectors), and one is needed."
            )
    shape, notes = checks.squeeze_to_3d(path, tuple(sizes[axis] for axis in spatial))
    if kinds != stated and stated:
        notes = (*notes, f"The header states kinds of {len(stated)} of {len(sizes)} axes; they were ignored.")
    return shape, spatial[:3], notes
