"""Compressed DICOM pixels: RLE through pydicom, JPEG of any kind through GDCM.

GDCM reads a temporary file with only the pixel description. It thus cannot invert MONOCHROME1 or apply one rescaling to
all frames, and no patient data are written.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from MAESILCore.data.formats.scan import damaged

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Message on more pixels than the header announces.
TOO_LONG = "are more than the header announces"

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_MULTI_FRAME_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7.3"
_RLE = "1.2.840.10008.1.2.5"

#: The tag before each fragment of compressed pixels, and the first byte of all JPEG images.
_ITEM, _JPEG_MARKER = b"\xfe\xff\x00\xe0", b"\xff"

_DESCRIPTION = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")


def decode(dataset: Dataset, shape: tuple[int, int, int]) -> tuple[np.ndarray, str]:
    """Decode the stored values of compressed frames.

    Args:
        dataset: the pixels and their description.
        shape: frames, rows and columns.

    Returns:
        The values in this shape, and a doubt about them as the end of a sentence, or "".

    Raises:
        Unreadable: the pixels do not decode to this shape.
    """
    _refuse_broken_fragments(dataset.PixelData, shape[0])
    if dataset.file_meta.TransferSyntaxUID == _RLE:
        # GDCM hangs on some damaged RLE frames, and rejects odd numbers of pixels.
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                pixels = dataset.pixel_array
            except Exception as error:
                # Damaged RLE segments raise various exceptions.
                raise damaged("its pixel data do not decode") from error
        doubt = TOO_LONG if any("padding" in str(one.message) for one in caught) else ""
    else:
        pixels, doubt = _decoded_by_gdcm(dataset, shape[0])
    if pixels.size != np.prod(shape):
        raise damaged(f"its pixel data decode to {pixels.size} of {np.prod(shape)} pixels")
    return pixels.reshape(shape), doubt


def _decoded_by_gdcm(dataset: Dataset, frames: int) -> tuple[np.ndarray, str]:
    import SimpleITK

    with tempfile.TemporaryDirectory(prefix="maesil-") as folder:
        bare = Path(folder) / "frames.dcm"
        _write_bare(bare, dataset, frames)
        with _errors_of_c(Path(folder) / "errors.txt") as errors:
            try:
                image = SimpleITK.ReadImage(str(bare), imageIO="GDCMImageIO")
            except RuntimeError as error:
                raise damaged("its pixel data do not decode") from error
        doubt = "made the decoder complain" if errors.stat().st_size else ""
    return SimpleITK.GetArrayFromImage(image), doubt


@contextmanager
def _errors_of_c(path: Path) -> Iterator[Path]:
    """Redirect the standard error of C libraries to a file, as JPEG decoders report damage only there."""
    path.touch()
    try:
        usual = os.dup(2)
    except OSError:
        # A program without a console has no standard error.
        yield path
        return
    try:
        with path.open("wb") as file:
            os.dup2(file.fileno(), 2)
            yield path
    finally:
        os.dup2(usual, 2)
        os.close(usual)


def _refuse_broken_fragments(encapsulated: bytes, frames: int) -> None:
    """Reject pixels without a valid chain of fragments (PS3.5, annex A.4), which GDCM would search for minutes.

    The first item is an offset table, which some programs omit; each frame has at least one fragment.
    """
    place, items = 0, 0
    while place + 8 <= len(encapsulated) and encapsulated[place : place + 4] == _ITEM:
        place += 8 + int.from_bytes(encapsulated[place + 4 : place + 8], "little")
        items += 1
    if place != len(encapsulated):
        raise damaged("its compressed pixel data are no chain of fragments")
    has_table = not encapsulated[8:].startswith(_JPEG_MARKER)
    fragments = max(items - has_table, 0)
    if fragments < frames:
        raise damaged(f"its pixel data have {fragments} of {frames} frames")


def _write_bare(path: Path, dataset: Dataset, frames: int) -> None:
    """Write only the pixels and their description, without rescaling, display settings or patient data."""
    from pydicom.dataset import Dataset as NewDataset
    from pydicom.dataset import FileMetaDataset
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
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    bare.save_as(path, enforce_file_format=True)
