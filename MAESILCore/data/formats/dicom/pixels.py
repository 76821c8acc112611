"""Pixels of DICOM frames, checked against the header and rescaled to HU."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from MAESILCore.data.formats import voxeltypes
from MAESILCore.data.formats.dicom import compressed
from MAESILCore.data.formats.dicom.headers import FrameHeader
from MAESILCore.data.formats.dicom.kinds import parsing
from MAESILCore.data.formats.dicom.notes import named_files
from MAESILCore.data.formats.scan import Unreadable, damaged

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_BIG_ENDIAN = "1.2.840.10008.1.2.2"

#: Implicit, explicit, deflated and big endian, without pixel compression.
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", _BIG_ENDIAN)
_STANDARD_TYPES = {8: "u1", 16: "<u2", 32: "<u4"}


def read_frames(headers: Sequence[FrameHeader]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read and rescale frames, in the smallest exact type.

    Returns:
        The voxels (k, j, i), and notes on files with excess pixels or decoding warnings.

    Raises:
        VolumeError: a file has fewer pixels than its header announces, or its pixels do not decode.
    """
    slices: list[np.ndarray] = []
    doubts: dict[str, list[Path]] = {}
    for path, group in groupby(headers, key=lambda header: header.path):
        frames, modality_lut, doubt = _read_file(path)
        slices += [_rescaled(frames[header.frame], header, modality_lut) for header in group]
        doubts.setdefault(doubt, []).append(path)
    doubts.pop("", None)
    voxels = np.stack(slices)
    voxels = voxels.astype(np.float32) if voxels.dtype == np.float64 else voxels
    return voxels, tuple(
        f"The pixels of {len(files)} file{'s' * (len(files) > 1)} {doubt} ({named_files(files)})."
        for doubt, files in doubts.items()
    )


def _rescaled(stored: np.ndarray, header: FrameHeader, lut: np.ndarray | None) -> np.ndarray:
    if lut is not None:
        first, values = int(lut[0]), lut[1:]
        # PS3.3 C.11.1: inputs outside the table map to its first or last value.
        return voxeltypes.narrowed(values[np.clip(stored.astype(np.int64) - first, 0, len(values) - 1)])
    slope, intercept = header.slope, header.intercept
    if slope.is_integer() and intercept.is_integer():
        return voxeltypes.narrowed(voxeltypes.rescale(stored, slope, intercept))
    return (stored.astype(np.float64) * slope + intercept).astype(np.float32)


def _read_file(path: Path) -> tuple[np.ndarray, np.ndarray | None, str]:
    """The pixels of one file.

    Returns:
        The stored values, (frames, j, i); first input value and outputs of the Modality LUT, or None; and a doubt
        about the pixels as the end of a sentence, or "".
    """
    with parsing(path):
        from pydicom import dcmread

        dataset = dcmread(path)
        if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
            raise Unreadable("holds floating-point pixels, which are not supported: convert it to NIfTI.")
        if "PixelData" not in dataset:
            raise damaged("its pixel data end too early or are missing")
        shape = (int(dataset.get("NumberOfFrames") or 1), int(dataset.Rows), int(dataset.Columns))
        bits = int(dataset.BitsAllocated)
        if bits not in _STANDARD_TYPES:
            raise Unreadable(f"has {bits} bits per pixel, which is not supported: convert it to NIfTI.")
        if int(dataset.PixelRepresentation) not in (0, 1):
            raise damaged(f"its pixel representation is {dataset.PixelRepresentation}")
        used = int(dataset.BitsStored)
        if not 1 <= used <= bits or int(dataset.get("HighBit", used - 1)) != used - 1:
            raise damaged(f"it keeps {used} of {bits} bits, and not the lowest ones")
        # pydicom detects explicit value types if the transfer syntax is missing.
        is_stated = "TransferSyntaxUID" in dataset.file_meta
        syntax = str(dataset.file_meta.TransferSyntaxUID) if is_stated else _NATIVE[0]
        if syntax in _NATIVE:
            announced, there = int(np.prod(shape)) * bits // 8, len(dataset.PixelData or b"")
            if there < announced:
                raise damaged(f"it has {there} of {announced} bytes of pixels")
            # An odd number of bytes is padded to an even one.
            if there > announced + announced % 2:
                doubt = compressed.TOO_LONG
            else:
                doubt = "" if is_stated else "were taken for uncompressed, as no transfer syntax is stated"
            frames = _native(dataset, shape, bits)
        else:
            frames, doubt = compressed.decode(dataset, shape)
        return frames, _modality_lut(dataset), doubt


def _native(dataset: Dataset, shape: tuple[int, int, int], bits: int) -> np.ndarray:
    dtype, data = np.dtype(_STANDARD_TYPES[bits]), dataset.PixelData
    if dataset.file_meta.get("TransferSyntaxUID") == _BIG_ENDIAN:
        dtype = dtype.newbyteorder(">")
        if bits == 8 and dataset["PixelData"].VR == "OW":
            # Two pixels share a word, so bytes are swapped per word.
            data = np.frombuffer(data, "<u2").byteswap().tobytes()
    values = np.frombuffer(data, dtype, count=int(np.prod(shape))).reshape(shape)
    values = values.astype(dtype.newbyteorder("="), copy=False)
    used = int(dataset.BitsStored)
    if _is_signed(dataset):
        values = values.view(values.dtype.str.replace("u", "i"))
    # Shifting left and right clears undefined high bits and extends the sign.
    return values if used == bits else (values << (bits - used)) >> (bits - used)


def _is_signed(dataset: Dataset) -> bool:
    return int(dataset.PixelRepresentation) == 1


def _modality_lut(dataset: Dataset) -> np.ndarray | None:
    sequence = dataset.get("ModalityLUTSequence")
    if not sequence:
        return None
    count, first, bits = (int(value) for value in sequence[0].LUTDescriptor)
    data = sequence[0].LUTData
    count = count or 1 << 16
    if isinstance(data, bytes):
        # Words are in the byte order of the file, and a word may hold two entries of 8 bits.
        is_big_endian = dataset.file_meta.get("TransferSyntaxUID") == _BIG_ENDIAN
        words = np.frombuffer(data, ">u2" if is_big_endian else "<u2")
        data = words if bits > 8 or len(data) >= 2 * count else words.astype("<u2").view("u1")
    outputs = np.asarray(data, np.int64)
    if len(outputs) < count:
        raise damaged(f"its Modality LUT has {len(outputs)} of {count} entries")
    signed = _is_signed(dataset)
    # The first input value has the sign of the pixels; pydicom returns it unsigned.
    first = first - (1 << 16) if signed and first >= 1 << 15 else first
    return np.concatenate([[first], outputs[:count]])
