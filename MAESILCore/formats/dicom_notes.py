"""What a user should know of a DICOM scan: files left out, and slices that may not belong together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from MAESILCore.formats.dicom_headers import FrameHeader
from MAESILCore.wording import displayable

_NAMED_FILES = 3

#: Alternating values of at least so many slices are a pattern.
_FEWEST_SLICES = 4

#: Times that rise and fall along the stack, at least twice and in this share of the steps, are those of several
#: acquisitions: a scanner passes through a patient in one direction.
_ZIGZAG_STEPS = 2
_ZIGZAG_SHARE = 0.2

#: Slices of which so many differ from the one before them are made in turns.
_ALTERNATING_SHARE = 0.8


def named_files(paths: Iterable[Path]) -> str:
    """The names of the first files, displayable, each once."""
    names = list(dict.fromkeys(displayable(path.name) for path in paths))
    return ", ".join(names[:_NAMED_FILES]) + (", ..." if len(names) > _NAMED_FILES else "")


def left_out_notes(others: Sequence[Path], strangers: Sequence[Path]) -> list[str]:
    """Notes on the files of a folder that are no images.

    Args:
        others: DICOM files without an image.
        strangers: Files that are no DICOM.
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
        ordered: The slices along the stack.
        scouts: Images of the series that are not in the stack.
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
    if any(_comes_back(values) for values in zip(*(header.acquisition for header in ordered), strict=True)):
        return True
    if _alternates([header.content_time for header in ordered]):
        return True
    # The slices of one MR acquisition are often measured in turns, the odd ones first.
    return ordered[0].modality == "CT" and _zigzags([header.acquisition_time for header in ordered])


def _comes_back(values: Sequence[str]) -> bool:
    """Whether a value comes back after another one, along the stack."""
    runs = [value for n, value in enumerate(values) if n == 0 or value != values[n - 1]]
    return len(set(runs)) < len(runs)


def _alternates(values: Sequence[str]) -> bool:
    """Whether the same values take turns from one end of the stack to the other.

    The times at which images are made also differ within a series, in any order; but they go on.
    """
    changes = sum(one != other for one, other in pairwise(values))
    is_in_turns = changes >= _ALTERNATING_SHARE * (len(values) - 1)
    middle = len(values) // 2
    return len(values) >= _FEWEST_SLICES and is_in_turns and set(values[:middle]) == set(values[middle:])


def _zigzags(times: Sequence[str]) -> bool:
    """Whether times rise and fall along the stack."""
    stated = [time for time in times if time]
    rises = sum(one < other for one, other in pairwise(stated))
    falls = sum(one > other for one, other in pairwise(stated))
    return min(rises, falls) >= max(_ZIGZAG_STEPS, _ZIGZAG_SHARE * (rises + falls))
