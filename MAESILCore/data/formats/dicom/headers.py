"""Headers of DICOM images through pydicom, one entry per frame. Patient tags are never read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from MAESILCore.data.formats.dicom.kinds import Kind, kind_of, parsing, plain, text_of
from MAESILCore.data.formats.scan import damaged
from MAESILCore.data.formats.textheader import decimal

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SHARED_GROUPS = "SharedFunctionalGroupsSequence"
_FRAME_GROUPS = "PerFrameFunctionalGroupsSequence"

_GREY = ("MONOCHROME1", "MONOCHROME2", "")
_COLOURS = ("RGB", "YBR_", "PALETTE COLOR", "ARGB", "HSV", "CMYK", "XYB")

#: Tags that are constant within an acquisition, with their functional group in enhanced images.
_ACQUISITION_TAGS = {
    **dict.fromkeys(("AcquisitionNumber", "AcquisitionTime", "AcquisitionDateTime", "EchoTime"), ""),
    **dict.fromkeys(("TemporalPositionIdentifier", "ContrastBolusAgent", "FrameOfReferenceUID"), ""),
    **dict.fromkeys(("StudyInstanceUID", "SeriesTime", "PatientPosition", "FilterType"), ""),
    **dict.fromkeys(("FrameAcquisitionNumber", "FrameAcquisitionDateTime"), "FrameContentSequence"),
    "TemporalPositionIndex": "FrameContentSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "NominalPercentageOfCardiacPhase": "CardiacSynchronizationSequence",
    "KVP": "CTXRayDetailsSequence",
    "EffectiveEchoTime": "MREchoSequence",
}

#: Tags with numeric values.
_MEASURES = frozenset(
    {"SliceThickness", "KVP", "EchoTime", "EffectiveEchoTime", "NominalPercentageOfCardiacPhase"}
)

#: All tags that are read.
_TAGS = [
    *("SOPClassUID", "Modality", "ImageType", "SeriesInstanceUID", "SeriesNumber", "ContentTime"),
    *_ACQUISITION_TAGS,
    *("ConcatenationUID", "InConcatenationNumber", "InConcatenationTotalNumber"),
    *("ConvolutionKernel", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "PixelPresentation"),
    *(_SHARED_GROUPS, _FRAME_GROUPS),
]


@dataclass(frozen=True)
class Part:
    """The index of a file in a concatenation (a large image in several files).

    Attributes:
        of: UID of the whole image.
        number: index from 1.
        count: number of all parts, 0 if not stated.
    """

    of: str
    number: int
    count: int


@dataclass(frozen=True)
class FrameHeader:
    """The header of a DICOM frame, for sorting, geometry and rescaling; a classic image is one frame.

    Attributes:
        path: the file.
        frame: index of the frame in the file.
        frames: number of frames in the file.
        series_uid: series instance UID, "" if the tag is empty.
        series_number: as written, "" if the tag is empty.
        modality: such as "CT", "" if the tag is empty.
        size: columns and rows.
        is_colour: whether a pixel is a colour.
        is_localizer: whether the frame is marked as a scout.
        position: (3,) LPS mm of the first pixel's centre, or None.
        orientation: (2, 3) LPS unit vectors along i and j, or None.
        pixel_spacing: (2,) mm along i and j, or None.
        has_rescale: whether slope and intercept are stated.
        slope: rescale slope.
        intercept: rescale intercept.
        rescale_type: unit after rescaling, such as "HU", "" if not stated.
        has_modality_lut: whether a Modality LUT replaces slope and intercept.
        has_coloured_values: whether some values are colours, as in perfusion maps over grey images.
        kernel: convolution kernel, "" if not stated.
        acquisition: values of the tags that are constant within an acquisition, by keyword, in a normalised format.
        acquisition_time: date or time at which the slice was measured, as written, "" if not stated.
        content_time: time at which the image was made, as written, "" if not stated.
        part: index of the file in a concatenation, or None.
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
    acquisition: Mapping[str, str]
    acquisition_time: str
    content_time: str
    part: Part | None


@dataclass(frozen=True)
class FileHeader:
    """The header of a DICOM file.

    Attributes:
        path: the file.
        kind: the kind of its content.
        modality: such as "CT", "" if the tag is empty.
        frames: one entry per frame; empty unless the file is an image.
    """

    path: Path
    kind: Kind
    modality: str
    frames: tuple[FrameHeader, ...]


def read_header(path: Path) -> FileHeader:
    """Read the header of a DICOM file with all its frames.

    Raises:
        VolumeError: the header cannot be read.
    """
    with parsing(path):
        from pydicom import dcmread

        dataset = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        kind = kind_of(dataset)
        frames = _frames(path, dataset) if kind is Kind.IMAGE else []
        return FileHeader(path, kind, text_of(dataset, "Modality"), tuple(frames))


def _frames(path: Path, dataset: Dataset) -> list[FrameHeader]:
    if "Rows" not in dataset or "Columns" not in dataset:
        raise damaged("it is marked as an image, and its header has none")
    frames = int(dataset.get("NumberOfFrames") or 1)
    of_frames = list(dataset.get(_FRAME_GROUPS) or [])
    if frames < 1 or (of_frames and len(of_frames) != frames):
        raise damaged(f"it announces {frames} frames and describes {len(of_frames)}")
    shared = list(dataset.get(_SHARED_GROUPS) or [])[:1]
    # Frames without individual descriptions have no positions.
    described = of_frames or [None]
    return [
        _header(path, dataset, n, frames, [*([group] if group is not None else []), *shared])
        for n, group in enumerate(described)
    ]


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
        raise damaged(f"it has {samples} samples per pixel")
    photometric = text_of(dataset, "PhotometricInterpretation")
    if photometric not in _GREY and not photometric.startswith(_COLOURS):
        raise damaged(f"its photometric interpretation {photometric!r} is unknown")
    acquisition = {
        keyword: _alike(keyword, plain(find(group, keyword))) for keyword, group in _ACQUISITION_TAGS.items()
    }
    times = ("FrameAcquisitionDateTime", "AcquisitionDateTime", "AcquisitionTime")
    return FrameHeader(
        path=path,
        frame=frame,
        frames=frames,
        series_uid=text_of(dataset, "SeriesInstanceUID"),
        series_number=text_of(dataset, "SeriesNumber"),
        modality=text_of(dataset, "Modality"),
        size=(int(dataset.Columns), int(dataset.Rows)),
        is_colour=samples > 1 or photometric not in _GREY,
        is_localizer="LOCALIZER" in str(kinds).upper(),
        position=position,
        orientation=None if orientation is None else orientation.reshape(2, 3),
        pixel_spacing=None if row_column_spacing is None else row_column_spacing[::-1],
        has_rescale=None not in (slope, intercept),
        slope=_factor(slope, 1.0),
        intercept=_factor(intercept, 0.0),
        rescale_type=plain(find(values, "RescaleType")),
        has_modality_lut=bool(dataset.get("ModalityLUTSequence")),
        has_coloured_values=text_of(dataset, "PixelPresentation") in ("COLOR", "MIXED"),
        kernel=plain(find("CTReconstructionSequence", "ConvolutionKernel")),
        acquisition={**acquisition, "ImageType": str(kinds)},
        acquisition_time=next((acquisition[time] for time in times if acquisition[time]), ""),
        content_time=text_of(dataset, "ContentTime"),
        part=_part(dataset),
    )


def _alike(keyword: str, text: str) -> str:
    """Normalise the text of a value: "2.50" becomes 2.5, and "101000.00" becomes 101000."""
    if keyword.endswith("Time") and keyword not in _MEASURES:
        return text.rstrip("0").rstrip(".") if "." in text else text
    if keyword not in _MEASURES or not text:
        return text
    try:
        return f"{decimal(text):.3g}"
    except ValueError:
        return text


def _part(dataset: Dataset) -> Part | None:
    number, count = (int(dataset.get(f"InConcatenation{what}") or 0) for what in ("Number", "TotalNumber"))
    uid = text_of(dataset, "ConcatenationUID")
    return Part(uid, number, count) if uid or number > 1 or count > 1 else None


def _numbers(value: Any, count: int) -> np.ndarray | None:  # noqa: ANN401
    try:
        numbers = np.array([decimal(str(part)) for part in value])
    except (TypeError, ValueError):
        return None
    return numbers if numbers.size == count and np.isfinite(numbers).all() else None


def _factor(value: Any, default: float) -> float:  # noqa: ANN401
    if value is None or value == "":
        return default
    factor = decimal(str(value))
    if not np.isfinite(factor) or (factor == 0.0 and default != 0.0):
        raise damaged(f"its rescale slope or intercept is {factor:g}")
    return factor
