"""What a DICOM file says of itself, through SimpleITK; tags that name a patient are never asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MAESILCore.errors import VolumeError

#: SOP classes of CT, MR, secondary capture, NM and PET images (DICOM PS3.4, table B.5-1).
_IMAGE_STORAGE = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(2|4|7|20|128|130)(\.\d+)*")

#: The element (0002,0002) Media Storage SOP Class UID; the file meta group is always explicit little endian.
_MEDIA_STORAGE_CLASS = re.compile(rb"\x02\x00\x02\x00UI..([\d.]+)", re.DOTALL)

_META_BYTES = 1024


@dataclass(frozen=True)
class SliceHeader:
    """The part of a DICOM image's header that sorting and geometry need.

    Attributes:
        path: The file.
        series_uid: Of the series, "" if the tag is empty.
        series_number: As written, "" if the tag is empty.
        modality: Such as "CT", "" if the tag is empty.
        size: Columns and rows.
        frames: Images in this file.
        components: Values a pixel.
        is_localizer: Whether the file calls itself a scout.
        position: (3,) LPS mm of the first pixel's centre, or None.
        orientation: (2, 3) LPS unit vectors along i and j, or None.
        pixel_spacing: (2,) mm along i and j, or None.
    """

    path: Path
    series_uid: str
    series_number: str
    modality: str
    size: tuple[int, int]
    frames: int
    components: int
    is_localizer: bool
    position: np.ndarray | None
    orientation: np.ndarray | None
    pixel_spacing: np.ndarray | None


def is_dicom(path: Path) -> bool:
    """Whether the file carries the DICOM mark."""
    return _first_bytes(path, 132)[128:] == b"DICM"


def is_dicom_image(path: Path) -> bool:
    """Whether the file's meta header announces a CT, MR, PET, NM or secondary-capture image."""
    found = _MEDIA_STORAGE_CLASS.search(_first_bytes(path, _META_BYTES), 132) if is_dicom(path) else None
    return found is not None and _IMAGE_STORAGE.fullmatch(found.group(1).decode("ascii")) is not None


def read_header(path: Path) -> SliceHeader | None:
    """Read one header; None if GDCM finds no complete image in the file."""
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None

    def text(tag: str) -> str:
        return str(reader.GetMetaData(tag)).strip(" \0") if reader.HasMetaDataKey(tag) else ""

    orientation = _numbers(text("0020|0037"), 6)
    # DICOM gives the distance of rows (along j) first.
    row_column_spacing = _numbers(text("0028|0030"), 2)
    columns, rows = reader.GetSize()[:2]
    return SliceHeader(
        path=path,
        series_uid=text("0020|000e"),
        series_number=text("0020|0011"),
        modality=text("0008|0060"),
        size=(int(columns), int(rows)),
        frames=int(np.prod(reader.GetSize()[2:])),
        components=int(reader.GetNumberOfComponents()),
        is_localizer="LOCALIZER" in text("0008|0008").upper(),
        position=_numbers(text("0020|0032"), 3),
        orientation=None if orientation is None else orientation.reshape(2, 3),
        pixel_spacing=None if row_column_spacing is None else row_column_spacing[::-1],
    )


def _numbers(text: str, count: int) -> np.ndarray | None:
    try:
        values = np.array([float(part) for part in text.split("\\")])
    except ValueError:
        return None
    return values if values.size == count and np.isfinite(values).all() else None


def _first_bytes(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise VolumeError(f"{path} cannot be read: {error.strerror}.") from error
