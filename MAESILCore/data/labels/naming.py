"""Names of segments: unique, and made up where a file has none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from MAESILCore.data.formats.found import listed
from MAESILCore.data.segmentation import Segment
from MAESILCore.wording import displayable


def made_up(value: int) -> str:
    """The name of a label without one."""
    return f"label {value}"


def tidied(segments: Iterable[Segment]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """The segments with one-line, unique names that are not empty, and notes on changed ones."""
    tidy: list[Segment] = []
    taken: set[str] = set()
    notes = []
    for segment in segments:
        name = displayable(" ".join(segment.name.split()))
        if not name:
            name = made_up(segment.value)
            notes.append(f"The segment of the label {segment.value} has no name and was called {name}.")
        unique = _unique(name, taken)
        if unique != name:
            notes.append(f"Several segments are called {name}; one of them was renamed to {unique}.")
        taken.add(unique)
        tidy.append(replace(segment, name=unique))
    return tuple(tidy), tuple(notes)


def completed(
    segments: Sequence[Segment], values: Iterable[int], names: Mapping[int, str] | None
) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Segments with tidy names for all values of a label map, and notes.

    Args:
        segments: the segments that the file names.
        values: the values of the label map.
        names: names of further values; also of values that this label map lacks.
    """
    stated = {one.value for one in segments}
    more = [Segment(value, name) for value, name in sorted((names or {}).items()) if value not in stated]
    known = stated | {one.value for one in more}
    unnamed = [value for value in sorted(set(values)) if value not in known]
    tidy, notes = tidied([*segments, *more, *(Segment(value, made_up(value)) for value in unnamed)])
    if unnamed:
        called = listed([one.name for one in tidy[len(tidy) - len(unnamed) :]])
        what = "Some labels have no name" if known else "The file has no names of its labels"
        notes = (*notes, f"{what}; they were called {called}.")
    return tidy, notes


def _unique(name: str, taken: set[str]) -> str:
    number, unique = 2, name
    while unique in taken:
        unique, number = f"{name} ({number})", number + 1
    return unique
