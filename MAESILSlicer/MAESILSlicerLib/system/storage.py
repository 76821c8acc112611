"""Lists the items that MAESIL stores on disk with their sizes, and deletes only these."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from MAESILCore.errors import MaesilError
from MAESILCore.wording import Sentence

#: Kinds of items; settings are in a file that other programs share, so `Storage` neither lists nor deletes them.
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
class StoredItem:
    """An item that MAESIL stores.

    Attributes:
        kind: kind of the item.
        path: its path.
        bytes: its size.
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
    """

    def __init__(self, places: Sequence[Place], runningFolders: Callable[[], Iterable[Path]]) -> None:
        self._places, self._runningFolders = tuple(places), runningFolders

    def items(self) -> list[StoredItem]:
        """The items, largest first."""
        found = [
            StoredItem(place.kind, path, _size(path), self._isInUse(path))
            for place in self._places
            for path in _children(place)
        ]
        return sorted(found, key=lambda item: (-item.bytes, item.path))

    def delete(self, item: StoredItem) -> int:
        """Delete an item and return the freed bytes.

        Raises:
            StorageError: the item does not belong to MAESIL, a job uses it, or the system refuses. The item usually
                stays complete; after a partial deletion it is listed under another name.
        """
        if not os.path.lexists(item.path):
            return 0
        self._requireDeletable(item.path)
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
                "{name} could not be deleted ({reason}); close programs that use it and try again.",
                name=item.path.name,
                reason=error.strerror or str(error),
            )
            raise StorageError(message) from error
        return size

    def _isInUse(self, path: Path) -> bool:
        """Whether a running job's folder equals, contains or is inside `path`."""
        real = path.resolve()
        running = [folder.resolve() for folder in self._runningFolders()]
        return any(real.is_relative_to(folder) or folder.is_relative_to(real) for folder in running)

    def _requireDeletable(self, path: Path) -> None:
        """Raise `StorageError` if the item does not belong to MAESIL or is in use."""
        if not any(path in _children(place) for place in self._places):
            message = Sentence(
                "storage.not-ours",
                "{name} is not in a folder of MAESIL's and is not deleted.",
                name=path.name,
            )
            raise StorageError(message)
        if self._isInUse(path):
            message = Sentence(
                "storage.in-use",
                "{name} belongs to a running job; cancel the job or wait for it.",
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
            # A running job may remove files during the count.
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total
