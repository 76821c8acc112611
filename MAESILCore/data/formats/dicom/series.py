"""The DICOM series of a folder, and the choice of the scan."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MAESILCore.data.formats.checks import Unreadable
from MAESILCore.data.formats.dicom.folder import Contents, read_contents
from MAESILCore.data.formats.dicom.headers import FrameHeader
from MAESILCore.data.formats.dicom.kinds import DERIVED_MODALITIES

#: Tolerance for the cosines of one plane; those of a scout differ by more.
_SAME_PLANE = 0.05


@dataclass(frozen=True)
class SeriesInfo:
    """A DICOM series, described without patient data.

    Attributes:
        uid: series instance UID, "" if the files give none.
        number: series number as written, "" if the files give none.
        modality: such as "CT".
        slices: number of images.
        is_volume: whether it can be a scan: several slices, no colours, no scout, no segmentation.
    """

    uid: str
    number: str
    modality: str
    slices: int
    is_volume: bool

    def __str__(self) -> str:
        return self.described(f"number {self.number}" if self.number else f"UID {self.uid or '(none)'}")

    def described(self, name: str) -> str:
        """The name with modality and number of slices."""
        slices = f"{self.slices} slice{'s' * (self.slices != 1)}"
        return f"{name} ({self.modality or 'unknown modality'}, {slices})"


@dataclass(frozen=True)
class Series:
    """A series with the headers of its frames."""

    info: SeriesInfo
    headers: tuple[FrameHeader, ...]


def find_series(folder: Path) -> tuple[list[Series], Contents]:
    """The image series of a folder, sorted by number, and the folder's contents.

    Raises:
        VolumeError: see `read_contents`.
    """
    contents = read_contents(folder)
    groups = defaultdict(list)
    for header in contents.headers:
        groups[header.series_uid].append(header)
    series = [Series(_describe(uid, group), tuple(group)) for uid, group in groups.items()]
    return sorted(series, key=lambda one: (one.info.number.zfill(12), one.info.uid)), contents


def listing(series: Sequence[Series], among: Sequence[Series]) -> str:
    """The series as text, by number, with the UID if numbers are ambiguous."""
    counts = Counter(one.info.number for one in among)
    return ", ".join(
        one.info.described(f"number {one.info.number}, UID {one.info.uid or '(none)'}")
        if one.info.number and counts[one.info.number] > 1
        else str(one.info)
        for one in series
    )


def choose_series(found: Sequence[Series], wanted: str | None) -> Series:
    """The series with the wanted number or UID, else the only one that can be a scan.

    Raises:
        Unreadable: no series or several match.
    """
    if wanted is not None:
        fitting = [one for one in found if wanted.strip() in (one.info.uid, one.info.number)]
        if len(fitting) == 1:
            return fitting[0]
        problem = f"has {len(fitting) or 'no'} series with the number or UID {wanted!r}"
    elif len(found) == 1:
        return found[0]
    else:
        fitting = [one for one in found if one.info.is_volume]
        if len(fitting) == 1:
            return fitting[0]
        problem = f"holds {len(fitting) or 'no'} series that can be a scan"
    raise Unreadable(f"{problem}; choose one of these by its number or UID: {listing(found, found)}.")


def without_strays(headers: Sequence[FrameHeader]) -> tuple[list[FrameHeader], list[FrameHeader]]:
    """Separate the stack of a series from scouts that carry its UID.

    A scout is marked as LOCALIZER, or has a unique orientation beside three or more equal ones.

    Returns:
        The frames of the stack, and the scouts.
    """
    marked = [header for header in headers if header.is_localizer]
    rest = [header for header in headers if not header.is_localizer]
    if not rest:
        return list(headers), []
    stack, *others = sorted(_planes(rest), key=len, reverse=True)
    if len(stack) < 3 or any(len(plane) > 1 for plane in others):
        return rest, marked
    lost = [header for plane in others for header in plane if _lacks_only_orientation(header, stack[0])]
    scouts = [header for plane in others for header in plane if header not in lost]
    return [*stack, *lost], [*marked, *scouts]


def _planes(headers: Sequence[FrameHeader]) -> list[list[FrameHeader]]:
    """The frames grouped by orientation; frames without one are a group."""
    planes: list[list[FrameHeader]] = []
    for header in headers:
        plane = next((plane for plane in planes if _is_same_plane(header, plane[0])), None)
        if plane is None:
            planes.append([header])
        else:
            plane.append(header)
    return planes


def _is_same_plane(one: FrameHeader, other: FrameHeader) -> bool:
    if one.orientation is None or other.orientation is None:
        return one.orientation is other.orientation
    return float(np.abs(one.orientation - other.orientation).max()) < _SAME_PLANE


def _lacks_only_orientation(header: FrameHeader, of_stack: FrameHeader) -> bool:
    """Whether a frame is a damaged slice of the stack, not a picture without position."""
    return header.orientation is None and header.position is not None and header.size == of_stack.size


def _describe(uid: str, headers: Sequence[FrameHeader]) -> SeriesInfo:
    first = headers[0]
    stack, _ = without_strays(headers)
    is_volume = (
        len(stack) > 1
        and first.modality not in DERIVED_MODALITIES
        and not any(header.is_colour or header.is_localizer for header in stack)
    )
    return SeriesInfo(uid, first.series_number, first.modality, len(headers), is_volume)
