"""Reads the scans of a folder for an index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from MAESILCore.data.formats.found import FoundScan
from MAESILCore.data.scans import read_scan, try_reading
from MAESILCore.data.volume import Volume
from MAESILCore.errors import MaesilError
from MAESILCore.store.ingest import UID, reason_against, series_of


@dataclass(frozen=True, eq=False)
class ReadScan:
    """A scan file, or one DICOM series of a folder.

    Attributes:
        name: its name for people.
        series: number of the series among those of the folder, from 1; 0 is a scan alone.
        count: scans of the same file or folder.
        volume: the scan; None if it cannot be used.
        reason: why it cannot be used; "" if it can.
    """

    name: str
    series: int
    count: int
    volume: Volume | None
    reason: str = ""


def read_all(scan: FoundScan, is_hu: bool) -> Iterator[ReadScan]:
    """Read a scan, or one after the other all series of a DICOM folder with several.

    Args:
        scan: the file or folder.
        is_hu: whether scans must be in HU.
    """
    volume = try_reading(scan.path, scan.file)
    uids = series_of(scan.path) if isinstance(volume, str) else []
    if len(uids) < 2:
        yield _judged(scan.file, 0, 1, volume, is_hu)
        return
    for series, uid in enumerate(uids, start=1):
        try:
            volume = read_scan(scan.path, uid)
        except MaesilError as error:
            volume = str(error)
        yield _judged(f"{scan.file} (series {series})", series, len(uids), volume, is_hu)


def _judged(name: str, series: int, count: int, volume: Volume | str, is_hu: bool) -> ReadScan:
    if isinstance(volume, str):
        # Reasons on DICOM folders may name series by their UIDs.
        return ReadScan(name, series, count, None, UID.sub("(UID)", volume))
    reason = reason_against(volume, is_hu)
    return ReadScan(name, series, count, None if reason else volume, reason)
