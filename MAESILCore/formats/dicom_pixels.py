"""The pixels of DICOM frames: stored values, checked against the header, and rescaled to HU.

Native pixels are taken as they are, and RLE is decoded by pydicom. JPEG of any kind is decoded by GDCM from a temporary
file that holds the pixel description alone: GDCM itself would invert MONOCHROME1 and rescale all frames alike.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from MAESILCore.errors import VolumeError
from MAESILCore.formats import checks, numbers
from MAESILCore.formats.dicom_headers import FrameHeader, parsing

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_MULTI_FRAME_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7.3"

#: Implicit, explicit and deflated little endian: pixels lie as they are in memory.
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99")
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_RLE = "1.2.840.10008.1.2.5"

_DESCRIPTION = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
_STANDARD_TYPES = {8: "u1", 16: "<u2", 32: "<u4"}


def read_frames(headers: Sequence[FrameHeader]) -> tuple[np.ndarray, int]:
    """Read the frames of headers, rescaled, in the smallest type that holds them.

    Returns:
        The voxels (k, j, i), and how many bytes of pixels the headers do not announce.

    Raises:
        VolumeError: If the pixels of a file are fewer than its header announces, or do not decode.
    """
    slices: list[np.ndarray] = []
    file: _File | None = None
    extra = 0
    for header in headers:
        if file is None or file.path != header.path:
            file = _read_file(header.path)
            extra += file.extra
        slices.append(_rescaled(file.frames[header.frame], header, file.modality_lut))
    voxels = np.stack(slices)
    return (voxels.astype(np.float32) if voxels.dtype == np.float64 else voxels), extra


@dataclass(frozen=True)
class _File:
    """The pixels of one file.

    Attributes:
        path: The file.
        frames: Stored values, (frames, j, i).
        modality_lut: First input value, then the outputs; None if there is no table.
        extra: Bytes of pixels that the header does not announce.
    """

    path: Path
    frames: np.ndarray
    modality_lut: np.ndarray | None
    extra: int


def _rescaled(stored: np.ndarray, header: FrameHeader, lut: np.ndarray | None) -> np.ndarray:
    if lut is not None:
        first, values = int(lut[0]), lut[1:]
        # PS3.3 C.11.1: what lies outside the table gets its first or last value.
        return numbers.narrowed(values[np.clip(stored.astype(np.int64) - first, 0, len(values) - 1)])
    slope, intercept = header.slope, header.intercept
    if slope.is_integer() and intercept.is_integer():
        return numbers.narrowed(numbers.rescale(stored, slope, intercept))
    return (stored.astype(np.float64) * slope + intercept).astype(np.float32)


def _read_file(path: Path) -> _File:
    with parsing(path):
        from pydicom import dcmread

        dataset = dcmread(path)
        if "PixelData" not in dataset:
            raise checks.damaged(path, "its pixel data end too early or are missing")
        shape = (int(dataset.get("NumberOfFrames") or 1), int(dataset.Rows), int(dataset.Columns))
        bits = int(dataset.BitsAllocated)
        if bits not in _STANDARD_TYPES:
            raise VolumeError(
                f"{path.name} has {bits} bits a pixel, which is not read here: convert it to NIfTI."
            )
        used = int(dataset.BitsStored)
        if not 1 <= used <= bits or int(dataset.get("HighBit", used - 1)) != used - 1:
            raise checks.damaged(path, f"it keeps {used} of {bits} bits, and not the lowest ones")
        # Files without a transfer syntax are native; pydicom has found out whether value types are written.
        syntax = str(dataset.file_meta.get("TransferSyntaxUID", _NATIVE[0]))
        extra = 0
        if syntax in (*_NATIVE, _BIG_ENDIAN):
            announced, there = int(np.prod(shape)) * bits // 8, len(dataset.PixelData or b"")
            if there < announced:
                raise checks.damaged(path, f"it has {there} of {announced} bytes of pixels")
            # An odd number of bytes is padded to an even one.
            extra = there - announced - announced % 2
        frames = _native(dataset, shape, bits) if syntax in _NATIVE else _decoded(path, dataset, shape)
        return _File(path, frames, _modality_lut(path, dataset), max(extra, 0))


def _native(dataset: Dataset, shape: tuple[int, int, int], bits: int) -> np.ndarray:
    values = np.frombuffer(dataset.PixelData, _STANDARD_TYPES[bits], count=int(np.prod(shape))).reshape(shape)
    used = int(dataset.BitsStored)
    if _is_signed(dataset):
        values = values.view(values.dtype.str.replace("u", "i"))
    # The bits above the stored ones may hold anything; shifting them out and back also extends the sign.
    return values if used == bits else (values << (bits - used)) >> (bits - used)


def _is_signed(dataset: Dataset) -> bool:
    representation = int(dataset.PixelRepresentation)
    if representation not in (0, 1):
        raise ValueError(f"the pixel representation is {representation}")
    return representation == 1


def _decoded(path: Path, dataset: Dataset, shape: tuple[int, int, int]) -> np.ndarray:
    # GDCM hangs on some damaged RLE frames, and refuses those of an odd number of pixels.
    is_rle = dataset.file_meta.TransferSyntaxUID == _RLE
    pixels = dataset.pixel_array if is_rle else _decoded_by_gdcm(path, dataset, shape[0])
    if pixels.size != np.prod(shape):
        raise checks.damaged(path, f"its pixel data decode to {pixels.size} of {np.prod(shape)} pixels")
    return pixels.reshape(shape)


def _decoded_by_gdcm(path: Path, dataset: Dataset, frames: int) -> np.ndarray:
    import SimpleITK

    with tempfile.TemporaryDirectory(prefix="maesil-") as folder:
        bare = Path(folder) / "frames.dcm"
        _write_bare(bare, dataset, frames)
        try:
            image = SimpleITK.ReadImage(str(bare), imageIO="GDCMImageIO")
        except RuntimeError as error:
            raise checks.damaged(path, "its pixel data do not decode") from error
    return SimpleITK.GetArrayFromImage(image)


def _write_bare(path: Path, dataset: Dataset, frames: int) -> None:
    """Write the pixels with their description alone: no rescaling, no display mark, nothing of the patient."""
    from pydicom.dataset import Dataset as NewDataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.filewriter import dcmwrite
    from pydicom.uid import generate_uid

    bare = NewDataset()
    bare.SOPClassUID = _MULTI_FRAME_SECONDARY_CAPTURE if frames > 1 else _SECONDARY_CAPTURE
    bare.SOPInstanceUID = generate_uid()
    bare.SamplesPerPixel, bare.PhotometricInterpretation = 1, "MONOCHROME2"
    if frames > 1:
        bare.NumberOfFrames = frames
    for keyword in _DESCRIPTION:
        setattr(bare, keyword, dataset.get(keyword))
    bare["PixelData"] = dataset["PixelData"]
    bare.preamble = bytes(128)
    bare.file_meta = FileMetaDataset()
    bare.file_meta.MediaStorageSOPClassUID = bare.SOPClassUID
    bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    bare.is_little_endian = dataset.file_meta.TransferSyntaxUID != _BIG_ENDIAN
    bare.is_implicit_VR = False
    dcmwrite(path, bare)


def _modality_lut(path: Path, dataset: Dataset) -> np.ndarray | None:
    sequence = dataset.get("ModalityLUTSequence")
    if not sequence:
        return None
    count, first, bits = (int(value) for value in sequence[0].LUTDescriptor)
    data = sequence[0].LUTData
    if isinstance(data, bytes):
        data = np.frombuffer(data, "<u2" if bits > 8 or len(data) >= 2 * count else "u1")
    outputs = np.asarray(data, np.int64)
    count = count or 1 << 16
    if len(outputs) < count:
        raise checks.damaged(path, f"its Modality LUT has {len(outputs)} of {count} entries")
    signed = _is_signed(dataset)
    # The first input value is signed where the pixels are; pydicom gives it as it is written, unsigned.
    first = first - (1 << 16) if signed and first >= 1 << 15 else first
    return np.concatenate([[first], outputs[:count]])
