"""The DICOM series of a folder, and the choice of the scan."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MAESILCore.data.formats.dicom.folder import Contents, read_contents
from MAESILCore.data.formats.dicom.geometry import groups_of
from MAESILCore.data.formats.dicom.headers import FrameHeader
from MAESILCore.data.formats.dicom.kinds import DERIVED_MODALITIES
from MAESILCore.data.formats.scan import Unreadable

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
    # Frames without an orientation are a plane of their own, as no cosine is 9.
    orientations = [np.full((2, 3), 9.0) if one.orientation is None else one.orientation for one in rest]
    planes = [[rest[n] for n in plane] for plane in groups_of(orientations, _SAME_PLANE)]
    stack, *others = sorted(planes, key=len, reverse=True)
    if len(stack) < 3 or any(len(plane) > 1 for plane in others):
        return rest, marked
    lost: list[FrameHeader] = []
    scouts: list[FrameHeader] = []
    for header in (header for plane in others for header in plane):
        # A damaged slice of the stack lacks only its orientation, a picture also its position.
        is_slice = header.orientation is None and header.position is not None and header.size == stack[0].size
        (lost if is_slice else scouts).append(header)
    return [*stack, *lost], [*marked, *scouts]


def _describe(uid: str, headers: Sequence[FrameHeader]) -> SeriesInfo:
    first = headers[0]
    stack, _ = without_strays(headers)
    is_volume = (
        len(stack) > 1
        and first.modality not in DERIVED_MODALITIES
        and not any(header.is_colour or header.is_localizer for header in stack)
    )
    return SeriesInfo(uid, first.series_number, first.modality, len(headers), is_volume)
