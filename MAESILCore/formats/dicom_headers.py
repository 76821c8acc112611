"""The headers of DICOM images, through pydicom: one entry per frame; tags that name a patient are never read."""

from __future__ import annotations

import logging
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from MAESILCore.errors import VolumeError
from MAESILCore.formats import checks
from MAESILCore.formats.plainnumbers import decimal

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: SOP classes of CT, MR, secondary capture, NM and PET images (DICOM PS3.4, table B.5-1); 4.2 is MR spectroscopy.
_IMAGE_STORAGE = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(?!4\.2$)(2|4|7|20|128|130)(\.\d+)*")

#: The element (0002,0002) Media Storage SOP Class UID; the file meta group is always explicit little endian.
_MEDIA_STORAGE_CLASS = re.compile(rb"\x02\x00\x02\x00UI..([\d.]+)", re.DOTALL)

_META_BYTES = 1024

_SHARED_GROUPS = "SharedFunctionalGroupsSequence"
_FRAME_GROUPS = "PerFrameFunctionalGroupsSequence"

_GREY = ("MONOCHROME1", "MONOCHROME2", "")
_COLOURS = ("RGB", "YBR_", "PALETTE COLOR", "ARGB", "HSV", "CMYK", "XYB")

#: Tags that are equal for all slices of one acquisition.
_ACQUISITION_TAGS = (
    "AcquisitionNumber",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "TemporalPositionIdentifier",
    "EchoTime",
)

#: All that is read of a header.
_TAGS = [
    *("SOPClassUID", "Modality", "ImageType", "SeriesInstanceUID", "SeriesNumber", *_ACQUISITION_TAGS),
    *(
        "ConvolutionKernel",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "Rows",
        "Columns",
    ),
    *("NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *(
        "RescaleSlope",
        "RescaleIntercept",
        "RescaleType",
        "ModalityLUTSequence",
        "PixelPresentation",
        _SHARED_GROUPS,
        _FRAME_GROUPS,
    ),
]


@dataclass(frozen=True)
class FrameHeader:
    """The part of a DICOM frame's header that sorting, geometry and rescaling need; a classic image is one frame.

    Attributes:
        path: The file.
        frame: Index of the frame in the file.
        frames: Number of frames in the file.
        series_uid: Series instance UID, "" if the tag is empty.
        series_number: As written, "" if the tag is empty.
        modality: Such as "CT", "" if the tag is empty.
        size: Columns and rows.
        is_colour: Whether a pixel is a colour.
        is_localizer: Whether the frame is marked as a scout.
        position: (3,) LPS mm of the first pixel's centre, or None.
        orientation: (2, 3) LPS unit vectors along i and j, or None.
        pixel_spacing: (2,) mm along i and j, or None.
        has_rescale: Whether slope and intercept are stated.
        slope: Rescale slope.
        intercept: Rescale intercept.
        rescale_type: Unit after rescaling, such as "HU", "" if not stated.
        has_modality_lut: Whether a Modality LUT replaces slope and intercept.
        has_coloured_values: Whether some values stand for colours, as in perfusion maps over grey images.
        kernel: Convolution kernel, "" if not stated.
        acquisition: Values of the tags that are equal for all slices of one acquisition.
    """

    path: Path
    frame: int
    frames: int
    series_uid: str
    series_number: str
    modality: str
    size: tuple[int, int]
    is_colour: bool
    is_localizer: bool
    position: np.ndarray | None
    orientation: np.ndarray | None
    pixel_spacing: np.ndarray | None
    has_rescale: bool
    slope: float
    intercept: float
    rescale_type: str
    has_modality_lut: bool
    has_coloured_values: bool
    kernel: str
    acquisition: tuple[str, ...]


def is_dicom(path: Path) -> bool:
    """Whether this is a regular file with the DICOM mark.

    Raises:
        VolumeError: If the file cannot be opened.
    """
    return _first_bytes(path, 132)[128:] == b"DICM"


def modality_of(path: Path) -> str:
    """The modality of any DICOM object, "" if it states none.

    Raises:
        VolumeError: If the header cannot be read.
    """
    with parsing(path):
        from pydicom import dcmread

        return _text(dcmread(path, stop_before_pixels=True, specific_tags=["Modality"]), "Modality")


def is_dicom_image(path: Path) -> bool:
    """Whether the file's meta header announces a CT, MR, PET, NM or secondary-capture image.

    Raises:
        VolumeError: If the file cannot be opened.
    """
    first = _first_bytes(path, _META_BYTES)
    found = _MEDIA_STORAGE_CLASS.search(first, 132) if first[128:132] == b"DICM" else None
    return found is not None and _IMAGE_STORAGE.fullmatch(found.group(1).decode("ascii")) is not None


def read_headers(path: Path) -> list[FrameHeader]:
    """Read the header of each frame; [] if the file holds no image.

    Raises:
        VolumeError: If the header cannot be read.
    """
    with parsing(path):
        from pydicom import dcmread

        dataset = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        kind = _text(dataset, "SOPClassUID") or _text(dataset.file_meta, "MediaStorageSOPClassUID")
        if not _IMAGE_STORAGE.fullmatch(kind):
            return []
        if "Rows" not in dataset or "Columns" not in dataset:
            raise checks.damaged(path, "it is marked as an image, and its header has none")
        frames = int(dataset.get("NumberOfFrames") or 1)
        of_frames = list(dataset.get(_FRAME_GROUPS) or [])
        if frames < 1 or (of_frames and len(of_frames) != frames):
            raise checks.damaged(path, f"it announces {frames} frames and describes {len(of_frames)}")
        shared = list(dataset.get(_SHARED_GROUPS) or [])[:1]
        # Frames that are not described one by one have no positions.
        described = of_frames or [None]
        return [
            _header(path, dataset, n, frames, [*([group] if group is not None else []), *shared])
            for n, group in enumerate(described)
        ]


@contextmanager
def parsing(path: Path) -> Iterator[None]:
    """Run pydicom silently, and turn whatever it raises on a damaged file into one sentence."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (VolumeError, OSError, MemoryError, ImportError):
        raise
    except Exception as error:
        # Values are converted when they are first used: a damaged one raises any of some ten kinds of error.
        raise checks.damaged(path, "its DICOM header cannot be read") from error
    finally:
        logger.setLevel(level)


def _header(path: Path, dataset: Dataset, frame: int, frames: int, groups: list[Dataset]) -> FrameHeader:
    def find(sequence: str, keyword: str) -> Any:  # noqa: ANN401 - DICOM values are of many types
        for group in groups:
            items = group.get(sequence) or []
            if items and items[0].get(keyword) is not None:
                return items[0].get(keyword)
        return dataset.get(keyword)

    is_described = frames == 1 or _FRAME_GROUPS in dataset
    position = _numbers(find("PlanePositionSequence", "ImagePositionPatient"), 3) if is_described else None
    orientation = _numbers(find("PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    # DICOM gives the distance of rows (along j) first.
    row_column_spacing = _numbers(find("PixelMeasuresSequence", "PixelSpacing"), 2)
    kinds = [
        dataset.get("ImageType"),
        *(find(f"{kind}ImageFrameTypeSequence", "FrameType") for kind in ("CT", "MR")),
    ]
    values = "PixelValueTransformationSequence"
    slope, intercept = find(values, "RescaleSlope"), find(values, "RescaleIntercept")
    samples = int(dataset.SamplesPerPixel)
    if samples < 1:
        raise checks.damaged(path, f"it has {samples} samples a pixel")
    photometric = _text(dataset, "PhotometricInterpretation")
    if photometric not in _GREY and not photometric.startswith(_COLOURS):
        raise checks.damaged(path, f"its photometric interpretation {photometric!r} is unknown")
    return FrameHeader(
        path=path,
        frame=frame,
        frames=frames,
        series_uid=_text(dataset, "SeriesInstanceUID"),
        series_number=_text(dataset, "SeriesNumber"),
        modality=_text(dataset, "Modality"),
        size=(int(dataset.Columns), int(dataset.Rows)),
        is_colour=samples > 1 or photometric not in _GREY,
        is_localizer="LOCALIZER" in str(kinds).upper(),
        position=position,
        orientation=None if orientation is None else orientation.reshape(2, 3),
        pixel_spacing=None if row_column_spacing is None else row_column_spacing[::-1],
        has_rescale=None not in (slope, intercept),
        slope=_factor(path, slope, 1.0),
        intercept=_factor(path, intercept, 0.0),
        rescale_type=str(find(values, "RescaleType") or "").strip(),
        has_modality_lut=bool(dataset.get("ModalityLUTSequence")),
        has_coloured_values=_text(dataset, "PixelPresentation") in ("COLOR", "MIXED"),
        kernel=str(find("CTReconstructionSequence", "ConvolutionKernel") or ""),
        acquisition=tuple(_text(dataset, tag) for tag in _ACQUISITION_TAGS),
    )


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip(" \0")


def _numbers(value: Any, count: int) -> np.ndarray | None:  # noqa: ANN401
    try:
        numbers = np.array([decimal(str(part)) for part in value])
    except (TypeError, ValueError):
        return None
    return numbers if numbers.size == count and np.isfinite(numbers).all() else None


def _factor(path: Path, value: Any, default: float) -> float:  # noqa: ANN401
    if value is None or value == "":
        return default
    factor = decimal(str(value))
    if not np.isfinite(factor) or (factor == 0.0 and default != 0.0):
        raise checks.damaged(path, f"its rescale slope or intercept is {factor:g}")
    return factor


def _first_bytes(path: Path, count: int) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return b""
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise VolumeError(f"{path} cannot be read: {error.strerror}.") from error
