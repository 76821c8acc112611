"""The MetaImage reader, with ITK's interpretation of the geometry."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from MAESILCore.data.formats import checks, geometry, units, voxeldata, voxeltypes
from MAESILCore.data.formats.scan import Scan, Unreadable
from MAESILCore.data.formats.textheader import BLANKS, data_files, decimal, integer, line_text, words

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
_LONGEST_LINE = 4096
_MOST_LINES = 1000


def read(path: Path, within: Path | None = None) -> Scan:
    """Read one MetaImage file, with its data inside or beside.

    Args:
        path: the file with the header.
        within: the folder that must contain its data; None allows all folders.

    Raises:
        Unreadable: the file is damaged, or holds no real-valued 3D volume.
    """
    fields, files, start = _read_header(path, within)
    size, dtype, channels, skip_bytes = _layout(fields, is_local=start > 0)
    checks.refuse_components(channels)
    shape, notes = checks.squeeze_to_3d(tuple(size))
    ijk_to_ras, geometry_notes = _geometry(fields, len(size))
    is_binary, is_compressed = fields.get("BinaryData", "True"), fields.get("CompressedData", "False")
    encoding = ("deflate" if _is_true(is_compressed) else "raw") if _is_true(is_binary) else "text"
    data = voxeldata.VoxelData(files, encoding, skip_bytes=skip_bytes, start=start)
    voxels, extra = voxeldata.read_voxels(data, dtype, size)
    voxels = voxeltypes.rescale(voxels.reshape(shape[::-1]))
    notes = (*notes, *geometry_notes, *_intensity_notes(fields), *voxeldata.extra_bytes_notes(extra))
    return Scan(voxels, ijk_to_ras, notes)


def _read_header(path: Path, within: Path | None) -> tuple[dict[str, str], list[Path], int]:
    """The fields, the data files, and the byte at which the data begin."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        for _ in range(_MOST_LINES):
            line = file.readline(_LONGEST_LINE)
            found = _LINE.fullmatch(line_text(line))
            if found is None or not (line.endswith(b"\n") or found[1] == "ElementDataFile"):
                break
            name, value = found[1], found[2].strip(BLANKS)
            if name in fields:
                raise Unreadable(f"states {name} twice: save the scan again, such as .nii.gz.")
            fields[name] = value
            if name == "ElementDataFile" and value.upper() == "LOCAL":
                return fields, [path], file.tell()
            if name == "ElementDataFile":
                return fields, data_files(path, value, file, within), 0
    raise Unreadable("has no plain MetaImage header: save the scan again, such as .nii.gz.")


def _layout(fields: Mapping[str, str], *, is_local: bool) -> tuple[list[int], np.dtype, int, int]:
    """The (i, j, k, ...) size, the stored type, the number of values per voxel, and the bytes before detached ones."""
    try:
        size = [integer(length) for length in words(fields["DimSize"])]
        if len(size) != integer(fields["NDims"]) or not size:
            raise ValueError
        channels = integer(fields.get("ElementNumberOfChannels", "1"))
        skip_bytes = max(integer("0" if is_local else fields.get("HeaderSize", "0")), -1)
        kind = _TYPES[fields["ElementType"]]
    except (KeyError, ValueError) as error:
        raise Unreadable(
            "is a MetaImage whose NDims, DimSize, ElementType, HeaderSize or number of channels cannot be read: "
            "correct the header."
        ) from error
    orders = {_is_true(fields[name]) for name in _BYTE_ORDERS if name in fields}
    if len(orders) > 1:
        raise Unreadable(f"states both byte orders ({' and '.join(_BYTE_ORDERS)}): correct the header.")
    return size, np.dtype((">" if True in orders else "<") + kind), channels, skip_bytes


def _is_true(text: str) -> bool:
    return text[:1].upper() in ("T", "1", "Y")


def _geometry(fields: Mapping[str, str], dimensions: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """The (4, 4) IJK-to-RAS matrix in mm, and notes on the unit and on missing fields."""
    unit = fields.get("DistanceUnits", "mm")
    factors, notes = units.millimetres(["" if unit.lower() in _NO_UNITS else unit])
    matrix = _numbers(fields, _MATRIX, np.eye(dimensions)).reshape(dimensions, dimensions)
    spacing = _numbers(fields, _SPACING, np.ones(dimensions))
    origin = _numbers(fields, _ORIGIN, np.zeros(dimensions))
    if (spacing[:3] <= 0).any():
        raise Unreadable("states an ElementSpacing that is not positive: correct the header.")
    missing = [names for names in _DEFAULTS if not any(name in fields for name in names)]
    if missing:
        unstated = ", ".join(names[0] for names in missing)
        taken = ", ".join(_DEFAULTS[names] for names in missing)
        notes = (*notes, f"The header does not state {unstated}: the defaults of ITK were taken ({taken}).")
    # Each row of the matrix is the direction of one axis.
    directions = matrix[:3, :3].T
    return geometry.ras_from_lps(directions, spacing[:3] * factors[0], origin[:3] * factors[0]), notes


def _numbers(fields: Mapping[str, str], names: Sequence[str], default: np.ndarray) -> np.ndarray:
    """The values of a field under one of its names, as many as those of the default."""
    name = next((name for name in names if name in fields), None)
    if name is None:
        return default.ravel()
    try:
        values = np.array([decimal(part) for part in words(fields[name])])
    except ValueError:
        values = np.empty(0)
    if values.size != default.size or not np.isfinite(values).all():
        raise Unreadable(
            f"states the field {name} without {default.size} finite numbers: correct the header."
        )
    return values


def _intensity_notes(fields: Mapping[str, str]) -> tuple[str, ...]:
    slope = fields.get("ElementToIntensityFunctionSlope", "1")
    offset = fields.get("ElementToIntensityFunctionOffset", "0")
    try:
        is_identity = (decimal(slope), decimal(offset)) == (1.0, 0.0)
    except ValueError:
        is_identity = False
    note = f"The header's intensity function ({slope} * value + {offset}) was not applied, as in ITK."
    return () if is_identity else (note,)
