"""What MAESIL keeps on disk: a list with sizes, and a way to delete it that can touch nothing else."""

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

#: Begins the name of what is being deleted. What a deletion could not finish is listed again and deleted by the next.
_DELETED = ".deleted-"


class StorageError(MaesilError):
    """Something that is not MAESIL's to delete, is in use, or cannot be deleted."""


@dataclass(frozen=True)
class Place:
    """A folder in which MAESIL keeps one kind of thing.

    Attributes:
        kind: of things.
        folder: whose direct children are the things; the folder itself is never deleted.
        pattern: which of the children are MAESIL's, as for `Path.glob`; others may share the folder.
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
    """MAESIL's settings, which share a file with those of Slicer.

    Attributes:
        file: the file.
        keys: gives the names of MAESIL's settings.
        forget: removes just those.
    """

    file: Path
    keys: Callable[[], Sequence[str]]
    forget: Callable[[], object]


@dataclass(frozen=True)
class StoredItem:
    """Something that MAESIL keeps.

    Attributes:
        kind: of thing.
        path: where it is; of settings, the file that they share with others.
        bytes: that it takes; of settings, 0.
        inUse: whether a job works in it, so that it cannot be deleted now.
    """

    kind: Kind
    path: Path
    bytes: int
    inUse: bool = False


class Storage:
    """Everything that MAESIL keeps on disk.

    Args:
        places: where to look; folders that do not exist hold nothing.
        runningFolders: gives the folders of the jobs that run now.
        settings: MAESIL's settings, or None to leave them alone.
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
        """What is there, the largest first."""
        running = self._running()
        found = [self._item(place, path, running) for place in self._places for path in _children(place)]
        if self._settings is not None and self._settings.keys():
            found.append(StoredItem("settings", self._settings.file, 0))
        return sorted(found, key=lambda item: (-item.bytes, item.path))

    def delete(self, item: StoredItem) -> int:
        """Delete one thing, and say how many bytes that freed.

        Raises:
            StorageError: it is not MAESIL's, a job works in it, or the system refuses. As a rule it is then still there
                whole; what could be deleted only in part is listed again, under another name.
        """
        if item.kind == "settings" and self._settings is not None:
            self._settings.forget()
            return 0
        if not os.path.lexists(item.path):
            return 0
        self._refuseWhatIsNotOurs(item.path)
        size = _size(item.path)
        # Renamed first: where a file in it is in use, Windows refuses that, before the first of its files is gone.
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
    """Bytes of a file, or of all files below a folder; links count nothing and are not followed."""
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
                # A job that runs removes its files while they are counted.
                continue
    return total


def _isInUse(path: Path, running: set[Path]) -> bool:
    """Whether a running job's folder is this one, lies in it, or holds it."""
    real = Path(os.path.realpath(path))
    return any(real == folder or real in folder.parents or folder in real.parents for folder in running)
