"""The DICOM series of a folder, and which of them is the scan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from MAESILCore.errors import VolumeError
from MAESILCore.formats import checks
from MAESILCore.formats.dicom_headers import SliceHeader, is_dicom, is_dicom_image, read_header

#: Objects that belong to a scan and are none.
DERIVED_MODALITIES = frozenset({"SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "RTIMAGE", "SR", "PR", "KO", "REG"})


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
    """A series with the headers of its images."""

    info: SeriesInfo
    headers: tuple[SliceHeader, ...]


def find_series(folder: Path) -> tuple[list[Series], int]:
    """The image series of a folder, and how many other DICOM files lie there.

    Images in the folder itself come first; only if there are none, all folders below are searched.

    Raises:
        VolumeError: If a file that announces an image is damaged, or there is no DICOM file.
    """
    headers, others = _read_headers(folder.iterdir())
    if not headers:
        headers, others = _read_headers(folder.rglob("*"))
    if not headers:
        what = "holds DICOM files, but none of them is an image" if others else "holds no DICOM files"
        raise VolumeError(f"{folder.name} {what}: give the folder of a CT series.")
    groups = defaultdict(list)
    for header in headers:
        groups[header.series_uid].append(header)
    series = [Series(_describe(uid, group), tuple(group)) for uid, group in groups.items()]
    return sorted(series, key=lambda one: (one.info.number.zfill(12), one.info.uid)), others


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


def _read_headers(paths: Iterator[Path]) -> tuple[list[SliceHeader], int]:
    headers, others = [], 0
    for path in sorted(path for path in paths if path.is_file() and path.name != "DICOMDIR"):
        if not is_dicom(path):
            continue
        header = read_header(path)
        if header is not None:
            headers.append(header)
        elif is_dicom_image(path):
            raise checks.damaged(path, "its pixel data end too early or do not decode")
        else:
            others += 1
    return headers, others


def _describe(uid: str, headers: Sequence[SliceHeader]) -> SeriesInfo:
    first = headers[0]
    is_volume = (
        len(headers) > 1
        and first.modality not in DERIVED_MODALITIES
        and all(header.components == header.frames == 1 and not header.is_localizer for header in headers)
    )
    frames = sum(header.frames for header in headers)
    return SeriesInfo(uid, first.series_number, first.modality, frames, is_volume)
