"""The DICOM series of a folder, and which of them is the scan."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from MAESILCore.errors import VolumeError
from MAESILCore.formats import content
from MAESILCore.formats.dicom_headers import FrameHeader, is_dicom, modality_of, read_headers

#: Objects that belong to a scan and are none.
DERIVED_MODALITIES = frozenset({"SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "RTIMAGE", "SR", "PR", "KO", "REG"})

#: Files that lie beside DICOM slices and are none.
_COMPANIONS = re.compile(
    r"DICOMDIR|LOCKFILE|VERSION|README.*|LICEN[CS]E.*|CHANGES.*|Thumbs\.db|\..*", re.IGNORECASE
)
_DICOM_EXTENSIONS = (".dcm", ".dicom", ".ima", ".img")


@dataclass(frozen=True)
class SeriesInfo:
    """A DICOM series, described without anything that tells the patient.

    Attributes:
        uid: Series instance UID, "" if the files give none.
        number: Series number as written, "" if the files give none.
        modality: Such as "CT".
        slices: Number of images.
        is_volume: Whether it can be a scan: several slices, no colours, no scout, no segmentation.
    """

    uid: str
    number: str
    modality: str
    slices: int
    is_volume: bool

    def __str__(self) -> str:
        number = f"number {self.number}" if self.number else f"UID {self.uid or '(none)'}"
        slices = f"{self.slices} slice{'s' * (self.slices != 1)}"
        return f"{number} ({self.modality or 'unknown modality'}, {slices})"


@dataclass(frozen=True)
class Series:
    """A series with the headers of its frames."""

    info: SeriesInfo
    headers: tuple[FrameHeader, ...]


@dataclass
class Contents:
    """What the DICOM files of a folder hold.

    Attributes:
        headers: Of all frames of all images.
        other_modalities: Of each DICOM file without an image.
        no_dicom: Files that are no DICOM.
    """

    headers: list[FrameHeader] = field(default_factory=list)
    other_modalities: list[str] = field(default_factory=list)
    no_dicom: list[Path] = field(default_factory=list)


def find_series(folder: Path) -> tuple[list[Series], int]:
    """The image series of a folder, and how many other DICOM files lie there.

    Images in the folder itself come first; only if there are none, all folders below are searched.

    Raises:
        VolumeError: If a file that is an image, or is named like one, cannot be read, or there is no DICOM image.
    """
    contents = _read_contents(folder.iterdir())
    if not contents.headers:
        contents = _read_contents(_files_below(folder))
    headers, others = contents.headers, contents.other_modalities
    if not headers:
        kinds = ", ".join(sorted({modality or "unknown" for modality in others}))
        what = f"holds DICOM files, but none of them is an image (modality {kinds})"
        raise VolumeError(
            f"{folder.name} {what if others else 'holds no DICOM files'}: give the folder of a CT series."
        )
    _refuse_broken_slices(folder, contents)
    groups = defaultdict(list)
    for header in headers:
        groups[header.series_uid].append(header)
    series = [Series(_describe(uid, group), tuple(group)) for uid, group in groups.items()]
    return sorted(series, key=lambda one: (one.info.number.zfill(12), one.info.uid)), len(others)


def choose_series(folder: Path, found: Sequence[Series], wanted: str | None) -> Series:
    """The series with the wanted number or UID, else the only one that can be a scan.

    Raises:
        VolumeError: If none or several fit.
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
    listing = ", ".join(str(one.info) for one in found)
    raise VolumeError(f"{folder.name} {problem}; choose one of these by its number or UID: {listing}.")


def without_strays(headers: Sequence[FrameHeader]) -> tuple[list[FrameHeader], list[FrameHeader]]:
    """Separate the stack of a series from scouts that carry its UID.

    A scout is marked as LOCALIZER, or it is the single frame of its orientation beside three or more that agree.

    Returns:
        The frames of the stack, and the scouts.
    """
    marked = [header for header in headers if header.is_localizer]
    rest = [header for header in headers if not header.is_localizer]
    if not rest:
        return list(headers), []
    planes = Counter(_plane(header) for header in rest)
    usual, count = planes.most_common(1)[0]
    if count >= 3 and all(number == 1 for plane, number in planes.items() if plane != usual):
        marked += [header for header in rest if _plane(header) != usual]
        rest = [header for header in rest if _plane(header) == usual]
    return rest, marked


def _plane(header: FrameHeader) -> tuple[float, ...] | None:
    """The orientation, rounded so that the noise of headers does not tell frames apart."""
    return None if header.orientation is None else tuple((header.orientation.round(1) + 0.0).ravel())


def _read_contents(paths: Iterable[Path]) -> Contents:
    contents = Contents()
    for path in sorted(path for path in paths if path.name != "DICOMDIR" and not path.is_dir()):
        if not _is_readable_dicom(path):
            contents.no_dicom.append(path)
        elif headers := read_headers(path):
            contents.headers += headers
        else:
            contents.other_modalities.append(modality_of(path))
    return contents


def _files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder, links followed, each folder once."""
    visited: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        yield from (Path(place) / name for name in names)


def _is_readable_dicom(path: Path) -> bool:
    try:
        return is_dicom(path)
    except VolumeError:
        # A file that may not be read matters where it is named like a slice; the reason is looked up there.
        return False


def _refuse_broken_slices(folder: Path, contents: Contents) -> None:
    """Refuse files that are named like a slice and are none: leaving one out would shorten the scan."""
    shapes = {_name_shape(header.path) for header in contents.headers}
    sizes = [header.path.stat().st_size for header in contents.headers]
    has_extensions = any(header.path.suffix for header in contents.headers)
    for path in contents.no_dicom:
        extension = path.suffix.lower()
        looks_like_slice = (
            extension in _DICOM_EXTENSIONS
            or _name_shape(path) in shapes
            or (not has_extensions and not extension and not _COMPANIONS.fullmatch(path.name))
            or (not extension and _is_as_large_as_one_of(path, sizes))
        )
        if looks_like_slice:
            raise VolumeError(
                f"{folder.name}: {path.name} looks like a slice, but {content.why_no_dicom(path)}: "
                "copy the folder again, or take this file away."
            )


def _is_as_large_as_one_of(path: Path, sizes: Sequence[int]) -> bool:
    """Whether a file is as large as a slice, up to what headers differ by."""
    return path.is_file() and any(abs(path.stat().st_size - size) <= size // 50 for size in sizes)


def _name_shape(path: Path) -> str:
    """The name with each number replaced, so that the slices of an export share it."""
    return re.sub(r"\d+", "#", path.name.lower())


def _describe(uid: str, headers: Sequence[FrameHeader]) -> SeriesInfo:
    first = headers[0]
    stack, _ = without_strays(headers)
    is_volume = (
        len(stack) > 1
        and first.modality not in DERIVED_MODALITIES
        and not any(header.is_colour or header.is_localizer for header in stack)
    )
    return SeriesInfo(uid, first.series_number, first.modality, len(headers), is_volume)
