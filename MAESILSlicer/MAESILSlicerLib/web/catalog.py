"""The scans on offer, identified by number, so that the browser never sends a path."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from MAESILCore.data.formats.discovery import Discovery, discover_scans
from MAESILCore.data.formats.found import FoundScan
from MAESILCore.data.volume import Volume, list_series, read_volume
from MAESILCore.errors import MaesilError
from MAESILSlicerLib.scene import samples
from MAESILSlicerLib.web.options import MOST_SCANS

#: Number of the sample.
SAMPLE = 0


@dataclass(frozen=True)
class Entry:
    """One scan on offer.

    Attributes:
        title: display name.
        group: heading in the list.
        read: reads the scan; may be slow and raise a MaesilError.
        folder: the folder of its upload; None for a scan of the server.
    """

    title: str
    group: str
    read: Callable[[], Volume]
    folder: Path | None = None


class Catalog:
    """Samples, scans of the server, and uploads.

    Attributes:
        entries: the scans by number; numbers are never reused.
    """

    def __init__(self) -> None:
        self.entries = {SAMPLE: Entry(samples.NAME, "Samples", samples.readSample)}
        self._next = 1

    @property
    def items(self) -> list[dict[str, object]]:
        """The entries as the page's list items."""
        return [
            {"id": number, "title": entry.title, "group": entry.group}
            for number, entry in self.entries.items()
        ]

    def add(self, entries: Iterable[Entry]) -> list[int]:
        """Add scans, with a count after duplicate titles; return their numbers."""
        first = self._next
        for entry in entries:
            self.entries[self._next] = replace(entry, title=self._freeTitle(entry))
            self._next += 1
        return list(range(first, self._next))

    def _freeTitle(self, entry: Entry) -> str:
        taken = {other.title for other in self.entries.values() if other.group == entry.group}
        counted = (f"{entry.title} ({count})" for count in itertools.count(2))
        return next(title for title in itertools.chain((entry.title,), counted) if title not in taken)

    def removeUpload(self, number: int) -> None:
        """Remove an uploaded scan, and delete its files with the last scan of the upload; other scans are ignored."""
        folder = self.entries[number].folder
        if folder is None:
            return
        del self.entries[number]
        if all(entry.folder != folder for entry in self.entries.values()):
            shutil.rmtree(folder, ignore_errors=True)


def findEntries(paths: Discovery | Iterable[Path], group: str, within: Path | None = None) -> list[Entry]:
    """The scans at and below paths; slow for thousands of slices.

    Args:
        paths: the paths to search, or a finished search.
        group: heading in the list.
        within: the folder of an upload, which must contain all data that a header refers to; None for scans of the
            server.

    Raises:
        MaesilError: there is no scan.
    """
    found = paths if isinstance(paths, Discovery) else discover_scans(paths)
    return [entry for scan in found.scans[:MOST_SCANS] for entry in _entriesOf(scan, group, within)]


def _entriesOf(scan: FoundScan, group: str, within: Path | None) -> list[Entry]:
    path = scan.path
    if not path.is_dir():
        return [Entry(scan.file, group, lambda: read_volume(path, within=within), within)]
    try:
        series = [one for one in list_series(path) if one.is_volume]
    except Exception:
        # A faulty scan is offered as well; reading it reports the fault.
        series = []
    if len(series) < 2:
        return [Entry(scan.file, group, lambda: read_volume(path), within)]
    return [
        Entry(
            # Without a number, the series' own name would reveal an identifier of the examination.
            f"{scan.file}, {one if one.number else f'series {place} in order'}",
            group,
            lambda one=one: read_volume(path, series=one.uid or one.number or None),
            within,
        )
        for place, one in enumerate(series, start=1)
    ]


def sentenceOf(error: Exception, entry: Entry) -> str:
    """The message of an error that prevents the use of a scan."""
    if isinstance(error, (MaesilError, OSError)):
        # Senders of an upload do not know its path on the server.
        return str(error) if entry.folder is None else str(error).replace(f"{entry.folder}{os.sep}", "")
    if isinstance(error, MemoryError):
        return f"There is not enough memory on the server for {entry.title}."
    logging.error("MAESIL: %s could not be shown", entry.title, exc_info=error)
    return f"{entry.title} cannot be shown because of an internal error; see the server's log."
