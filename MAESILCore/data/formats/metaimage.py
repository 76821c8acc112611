"""The MetaImage reader, with ITK's interpretation of the geometry."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from MAESILCore.data.formats import checks, confined, geometry, units, voxeldata, voxeltypes
from MAESILCore.data.formats.plainnumbers import BLANKS, decimal, integer, words
from MAESILCore.data.formats.scan import Scan
from MAESILCore.errors import VolumeError

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}

#: MetaIO's value for an unknown unit.
_NO_UNITS = ("?", "unknown")

#: The names of each geometry field, and ITK's default.
_SPACING = ("ElementSpacing", "ElementSize")
_ORIGIN = ("Offset", "Position", "Origin")
_MATRIX = ("TransformMatrix", "Rotation", "Orientation")
_DEFAULTS = {_SPACING: "1 mm", _ORIGIN: "position 0", _MATRIX: "no rotation"}
_BYTE_ORDERS = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")

#: An unambiguous line; other readers also accept ":" for "=" and continuation lines.
_LINE = re.compile(r"([A-Za-z]\w*)[ \t]*=[ \t]*([^\s=:].*|)")
_PATTERN = re.compile(r"(.*%.*?)\s+(-?\d+)\s+(-?\d+)\s+(-?\d+)")
_LONGEST_LINE = 4096
_MOST_LINES = 1000


def read(path: Path, within: Path | None = None) -> Scan:
    """Read one MetaImage file, with its data inside or beside.

    Args:
        path: the file with the header.
        within: the folder that must contain its data; None allows all folders.

    Raises:
        VolumeError: the file is damaged, or holds no real-valued 3D volume.
    """
    fields, listed, start = _read_header(path)
    size, dtype, channels = _layout(path, fields)
    names = _data_files(path, fields["ElementDataFile"], listed)
    confined.refuse_elsewhere(path, names, within)
    if channels > 1:
        raise VolumeError(
            f"{path.name} holds {channels} values a voxel (colours or vectors), and one is needed."
        )
    shape, notes = checks.squeeze_to_3d(path, tuple(size))
    ijk_to_ras, geometry_notes = _geometry(path, fields, len(size))
    data = voxeldata.VoxelData(
        files=[path.parent / name for name in names] or [path],
        encoding=_encoding(fields),
        skip_bytes=_header_size(path, fields) if names else 0,
        start=0 if names else start,
    )
    voxels, extra = voxeldata.read_voxels(path, data, dtype, size)
    voxels = voxeltypes.rescale(voxels.reshape(shape[::-1]))
    notes = (*notes, *geometry_notes, *_intensity_notes(fields), *voxeldata.extra_bytes_notes(extra))
    return Scan(voxels, ijk_to_ras, notes)


def _read_header(path: Path) -> tuple[dict[str, str], list[str], int]:
    """The fields, the lines behind them (a list of files), and the byte at which local data begin."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        for _ in range(_MOST_LINES):
            line = file.readline(_LONGEST_LINE)
            text = line.strip().decode("utf-8", errors="surrogateescape")
            found = _LINE.fullmatch(text)
            if found is None or not (line.endswith(b"\n") or found[1] == "ElementDataFile"):
                break
            name, value = found[1], found[2].strip(BLANKS)
            if name in fields:
                raise VolumeError(f"{path.name} states {name} twice: save the scan anew, such as .nii.gz.")
            fields[name] = value
            if name == "ElementDataFile":
                start = file.tell()
                is_list = value.upper().startswith("LIST")
                rest = file.read(_LONGEST_LINE * _MOST_LINES).splitlines() if is_list else []
                listed = [entry.strip().decode("utf-8", errors="surrogateescape") for entry in rest]
                return fields, [entry for entry in listed if entry], start
    raise VolumeError(f"{path.name} has no plain MetaImage header: save the scan anew, such as .nii.gz.")


def _data_files(path: Path, stated: str, listed: Sequence[str]) -> list[str]:
    """The names of the data files, [] for data in the same file."""
    if stated.upper() == "LOCAL":
        return []
    if stated.upper().startswith("LIST"):
        return list(listed) or [stated]
    pattern = _PATTERN.fullmatch(stated)
    return checks.numbered_names(path, *pattern.groups()) if pattern else [stated]


def _layout(path: Path, fields: dict[str, str]) -> tuple[list[int], np.dtype, int]:
    """The (i, j, k, ...) size, the stored type, and the number of values a voxel."""
    try:
        size = [integer(length) for length in words(fields["DimSize"])]
        if len(size) != integer(fields["NDims"]) or not size:
            raise ValueError
        channels = integer(fields.get("ElementNumberOfChannels", "1"))
        kind = _TYPES[fields["ElementType"]]
    except (KeyError, ValueError) as error:
        raise VolumeError(
            f"{path.name} is a MetaImage whose NDims, DimSize, ElementType or number of channels cannot be read."
        ) from error
    orders = {_is_true(fields[name]) for name in _BYTE_ORDERS if name in fields}
    if len(orders) > 1:
        raise VolumeError(
            f"{path.name} states both byte orders ({' and '.join(_BYTE_ORDERS)}): correct the header."
        )
    is_big_endian = True in orders
    return size, np.dtype((">" if is_big_endian else "<") + kind), channels


def _encoding(fields: dict[str, str]) -> str:
    if not _is_true(fields.get("BinaryData", "True")):
        return "text"
    return "deflate" if _is_true(fields.get("CompressedData", "False")) else "raw"


def _header_size(path: Path, fields: dict[str, str]) -> int:
    try:
        size = integer(fields.get("HeaderSize", "0"))
    except ValueError as error:
        raise VolumeError(f"{path.name} is a MetaImage whose HeaderSize cannot be read.") from error
    return max(size, -1)


def _is_true(text: str) -> bool:
    return text[:1].upper() in ("T", "1", "Y")


def _geometry(path: Path, fields: dict[str, str], dimensions: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """The (4, 4) IJK-to-RAS matrix in mm, and notes on the unit and on missing fields."""
    unit = fields.get("DistanceUnits", "mm")
    factors, notes = units.millimetres(["" if unit.lower() in _NO_UNITS else unit])
    factor = float(factors[0])
    identity = " ".join(map(str, np.eye(dimensions, dtype=int).ravel()))
    matrix = _numbers(path, fields, _MATRIX, identity, dimensions**2)
    spacing = _numbers(path, fields, _SPACING, "1 " * dimensions, dimensions)
    origin = _numbers(path, fields, _ORIGIN, "0 " * dimensions, dimensions)
    if (spacing[:3] <= 0).any():
        raise VolumeError(f"{path.name} states an ElementSpacing that is not positive.")
    # Each row of the matrix is the direction of one axis.
    directions = matrix.reshape(dimensions, dimensions)[:3, :3].T
    lengths, start = (spacing[:3] * factor).tolist(), (origin[:3] * factor).tolist()
    return geometry.ras_from_lps(directions, lengths, start), (*notes, *_default_notes(fields))


def _default_notes(fields: dict[str, str]) -> tuple[str, ...]:
    """The note about fields of the geometry that are missing, in other letters, or behind ElementDataFile."""
    missing = [names for names in _DEFAULTS if not any(name in fields for name in names)]
    if not missing:
        return ()
    unstated = ", ".join(names[0] for names in missing)
    taken = ", ".join(_DEFAULTS[names] for names in missing)
    return (f"The header does not state {unstated}: the defaults of ITK were taken ({taken}).",)


def _numbers(
    path: Path, fields: dict[str, str], names: Sequence[str], default: str, count: int
) -> np.ndarray:
    name = next((name for name in names if name in fields), names[0])
    try:
        values = np.array([decimal(part) for part in words(fields.get(name, default))])
    except ValueError:
        values = np.empty(0)
    if values.size != count or not np.isfinite(values).all():
        raise VolumeError(
            f"{path.name} states the field {name} without {count} finite numbers: write it again."
        )
    return values


def _intensity_notes(fields: dict[str, str]) -> tuple[str, ...]:
    slope = fields.get("ElementToIntensityFunctionSlope", "1")
    offset = fields.get("ElementToIntensityFunctionOffset", "0")
    try:
        is_identity = (decimal(slope), decimal(offset)) == (1.0, 0.0)
    except ValueError:
        is_identity = False
    if is_identity:
        return ()
    return (f"The header's intensity function ({slope} * value + {offset}) was not applied, as in ITK.",)
