"""Notes on a DICOM scan: skipped files, and slices that may not belong together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from MAESILCore.data.formats.dicom.headers import FrameHeader
from MAESILCore.data.formats.found import listed
from MAESILCore.wording import displayable

#: An optional date, a time of day that may be truncated, and an optional time zone.
_TIME = re.compile(r"(\d{8})?(\d\d)(\d\d)?(\d\d(?:\.\d*)?)?(?:[+-]\d{4})?")

#: Tags that change only between acquisitions.
_OF_ACQUISITIONS = (
    *(
        "AcquisitionNumber",
        "AcquisitionTime",
        "AcquisitionDateTime",
        "TemporalPositionIdentifier",
        "EchoTime",
    ),
    *("FrameAcquisitionNumber", "FrameAcquisitionDateTime", "TemporalPositionIndex", "EffectiveEchoTime"),
)

#: Minimum number of slices for an alternating pattern.
_FEWEST_SLICES = 6

#: Minimum runs of an alternating value; a single slice may be annotated or lack a value.
_FEWEST_RUNS = 3

#: Alternating times of one acquisition differ by less, as detector rows are read one by one.
_FEWEST_SECONDS = 1.0

#: Minimum count and share of steps in each direction for times of several acquisitions, as a scanner moves in one
#: direction.
_ZIGZAG_STEPS = 2
_ZIGZAG_SHARE = 0.2

#: Minimum share of slices that differ from the previous one in interleaved series.
_ALTERNATING_SHARE = 0.8


def named_files(paths: Iterable[Path]) -> str:
    """The names of the first files, displayable, each once, and the number of the others."""
    return listed(list(dict.fromkeys(displayable(path.name) for path in paths)))


def left_out_notes(others: Sequence[Path], strangers: Sequence[Path]) -> list[str]:
    """Notes on files that are no images.

    Args:
        others: DICOM files without an image.
        strangers: files that are not DICOM.
    """
    notes = []
    if others:
        objects = f"{len(others)} other DICOM object{'s' * (len(others) > 1)} (no image)"
        notes.append(f"{objects} left out: {named_files(others)}.")
    if strangers:
        files = (
            "1 file that is no DICOM image was"
            if len(strangers) == 1
            else (f"{len(strangers)} files that are no DICOM images were")
        )
        notes.append(f"{files} left out: {named_files(strangers)}.")
    return notes


def stack_notes(ordered: Sequence[FrameHeader], scouts: Sequence[FrameHeader]) -> list[str]:
    """Notes on the slices of a stack.

    Args:
        ordered: the slices along the stack.
        scouts: images of the series that are not in the stack.
    """
    notes = []
    if scouts:
        count = "1 scout image was" if len(scouts) == 1 else f"{len(scouts)} scout images were"
        notes.append(f"{count} left out ({named_files(scout.path for scout in scouts)}).")
    if all(header.is_localizer for header in ordered):
        notes.append("All slices are marked as scout images (LOCALIZER).")
    first = ordered[0]
    if first.modality != "CT":
        notes.append(f"The modality is {first.modality or 'not stated'}, not CT.")
    if _is_interleaved(ordered):
        notes.append(
            "The slices of several acquisitions alternate in this stack: it may mix phases or doses."
        )
    if len({header.kernel for header in ordered}) > 1:
        notes.append("The slices were reconstructed with different kernels.")
    return [*notes, *_value_notes(ordered)]


def _value_notes(ordered: Sequence[FrameHeader]) -> list[str]:
    notes = []
    is_ct = ordered[0].modality == "CT"
    unscaled = sum(not (header.has_rescale or header.has_modality_lut) for header in ordered)
    if is_ct and unscaled:
        notes.append(
            f"{unscaled} of {len(ordered)} slices state no rescale slope and intercept; 1 and 0 were taken."
        )
    if any(header.has_modality_lut for header in ordered):
        notes.append("The values come from the file's Modality LUT, which replaces slope and intercept.")
    if any(header.has_coloured_values for header in ordered):
        notes.append("Some values stand for colours of a map over the image, not for HU.")
    units = sorted({header.rescale_type for header in ordered} - {"HU", "US", ""})
    if is_ct and units:
        notes.append(f"The header says that the values are in {' and '.join(units)}, not HU.")
    return notes


def _is_interleaved(ordered: Sequence[FrameHeader]) -> bool:
    is_ct = ordered[0].modality == "CT"
    for tag in ordered[0].acquisition:
        values = [header.acquisition[tag] for header in ordered]
        # Frames of an enhanced MR image are often interleaved, with times in seconds.
        is_telling = tag in _OF_ACQUISITIONS and (is_ct or tag != "FrameAcquisitionDateTime")
        if _comes_back(values) if is_telling else _takes_turns(values):
            return True
    if _alternates([header.content_time for header in ordered]):
        return True
    # Slices of an MR acquisition are often interleaved, odd ones first.
    return is_ct and _zigzags([header.acquisition_time for header in ordered])


def _runs(values: Sequence[str]) -> list[str]:
    """The values without immediate repetitions."""
    return [value for n, value in enumerate(values) if n == 0 or value != values[n - 1]]


def _comes_back(values: Sequence[str]) -> bool:
    """Whether a value recurs after another value along the stack."""
    runs = _runs(values)
    return len(set(runs)) < len(runs)


def _takes_turns(values: Sequence[str]) -> bool:
    """Whether at least two values recur repeatedly along the stack."""
    return sum(count >= _FEWEST_RUNS for count in Counter(_runs(values)).values()) > 1


def _alternates(times: Sequence[str]) -> bool:
    """Whether the same times, seconds apart, alternate along the whole stack.

    Content times also vary within a series, but do not repeat.
    """
    steps = _steps(times)
    is_in_turns = sum(abs(step) >= _FEWEST_SECONDS for step in steps) >= _ALTERNATING_SHARE * (len(times) - 1)
    middle = len(times) // 2
    return len(times) >= _FEWEST_SLICES and is_in_turns and set(times[:middle]) == set(times[middle:])


def _zigzags(times: Sequence[str]) -> bool:
    """Whether times rise and fall along the stack."""
    steps = [step for step in _steps(times) if step]
    rises = sum(step >= _FEWEST_SECONDS for step in steps)
    falls = sum(step <= -_FEWEST_SECONDS for step in steps)
    return min(rises, falls) >= max(_ZIGZAG_STEPS, _ZIGZAG_SHARE * len(steps))


def _steps(times: Sequence[str]) -> list[float]:
    """Seconds from each stated time to the next one; DICOM writes HHMMSS.F, with or without the date before it."""
    stated = [match for match in map(_TIME.fullmatch, times) if match is not None]
    seconds = [
        (int(date or 0) * 24 + int(hours)) * 3600 + int(minutes or 0) * 60 + float(rest or 0)
        for date, hours, minutes, rest in (match.groups() for match in stated)
    ]
    return [later - earlier for earlier, later in pairwise(seconds)]
