"""Adds scans to a store; may be killed at any point and started again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.errors import Cancelled, ConfigError
from MAESILCore.files import FULL, why_unwritable
from MAESILCore.files import UNFINISHED as TEMPORARY
from MAESILCore.jobfolder.lock import Lock
from MAESILCore.optional import require
from MAESILCore.store import tables
from MAESILCore.store.content import is_same_place
from MAESILCore.store.index import Entry, Index, Scan, Source
from MAESILCore.store.ingest import Outcome, Spacing, ingest
from MAESILCore.store.layout import LOCK, RESAMPLING, SCANS, STORE, UNFINISHED, is_hu, is_store, sync
from MAESILCore.store.opened import read_description
from MAESILCore.store.sources import LEFT_OUT, Task, find, part_of, tasks_of
from MAESILCore.store.workers import in_parallel

#: Starts of the names in a folder in which a store was begun.
_BEGUN = (LOCK, "zarr.", SCANS, UNFINISHED, TEMPORARY)

#: Files that zarr has not finished.
_PARTIAL = "*.partial"

#: Called with the bytes that are done, all bytes, and a message.
ProgressCallback = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Summary:
    """The store after `prepare`.

    Attributes:
        scans: number of stored scans.
        added: number of those that this call added.
        duplicates: number of sources that are the same scan as a stored one.
        quarantined: (file, reason) of the sources that cannot be used.
    """

    scans: int
    added: int
    duplicates: int
    quarantined: tuple[tuple[str, str], ...]


def prepare(
    folders: Sequence[Path],
    store: Path,
    *,
    spacing: Spacing | None = None,
    without_hu: bool = False,
    jobs: int = 1,
    cluster: str | None = None,
    progress: ProgressCallback = lambda done, total, message: None,
) -> Summary:
    """Add the scans at and below folders to a store, which is created if missing.

    Sources with the size and time of an earlier call are not read again. Each scan is written into a folder of its own,
    which is moved into the store when it is complete; then its line is added to the index.

    Args:
        folders: scan files, DICOM folders, and folders of such.
        store: the folder of the store.
        spacing: mm along i, j, k to which scans are resampled; None keeps the settings of the store, which are "as they
            are" for a new one.
        without_hu: whether a new store takes scans of any values, such as MRI; an existing one keeps its kind.
        jobs: processes of this machine.
        cluster: address of a Dask scheduler to use instead; its workers must see `folders` and `store` at the same
            paths.
        progress: called after each source; may raise to stop.

    Raises:
        Cancelled: KeyboardInterrupt was raised meanwhile; the store is valid and holds the scans until then.
        ConfigError: the store has other settings, is in use by another process, or cannot be written.
        VolumeError: a folder is not there, or there is no scan.
    """
    require("zarr", "A store")
    _refuse_foreign(store)
    found = find(folders, store)
    with _sentences_for_disks(store):
        store.mkdir(parents=True, exist_ok=True)
        with Lock(store / LOCK):
            preparation = _Preparation(store, spacing, without_hu)
            try:
                for _ in range(2):  # a scan that was replaced leaves its duplicates to be read once more
                    preparation.run(tasks_of(found.scans, preparation.index), jobs, cluster, progress)
                for entry in found.left_out:
                    source = Source(entry.name, LEFT_OUT + entry.name)
                    preparation.index.append(Entry(source, "quarantined", entry.reason))
            except KeyboardInterrupt as stop:
                preparation.finish()
                raise Cancelled("Stopped; the store holds the scans until here.") from stop
            return preparation.finish()


def _refuse_foreign(store: Path) -> None:
    """Raise ConfigError for a path that holds other files."""
    if store.is_dir() and not is_store(store):
        if not all(entry.name.startswith(_BEGUN) for entry in store.iterdir()):
            raise ConfigError(f"{store} is not empty and holds no store: choose another folder.")
    elif os.path.lexists(store) and not store.is_dir():
        raise ConfigError(f"The store {store} cannot be written: {why_unwritable(store, FileExistsError())}.")


@contextmanager
def _sentences_for_disks(store: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            message = f"The disk of the store {store} is full. The store is valid; free space and run again."
        else:
            message = f"The store {store} cannot be written: {why_unwritable(store, error)}."
        raise ConfigError(message) from error


class _Preparation:
    """A store while scans are added.

    Args:
        store: the folder.
        spacing: as for `prepare`.
        without_hu: as for `prepare`.
    """

    def __init__(self, store: Path, spacing: Spacing | None, without_hu: bool) -> None:
        self.store, self.scans, self.unfinished = store, store / SCANS, store / UNFINISHED
        self.settings = self._settings(spacing, without_hu)
        self.spacing = _spacing_in(self.settings)
        self.index = Index(store)
        missing = [
            entry.source.place
            for entry in self.index.entries()
            if entry.scan is not None and not (self.scans / entry.scan.identity).is_dir()
        ]
        if self.index.is_torn or self.index.damaged or missing:
            self.index.compact(missing)
        self.added = 0
        self._twins: dict[str, list[tuple[str, Scan]]] = {}
        for file, scan in self.index.scans():
            self._twins.setdefault(scan.content, []).append((file, scan))
        self._clean()

    def _settings(self, spacing: Spacing | None, without_hu: bool) -> dict[str, Any]:
        """The settings of the store, which is created if missing."""
        if is_store(self.store):
            kept: dict[str, Any] = read_description(self.store)["settings"]
            stored = _spacing_in(kept)
            if without_hu and is_hu(kept):
                raise ConfigError(
                    f"The store {self.store} holds CT in HU: choose another folder with --out for other scans."
                )
            if spacing is not None and spacing != stored:
                raise ConfigError(
                    f"The store {self.store} holds scans {_spacing_text(stored)}, not {_spacing_text(spacing)}: "
                    "leave out --spacing, or choose another folder with --out."
                )
            if stored is not None and kept.get("resampling") != RESAMPLING:
                raise ConfigError(
                    f"The scans of the store {self.store} were resampled by another version of MAESIL, in another way: "
                    "choose another folder with --out, and prepare all scans anew."
                )
            return kept
        zarr: Any = require("zarr", "A store")
        for folder in (self.store, self.scans):
            zarr.open_group(str(folder), mode="a", zarr_format=3)
        settings = tables.settings_of(spacing, without_hu)
        tables.write(self.store, {STORE: tables.description(settings, ())})
        return settings

    def _clean(self) -> None:
        """Remove what a killed process has left."""
        shutil.rmtree(self.unfinished, ignore_errors=True)
        self.unfinished.mkdir(exist_ok=True)
        known = {scan.identity for _, scan in self.index.scans()}
        for folder in self.scans.iterdir():
            if folder.is_dir() and folder.name not in known:
                shutil.rmtree(folder)
        for left in self.store.glob(f"{TEMPORARY}*"):
            shutil.rmtree(left, ignore_errors=True)
        for left in (*self.store.glob(_PARTIAL), *self.scans.glob(_PARTIAL)):
            left.unlink()

    def run(self, tasks: list[Task], jobs: int, cluster: str | None, progress: ProgressCallback) -> None:
        """Read the sources in parallel, and add them one by one, in order."""
        total, done = sum(task.source.size for task in tasks), 0
        hu = is_hu(self.settings)
        arguments = [(task.path, task.source.file, self.unfinished, self.spacing, hu) for task in tasks]
        outcomes = in_parallel(ingest, arguments, jobs=jobs, cluster=cluster)
        for number, task in enumerate(tasks, start=1):
            self._add_all(task.source, next(outcomes))
            done += task.source.size
            progress(done, total, f"{number} of {len(tasks)} scans")
        outcomes.close()

    def _add_all(self, source: Source, outcomes: list[Outcome]) -> None:
        """Add the outcomes of a source: one, or one per DICOM series."""
        # The first one goes last: its place tells that the source is known.
        for number in range(len(outcomes), 0, -1):
            self._add(part_of(source, number), outcomes[number - 1])
        number = len(outcomes) + 1
        while (gone := self.index.at(part_of(source, number).place)) is not None:  # series that were removed
            self.index.compact([gone.source.place])
            self._forget(gone)
            number += 1

    def _add(self, source: Source, outcome: Outcome) -> None:
        before = self.index.at(source.place)
        scan, written = outcome.scan, outcome.written
        if scan is None or written is None:
            entry = Entry(source, "quarantined", outcome.reason)
        else:
            twin = self._twin(source, scan)
            if twin is not None:
                shutil.rmtree(written)
                entry = Entry(source, "duplicate", f"the same scan as {twin[0]}", twin[1].identity)
            else:
                self._move(written, scan)
                entry = Entry(source, "stored", scan=scan)
        self.index.append(entry)
        if before is not None:
            self._forget(before, kept=entry.scan)
        if entry.scan is not None:
            self.added += 1
            self._twins.setdefault(entry.scan.content, []).append((source.file, entry.scan))

    def _forget(self, before: Entry, kept: Scan | None = None) -> None:
        """Remove the scan of an entry that is no longer in the index, unless it has the content of `kept`."""
        if before.scan is not None:
            self._twins[before.scan.content].remove((before.source.file, before.scan))
            if kept is None or before.scan.identity != kept.identity:
                shutil.rmtree(self.scans / before.scan.identity)

    def _twin(self, source: Source, scan: Scan) -> tuple[str, Scan] | None:
        """The stored scan of another source with equal voxels and geometry."""
        matrix = np.array(scan.source_ijk_to_ras)
        before = self.index.at(source.place)
        for file, other in self._twins.get(scan.content, ()):
            is_own = before is not None and before.scan == other
            if not is_own and is_same_place(np.array(other.source_ijk_to_ras), matrix, scan.source_shape):
                return file, other
        return None

    def _move(self, written: Path, scan: Scan) -> None:
        """Move an unfinished scan to its place."""
        place = self.scans / scan.identity
        if place.exists():  # the source was touched, but has the same content
            shutil.rmtree(written)
            return
        os.replace(written, place)
        sync(self.scans)

    def finish(self) -> Summary:
        """Rewrite index and tables."""
        shutil.rmtree(self.unfinished, ignore_errors=True)
        entries = self.index.entries()
        read = {entry.source.file for entry in entries if not entry.source.place.startswith(LEFT_OUT)}
        places = [entry.source.place for entry in entries if entry.source.file in read]
        self.index.compact(place for place in places if place.startswith(LEFT_OUT))
        tables.write(self.store, tables.contents(self.store, self.index, self.settings))
        entries = self.index.entries()
        quarantined = [entry for entry in entries if entry.state == "quarantined"]
        return Summary(
            len(self.index.scans()),
            self.added,
            sum(entry.state == "duplicate" for entry in entries),
            tuple((entry.source.file, entry.reason) for entry in quarantined),
        )


def _spacing_in(settings: Mapping[str, Any]) -> Spacing | None:
    spacing = settings["spacing_mm_ijk"]
    return None if spacing is None else (float(spacing[0]), float(spacing[1]), float(spacing[2]))


def _spacing_text(spacing: Sequence[float] | None) -> str:
    return "as they are" if spacing is None else f"of {' x '.join(f'{edge:g}' for edge in spacing)} mm"
