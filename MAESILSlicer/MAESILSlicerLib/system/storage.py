"""Lists the items that MAESIL stores on disk with their sizes, and deletes only these."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from MAESILCore.errors import MaesilError
from MAESILCore.wording import Sentence

Kind = Literal["job", "sample", "settings"]

#: Name prefix of an item during deletion. An incomplete deletion is listed again and can be repeated.
_DELETED = ".deleted-"


class StorageError(MaesilError):
    """An item does not belong to MAESIL, is in use, or cannot be deleted."""


@dataclass(frozen=True)
class Place:
    """A folder with one kind of items.

    Attributes:
        kind: kind of the items.
        folder: the parent of the items; never deleted itself.
        pattern: glob pattern of MAESIL's items, because other programs may share the folder.
    """

    kind: Kind
    folder: Path
    pattern: str = "*"

    def __post_init__(self) -> None:
        if self.pattern in ("", ".", "..", "**") or {"/", "\\"} & set(self.pattern):
            message = f"The pattern {self.pattern!r} would reach beyond the children of the folder."
            raise ValueError(message)


@dataclass(frozen=True)
class KeptSettings:
    """MAESIL's settings, stored in Slicer's settings file.

    Attributes:
        file: the settings file.
        keys: returns the names of MAESIL's settings.
        forget: removes only these.
    """

    file: Path
    keys: Callable[[], Sequence[str]]
    forget: Callable[[], object]


@dataclass(frozen=True)
class StoredItem:
    """An item that MAESIL stores.

    Attributes:
        kind: kind of the item.
        path: its path; for settings, the shared file.
        bytes: its size; for settings, 0.
        inUse: whether a running job uses it, so that it cannot be deleted.
    """

    kind: Kind
    path: Path
    bytes: int
    inUse: bool = False


class Storage:
    """All items that MAESIL stores on disk.

    Args:
        places: the folders to search; missing ones count as empty.
        runningFolders: returns the folders of running jobs.
        settings: MAESIL's settings; None leaves them out.
    """

    def __init__(
        self,
        places: Sequence[Place],
        runningFolders: Callable[[], Iterable[Path]] = lambda: (),
        settings: KeptSettings | None = None,
    ) -> None:
        self._places = tuple(places)
        self._runningFolders = runningFolders
        self._settings = settings

    def items(self) -> list[StoredItem]:
        """The items, largest first."""
        running = self._running()
        found = [self._item(place, path, running) for place in self._places for path in _children(place)]
        if self._settings is not None and self._settings.keys():
            found.append(StoredItem("settings", self._settings.file, 0))
        return sorted(found, key=lambda item: (-item.bytes, item.path))

    def delete(self, item: StoredItem) -> int:
        """Delete an item and return the freed bytes.

        Raises:
            StorageError: the item does not belong to MAESIL, a job uses it, or the system refuses. The item usually
                stays complete; after a partial deletion it is listed under another name.
        """
        if item.kind == "settings" and self._settings is not None:
            self._settings.forget()
            return 0
        if not os.path.lexists(item.path):
            return 0
        self._refuseWhatIsNotOurs(item.path)
        size = _size(item.path)
        # Rename first: Windows refuses this if a file in it is open, before any file is deleted.
        doomed = item.path.with_name(f"{_DELETED}{uuid.uuid4().hex[:8]}")
        try:
            item.path.rename(doomed)
            if doomed.is_dir() and not doomed.is_symlink():
                shutil.rmtree(doomed)
            else:
                doomed.unlink()
        except OSError as error:
            message = Sentence(
                "storage.not-deleted",
                "{name} could not be deleted ({reason}); close whatever uses it and try again.",
                name=item.path.name,
                reason=error.strerror or str(error),
            )
            raise StorageError(message) from error
        return size

    def _running(self) -> set[Path]:
        return {Path(os.path.realpath(folder)) for folder in self._runningFolders()}

    @staticmethod
    def _item(place: Place, path: Path, running: set[Path]) -> StoredItem:
        return StoredItem(place.kind, path, _size(path), _isInUse(path, running))

    def _refuseWhatIsNotOurs(self, path: Path) -> None:
        if not any(path in _children(place) for place in self._places):
            message = Sentence(
                "storage.not-ours",
                "{name} is not in a folder of MAESIL's, so MAESIL does not delete it.",
                name=path.name,
            )
            raise StorageError(message)
        if _isInUse(path, self._running()):
            message = Sentence(
                "storage.in-use",
                "{name} belongs to a job that is running; cancel the job or wait for it.",
                name=path.name,
            )
            raise StorageError(message)


def _children(place: Place) -> list[Path]:
    return sorted({*place.folder.glob(place.pattern), *place.folder.glob(f"{_DELETED}*")})


def _size(path: Path) -> int:
    """Bytes of a file or of all files below a folder; links count 0 and are not followed."""
    if path.is_symlink() or not path.exists():
        return 0
    if not path.is_dir():
        return path.stat().st_size
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                # A running job may remove files during the count.
                continue
    return total


def _isInUse(path: Path, running: set[Path]) -> bool:
    """Whether a running job's folder equals, contains or is inside `path`."""
    real = Path(os.path.realpath(path))
    return any(real == folder or real in folder.parents or folder in real.parents for folder in running)
