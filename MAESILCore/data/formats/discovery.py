"""The scans below folders: single files by their extension, and folders of DICOM slices."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from MAESILCore.data.formats.dicom.kinds import is_dicom_image
from MAESILCore.data.formats.entries import obstacle, reason_of, refuse_unreadable
from MAESILCore.data.formats.found import FoundScan, named
from MAESILCore.data.formats.names import READABLE, extension_of
from MAESILCore.errors import VolumeError
from MAESILCore.wording import displayable

#: Extensions of the data files of two-file formats.
_SECOND_HALVES = (".img", ".img.gz")

#: Device and inode, which identify a folder.
_Identity = tuple[int, int]


@dataclass(frozen=True)
class LeftOut:
    """A skipped file or folder.

    Attributes:
        name: displayable path below the searched folder.
        reason: the reason, such as "it is a broken link".
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class Discovery:
    """The result of a search.

    Attributes:
        scans: sorted by path, each scan once.
        left_out: skipped paths that might be scans: broken links, pipes, unreadable files and folders, ...
    """

    scans: tuple[FoundScan, ...]
    left_out: tuple[LeftOut, ...] = ()

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Discovery:
        """A result with these scans in this order, without a search."""
        return cls(tuple(named((path, 1) for path in paths)))


def discover_scans(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Discovery:
    """Find the scan files and DICOM folders at and below the given paths.

    Links to folders are followed, except to their own ancestors. Each folder counts once. Only regular files are
    opened.

    Raises:
        VolumeError: a given path is not there or cannot be opened, or there is no scan at all.
    """
    starts = [Path(path) for path in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)]
    found: dict[Path, tuple[Path, int]] = {}
    left_out: list[LeftOut] = []
    visited: set[_Identity] = set()
    for start in starts:
        refuse_unreadable(start)
        scans = _Search(start, visited, left_out).scans() if start.is_dir() else [start]
        for scan in scans:
            parts = len(scan.relative_to(start).parts)
            found.setdefault(scan.resolve(), (scan, max(1, parts)))
    if not found:
        places = ", ".join(map(str, starts)) or "no path"
        unread = f" ({len(left_out)} left out, such as {left_out[0]})" if left_out else ""
        raise VolumeError(
            f"There is no scan in {places}{unread}: give NIfTI, NRRD, MetaImage or MGH files, or DICOM folders."
        )
    return Discovery(tuple(named(sorted(found.values()))), tuple(left_out))


@dataclass
class _Search:
    """A search below one folder.

    Attributes:
        start: the folder.
        visited: the folders that were searched; shared by all searches.
        left_out: as in `Discovery`; shared by all searches.
    """

    start: Path
    visited: set[_Identity]
    left_out: list[LeftOut]

    def scans(self) -> list[Path]:
        """All scans; those behind links come last, as a scan's own path takes precedence."""
        files: list[Path] = []
        dicom_folders: list[Path] = []
        for folder, candidates in self._folders():
            files += [path for path in candidates if _is_scan_file(path) and self._opens(path)]
            if any(self._is_dicom_image(path) for path in candidates if extension_of(path) not in READABLE):
                dicom_folders.append(folder)
        widest = [_widest(folder, self.start, files, dicom_folders) for folder in dicom_folders]
        return sorted(sorted([*files, *widest]), key=os.path.islink)

    def _folders(self) -> Iterator[tuple[Path, list[Path]]]:
        """All folders with their files; folders behind links come last."""
        links = deque([(self.start, _ancestors(self.start))])
        while links:
            root, above = links.popleft()
            stack = [root]
            while stack:
                folder = stack.pop()
                identity = _identity(folder)
                if identity in self.visited or identity in above:
                    continue
                self.visited.add(identity)
                files: list[Path] = []
                folders: list[Path] = []
                for path in self._entries(folder):
                    if os.path.isfile(path):
                        files.append(path)
                    elif self._opens(path):
                        folders.append(path)
                stack += [path for path in reversed(folders) if not path.is_symlink()]
                links += [(path, above | _ancestors(path)) for path in folders if path.is_symlink()]
                yield folder, files

    def _entries(self, folder: Path) -> list[Path]:
        """The sorted entries of a folder without hidden ones."""
        try:
            return [folder / name for name in sorted(os.listdir(folder)) if not name.startswith(".")]
        except OSError as error:  # network drives and damaged disks can fail after opening
            self._leave_out(folder, reason_of(folder, error))
            return []

    def _opens(self, path: Path) -> bool:
        """Whether a file or folder can be read; otherwise records it as left out."""
        reason = obstacle(path)
        if reason is not None:
            self._leave_out(path, reason)
        return reason is None

    def _is_dicom_image(self, path: Path) -> bool:
        try:
            return is_dicom_image(path)
        except VolumeError as error:
            self._leave_out(path, obstacle(path) or str(error).rstrip("."))
            return False

    def _leave_out(self, path: Path, reason: str) -> None:
        self.left_out.append(LeftOut(displayable(path.relative_to(self.start).as_posix()), reason))


def _identity(folder: Path) -> _Identity:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _ancestors(folder: Path) -> frozenset[_Identity]:
    """The ancestors of a folder, to detect link cycles."""
    return frozenset(_identity(parent) for parent in folder.resolve().parents)


def _is_scan_file(path: Path) -> bool:
    extension = extension_of(path)
    return extension in READABLE and extension not in _SECOND_HALVES


def _widest(folder: Path, start: Path, files: list[Path], dicom_folders: list[Path]) -> Path:
    """The outermost folder, up to `start`, with no other scan: it gives the best name."""
    others = [*files, *(other for other in dicom_folders if other != folder)]
    # A folder behind a link is read through the link, since readers do not follow links to folders.
    while (
        folder != start
        and not folder.is_symlink()
        and not any(other.is_relative_to(folder.parent) for other in others)
    ):
        folder = folder.parent
    return folder
