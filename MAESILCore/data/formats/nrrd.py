"""NRRD: the header as Teem defines it, and the voxels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from MAESILCore.data.formats import checks, nrrd_geometry, voxeldata, voxeltypes
from MAESILCore.data.formats.scan import Scan, Unreadable
from MAESILCore.data.formats.textheader import BLANKS, data_files, integer, line_text, words

#: Types by the names that Teem gives them, separated by commas.
_TYPE_NAMES = {
    "i1": "signed char,int8,int8_t",
    "u1": "uchar,unsigned char,uint8,uint8_t",
    "i2": "short,short int,signed short,signed short int,int16,int16_t",
    "u2": "ushort,unsigned short,unsigned short int,uint16,uint16_t",
    "i4": "int,signed int,int32,int32_t",
    "u4": "uint,unsigned int,uint32,uint32_t",
    "i8": "longlong,long long,long long int,signed long long,signed long long int,int64,int64_t",
    "u8": "ulonglong,unsigned long long,unsigned long long int,uint64,uint64_t",
    "f4": "float",
    "f8": "double",
}
_TYPES = {name: kind for kind, names in _TYPE_NAMES.items() for name in names.split(",")}
_ENCODINGS = {
    "raw": "raw",
    **dict.fromkeys(("gzip", "gz"), "deflate"),
    **dict.fromkeys(("bzip2", "bz2"), "bzip2"),
    **dict.fromkeys(("txt", "text", "ascii"), "text"),
    "hex": "hex",
}
_ENDIANS = {"little": "<", "big": ">"}

#: The fields of Teem's definition, without spaces; other readers fail on any other.
_FIELD = re.compile(
    "dimension|type|blocksize|encoding|endian|content|min|max|oldmin|oldmax|datafile|lineskip|byteskip|number|"
    "sampleunits|sizes|spacings|thicknesses|axismins|axismaxs|centers|centerings|labels|units|kinds|space|"
    "spacedimension|spaceunits|spaceorigin|spacedirections|measurementframe"
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
        Unreadable: the file is damaged, or holds no real-valued 3D volume.
    """
    fields, files, start = _read_header(path, within)
    sizes, dtype, data = _layout(fields, files, start)
    spatial = _spatial_axes(fields, sizes)
    shape, notes = checks.squeeze_to_3d(tuple(sizes[axis] for axis in spatial))
    notes = (*notes, *_kind_notes(fields, sizes))
    spatial = spatial[:3]
    ijk_to_ras, geometry_notes = nrrd_geometry.ijk_to_ras_of(fields, spatial)
    voxels, extra = voxeldata.read_voxels(data, dtype, sizes)
    voxels = voxeltypes.rescale(voxels.reshape(shape[::-1]))
    return Scan(voxels, ijk_to_ras, (*notes, *geometry_notes, *voxeldata.extra_bytes_notes(extra)))


def read_layers(path: Path, within: Path | None = None) -> Scan:
    """Read a file with several label maps, as 3D Slicer writes overlapping segments.

    The label maps lie along an axis of the kind list; without one there is a single label map. Slices may be single.

    Returns:
        Voxels (layer, k, j, i) and geometry.

    Raises:
        Unreadable: the file is damaged, or holds no real-valued 3D volumes.
    """
    fields, files, start = _read_header(path, within)
    sizes, dtype, data = _layout(fields, files, start)
    spatial = _spatial_axes(fields, sizes, has_layers=True)
    if len(spatial) != 3 or len(sizes) > 4:
        shape = checks.dimensions_text(tuple(sizes))
        raise Unreadable(
            f"has the shape {shape}, but label maps have three axes: save the segmentation again."
        )
    ijk_to_ras, notes = nrrd_geometry.ijk_to_ras_of(fields, spatial)
    voxels, extra = voxeldata.read_voxels(data, dtype, sizes)
    # Axes of arrays are in the opposite order.
    kji = [len(sizes) - 1 - axis for axis in reversed(spatial)]
    order = [axis for axis in range(len(sizes)) if axis not in kji] + kji
    layers = voxeltypes.rescale(voxels.reshape(sizes[::-1]).transpose(order))
    layers = layers.reshape(-1, *layers.shape[-3:])
    return Scan(layers, ijk_to_ras, (*notes, *voxeldata.extra_bytes_notes(extra)))


def read_keys(path: Path) -> dict[str, str]:
    """The key/value pairs of a header, with line breaks and backslashes as they were before Teem's escaping."""
    keys = {}
    with path.open("rb") as file:
        for line in _lines(file):
            name, separator, value = line.partition(":=")
            if separator and not line.startswith("#"):
                keys[name] = re.sub(r"\\(n|\\)", lambda found: "\n" if found[1] == "n" else "\\", value)
    return keys


def _read_header(path: Path, within: Path | None) -> tuple[dict[str, str], list[Path], int]:
    """The fields by their lower-case names without spaces, the data files, and the byte at which data begin."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        if not re.fullmatch(rb"NRRD000[1-5]\s*", file.readline(16)):
            raise Unreadable("is not a NRRD file: it does not begin with the mark NRRD0001 to NRRD0005.")
        for line in _lines(file):
            name, separator, value = line.partition(":")
            name = name.replace(" ", "").lower()
            if line.startswith("#") or value.startswith("="):
                continue
            if not separator or not _FIELD.fullmatch(name) or name in fields:
                problem = "repeats a field" if name in fields else "is not a field of NRRD"
                raise Unreadable(
                    f"has the header line {line[:40]!r}, which {problem}: save the scan again, such as .nii.gz."
                )
            fields[name] = value.strip(BLANKS)
        if not fields.get("datafile"):
            return fields, [path], file.tell()
        return fields, data_files(path, fields["datafile"], file, within), 0


def _lines(file: Iterator[bytes]) -> Iterator[str]:
    """The header's lines up to an empty one or a list of files; a lone return ends a line, too."""
    length = 0
    for raw in file:
        text = line_text(raw)
        length += len(raw)
        if not text:
            return
        if length > _LONGEST_HEADER:
            raise Unreadable("has no end of its NRRD header: copy or export it again.")
        yield from text.split("\r")
        if re.match(r"data ?file:\s*LIST", text, re.IGNORECASE):
            return


def _layout(
    fields: dict[str, str], files: Sequence[Path], start: int
) -> tuple[list[int], np.dtype, voxeldata.VoxelData]:
    try:
        sizes = [integer(size) for size in words(fields["sizes"])]
        kind = _TYPES[" ".join(fields["type"].lower().split())]
        encoding = _ENCODINGS[fields["encoding"].lower()]
        # Text and single bytes have no byte order.
        is_needed = encoding != "text" and not kind.endswith("1")
        endian = _ENDIANS[(fields["endian"] if is_needed else fields.get("endian", "little")).lower()]
        skip_lines = integer(fields.get("lineskip", "0"))
        skip_bytes = integer(fields.get("byteskip", "0"))
        if len(sizes) != integer(fields["dimension"]) or not sizes or skip_lines < 0 or skip_bytes < -1:
            raise ValueError
    except (KeyError, ValueError) as error:
        raise Unreadable(
            "is a NRRD file whose type, dimension, sizes, encoding, endian or skips cannot be read: correct the header."
        ) from error
    data = voxeldata.VoxelData(files, encoding, skip_lines, skip_bytes, start)
    return sizes, np.dtype(endian + kind), data


def _spatial_axes(fields: dict[str, str], sizes: Sequence[int], has_layers: bool = False) -> list[int]:
    """Which axes of the file are i, j, k and empty ones.

    Raises:
        Unreadable: a voxel has several values.
    """
    kinds = _kinds_of(fields, sizes)
    vectors = nrrd_geometry.directions_of(fields, len(sizes))
    spatial = []
    for axis, (kind, size) in enumerate(zip(kinds, sizes, strict=True)):
        is_spatial_kind = kind.lower() in _SPATIAL_KINDS
        if is_spatial_kind and (vectors is None or vectors[axis] is not None):
            spatial.append(axis)
        elif not is_spatial_kind and not _COMPONENT_KINDS.fullmatch(kind):
            raise Unreadable(f"has an axis of the unknown kind {kind!r}: save it again, such as .nii.gz.")
        elif kind.lower() == "complex":
            checks.refuse_pixel_kind(np.dtype(np.complex64))
        elif not (has_layers and kind.lower() == "list"):
            checks.refuse_components(size)
    return spatial


def _kinds_of(fields: dict[str, str], sizes: Sequence[int]) -> list[str]:
    stated = words(fields.get("kinds", ""))
    return stated if len(stated) == len(sizes) else [""] * len(sizes)


def _kind_notes(fields: dict[str, str], sizes: Sequence[int]) -> tuple[str, ...]:
    stated = words(fields.get("kinds", ""))
    if not stated or len(stated) == len(sizes):
        return ()
    return (f"The header states kinds of {len(stated)} of {len(sizes)} axes; they were ignored.",)
