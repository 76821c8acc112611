"""The sources of a store: scans below folders, with size and time, by which changes are noticed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from MAESILCore.data.formats.discovery import Discovery, discover_scans
from MAESILCore.data.formats.found import FoundScan
from MAESILCore.data.formats.names import extension_of
from MAESILCore.errors import VolumeError
from MAESILCore.jobfolder.folder import EVENTS, PREVIEWS
from MAESILCore.store.content import hash_of_path
from MAESILCore.store.index import Entry, Index, Source

#: Headers whose voxels may be in a file beside them.
_HEADERS = (".hdr", ".hdr.gz", ".nhdr", ".mhd")

#: Starts the `place` of an entry that was left out by the search.
LEFT_OUT = "left out: "


#: Files of `inference.saving`, which lies above this module; the last one is always there.
_RECONSTRUCTION = (
    *(f"{name}.nii.gz" for name in ("reconstruction", "mosaic", "error", "uncertainty", "mask")),
    _LATTICE := "mask_lattice.nii.gz",
)


@dataclass(frozen=True)
class Task:
    """A source that must be read.

    Attributes:
        path: the file or DICOM folder.
        source: its entry in the index.
    """

    path: Path
    source: Source


def find_scans(folders: Sequence[Path]) -> Discovery:
    """The scans at and below folders, except previews of runs and saved reconstructions, which would be learned from.

    Raises:
        VolumeError: a folder is not there, or there is no scan.
    """
    found = discover_scans(folders)
    scans = tuple(scan for scan in found.scans if not _is_prediction(scan.path))
    if not scans:
        places = ", ".join(map(str, folders))
        raise VolumeError(
            f"There is no scan in {places} but previews of runs and reconstructions: give another folder."
        )
    return Discovery(scans, found.left_out)


def _is_prediction(path: Path) -> bool:
    place = Path(os.path.abspath(path)).parent
    is_preview = place.name == PREVIEWS and (place.parent / EVENTS).is_file()
    return is_preview or (path.name in _RECONSTRUCTION and (place / _LATTICE).is_file())


def find(folders: Sequence[Path], store: Path) -> Discovery:
    """The scans below folders, except those below the store.

    Raises:
        VolumeError: a folder is not there, or there is no scan.
    """
    found, inside = find_scans(folders), os.path.realpath(store)
    scans = tuple(
        scan for scan in found.scans if not Path(os.path.realpath(scan.path)).is_relative_to(inside)
    )
    return Discovery(scans, found.left_out)


def tasks_of(scans: Iterable[FoundScan], index: Index) -> list[Task]:
    """The sources that are new or have changed, in the order of the scans."""
    entries = index.entries()
    stored = {entry.scan.identity for entry in entries if entry.scan is not None}
    files = {entry.source.file: entry.source.place for entry in entries}
    unmoved = {(one.source.file, one.source.size, one.source.modified): one for one in entries}
    tasks = []
    for scan in scans:
        size, modified = state_of(scan.path)
        place = hash_of_path(scan.path)
        # A folder that was moved keeps names, sizes and times.
        known = index.at(place) or unmoved.get((scan.file, size, modified))
        is_known = known is not None and (known.source.size, known.source.modified) == (size, modified)
        if is_known and known is not None and not _lost_its_twin(known, stored):
            continue
        file = known.source.file if known is not None else scan.file
        number = 1
        while files.setdefault(file, place) != place:
            number += 1
            file = f"{scan.file} ({number})"
        tasks.append(Task(scan.path, Source(file, place, size, modified)))
    return tasks


def part_of(source: Source, number: int) -> Source:
    """The source of a DICOM series of a folder, by its number from 1; the first one stands for the folder."""
    if number == 1:
        return source
    return replace(source, file=f"{source.file} (series {number})", place=f"{source.place} {number}")


def _lost_its_twin(entry: Entry, stored: set[str]) -> bool:
    """Whether this is a duplicate of a scan that was replaced since."""
    return entry.state == "duplicate" and entry.twin not in stored


def state_of(path: Path) -> tuple[int, int]:
    """Bytes and latest modification in ns of a source's files; zeros for files that vanish meanwhile."""
    size = modified = 0
    for file in _files_of(path):
        try:
            status = os.stat(file)
        except OSError:  # reading reports it
            continue
        size, modified = size + status.st_size, max(modified, status.st_mtime_ns)
    return size, modified


def _files_of(path: Path) -> Iterable[str | Path]:
    if path.is_dir():
        return [os.path.join(place, name) for place, _, names in os.walk(path) for name in names]
    if extension_of(path) in _HEADERS:
        stem = path.name[: -len(extension_of(path))]
        return [file for file in path.parent.iterdir() if file.name.startswith(stem) and file.is_file()]
    return [path]
