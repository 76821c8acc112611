"""DICOM SEG: binary, fractional and label map segmentations, read by highdicom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from MAESILCore.data.formats import geometry
from MAESILCore.data.formats.dicom.kinds import parsing, text_of
from MAESILCore.data.formats.scan import Unreadable
from MAESILCore.data.labels.canvas import Canvas, unlabelled
from MAESILCore.data.labels.dicom import refuse_other_frame
from MAESILCore.data.labels.labelmap import complete, whole_numbers
from MAESILCore.data.labels.naming import tidied
from MAESILCore.data.labels.terminology import NO_CODE, Code, entry
from MAESILCore.data.segmentation import Segment, Segmentation
from MAESILCore.optional import require
from MAESILCore.wording import displayable

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: A fractional segment has the voxels that it fills to at least this part.
_INSIDE = 0.5
#: Where a code is, by its length and form.
_VALUES = ("CodeValue", "LongCodeValue", "URNCodeValue")

_FRACTIONAL = f"The segments are fractional; they have the voxels that they fill to {_INSIDE:.0%} or more."


def read(path: Path, scan: Path | None) -> Segmentation:
    """Read a segmentation object; its grid is that of its frames.

    Args:
        path: the file.
        scan: the path of the scan, to compare the frames of reference.

    Raises:
        MissingPackageError: highdicom is not installed.
        Unreadable: the object is damaged, belongs to another scan, or its slices are at uneven distances.
    """
    highdicom = require("highdicom", "Reading DICOM SEG")
    with parsing(path), _placed():
        found = highdicom.seg.segread(path)
        refuse_other_frame({text_of(found, "FrameOfReferenceUID")} - {""}, scan)
        numbers = [int(number) for number in found.segment_numbers]
        described = [found.get_segment_description(number) for number in numbers]
        segments, notes = tidied(
            Segment(number, text_of(one, "SegmentLabel"), _color_of(one, highdicom), _terminology_of(one))
            for number, one in zip(numbers, described, strict=True)
        )
        labels, affine, more = _labels(found, segments)
    # Of highdicom's (slice, row, column) in LPS.
    ijk_to_ras = geometry.LPS_TO_RAS @ affine[:, [2, 1, 0, 3]]
    return complete(labels, ijk_to_ras, segments, None, (*notes, *more))


def _labels(found: Any, segments: Sequence[Segment]) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:  # noqa: ANN401 - of highdicom
    """Labels (slice, row, column), the affine matrix of highdicom, and notes."""
    if not segments:
        raise Unreadable("is a DICOM SEG without segments: export it again.")
    is_fractional = text_of(found, "SegmentationType") == "FRACTIONAL"
    if not is_fractional:
        with suppress(RuntimeError):
            # It raises if segments overlap; what else is wrong, the segments' own volumes below raise again.
            whole = found.get_volume(combine_segments=True)
            return whole_numbers(whole.array), np.asarray(whole.affine), ()
    # All segments have the grid of the whole object.
    first = found.get_volume(segment_numbers=[segments[0].value])
    canvas = Canvas(first.array.shape[:3], max(one.value for one in segments), unlabelled(segments))
    canvas.paint(segments[0].value, first.array[..., 0] >= _INSIDE)
    for segment in segments[1:]:
        part = found.get_volume(segment_numbers=[segment.value])
        canvas.paint(segment.value, part.array[..., 0] >= _INSIDE)
    notes = canvas.notes({one.value: one.name for one in segments})
    return canvas.labels, np.asarray(first.affine), (*([_FRACTIONAL] if is_fractional else []), *notes)


@contextmanager
def _placed() -> Iterator[None]:
    """Convert the errors of highdicom to sentences."""
    try:
        yield
    except (RuntimeError, ValueError, AttributeError, TypeError, KeyError) as error:
        reason = displayable(" ".join(str(error).split()).rstrip("."))
        raise Unreadable(
            f"is a DICOM SEG that cannot be read as a volume ({reason}): save it as .seg.nrrd with 3D Slicer."
        ) from error


def _color_of(described: Dataset, highdicom: Any) -> tuple[float, float, float] | None:  # noqa: ANN401 - the package
    stated = described.get("RecommendedDisplayCIELabValue")
    if not stated:
        return None
    red, green, blue = highdicom.color.CIELabColor.from_dicom_value(list(stated)).to_rgb(clip=True)
    return red / 255, green / 255, blue / 255


def _terminology_of(described: Dataset) -> str:
    """The coded concepts as an entry of 3D Slicer, "" without a type."""
    category, kind = (
        _first(described, f"SegmentedProperty{name}CodeSequence") for name in ("Category", "Type")
    )
    region = _first(described, "AnatomicRegionSequence")
    if category is None or kind is None:
        return ""
    return entry(
        _code(category),
        _code(kind),
        _code(_first(kind, "SegmentedPropertyTypeModifierCodeSequence")),
        _code(region),
        _code(None if region is None else _first(region, "AnatomicRegionModifierSequence")),
    )


def _first(dataset: Dataset, keyword: str) -> Dataset | None:
    return next(iter(dataset.get(keyword) or ()), None)


def _code(concept: Dataset | None) -> Code:
    if concept is None:
        return NO_CODE
    value = next(filter(None, (text_of(concept, name) for name in _VALUES)), "")
    return text_of(concept, "CodingSchemeDesignator"), value, text_of(concept, "CodeMeaning")
