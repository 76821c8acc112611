"""The scans that the page offers, each under a number: the browser never names a path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from MAESILCore.errors import MaesilError
from MAESILCore.volume import Volume, find_scans, list_series, read_volume
from MAESILSlicerLib import samples

#: A folder with more would make a list that nobody can read.
MOST_SCANS = 500


@dataclass(frozen=True)
class Entry:
    """One scan on offer.

    Attributes:
        title: for people.
        group: under which heading.
        read: reads it; may take long and raise a MaesilError.
    """

    title: str
    group: str
    read: Callable[[], Volume]


class Catalog:
    """Samples, scans of the server, and uploads."""

    def __init__(self) -> None:
        self.entries: list[Entry] = [Entry(samples.NAME, "Samples", samples.readSample)]

    @property
    def items(self) -> list[dict[str, object]]:
        """The entries for the page."""
        return [
            {"id": number, "title": entry.title, "group": entry.group}
            for number, entry in enumerate(self.entries)
        ]

    def add(self, entries: Iterable[Entry]) -> int:
        """Offer more scans; the number of the first one."""
        first = len(self.entries)
        self.entries += entries
        return first


def findEntries(paths: Iterable[Path], group: str, within: Path | None = None) -> list[Entry]:
    """The scans at and below paths; of thousands of slices this takes long.

    Args:
        paths: where to look.
        group: under which heading they are offered.
        within: the folder in which all data that a header names must lie, for files that were sent.

    Raises:
        MaesilError: there is none.
    """
    return [entry for path in find_scans(paths)[:MOST_SCANS] for entry in _entriesOf(path, group, within)]


def _entriesOf(path: Path, group: str, within: Path | None) -> list[Entry]:
    if not path.is_dir():
        return [Entry(path.name, group, lambda: read_volume(path, within=within))]
    try:
        series = [one for one in list_series(path) if one.is_volume]
    except MaesilError:
        # Reading it tells why, in front of whoever chooses it.
        series = []
    if len(series) < 2:
        return [Entry(path.name, group, lambda: read_volume(path))]
    return [
        Entry(
            f"{path.name}, {one}",
            group,
            lambda one=one: read_volume(path, series=one.uid or one.number or None),
        )
        for one in series
    ]
