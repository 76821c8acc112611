"""The scans below folders: single files by their extension, and folders of DICOM slices."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
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


def find_scans(paths: Iterable[Path]) -> list[Path]:
    """The paths of `discover`.

    Raises:
        VolumeError: see `discover`.
    """
    return [scan.path for scan in discover(paths).scans]


def discover(paths: Iterable[Path]) -> Discovery:
    """Find the files and DICOM folders at and below the given paths.

    Links to folders are followed, except to their own ancestors. Each folder counts once. Only regular files are
    opened.

    Raises:
        VolumeError: a given path is not there or cannot be opened, or there is no scan at all.
    """
    starts = list(paths)
    search = _Search()
    for start in starts:
        refuse_unreadable(start)
        if start.is_dir():
            search.below(start)
        else:
            search.take(start, 1)
    if not search.found:
        raise VolumeError(_nothing_found(starts, search.left_out))
    return Discovery(tuple(named(sorted(search.found.values()))), tuple(search.left_out))


def _nothing_found(starts: list[Path], left_out: list[LeftOut]) -> str:
    places = ", ".join(str(start) for start in starts) or "no path"
    kinds = "NIfTI, NRRD, MetaImage or MGH files, or DICOM folders"
    unread = f" ({len(left_out)} left out, such as {left_out[0]})" if left_out else ""
    return f"There is no scan in {places}{unread}: give {kinds}."


@dataclass
class _Search:
    """A search from several paths without duplicates.

    Attributes:
        found: path of the scan and number of trailing path parts in its name, by resolved path.
        left_out: as in `Discovery`.
    """

    found: dict[Path, tuple[Path, int]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    _visited: set[_Identity] = field(default_factory=set)

    def take(self, scan: Path, parts: int) -> None:
        """Add a scan whose name has this number of trailing path parts."""
        self.found.setdefault(scan.resolve(), (scan, parts))

    def below(self, start: Path) -> None:
        """Take all scans below a folder."""
        files: list[Path] = []
        dicom_folders: list[Path] = []
        for folder, names in self._folders(start):
            candidates = [folder / name for name in names]
            files += [path for path in candidates if _is_scan_file(path) and self._opens(path, start)]
            rest = (path for path in candidates if extension_of(path) not in READABLE)
            if any(self._is_dicom_image(path, start) for path in rest):
                dicom_folders.append(folder)
        scans = [*files, *(_widest(folder, start, files, dicom_folders) for folder in dicom_folders)]
        # A scan's own path takes precedence over a link.
        for scan in sorted(sorted(scans), key=os.path.islink):
            self.take(scan, max(1, len(scan.relative_to(start).parts)))

    def _folders(self, start: Path) -> Iterator[tuple[Path, list[str]]]:
        """All folders with their file names; folders behind links come last."""
        links = deque([(start, _ancestors(start))])
        while links:
            root, above = links.popleft()
            stack = [root]
            while stack:
                folder = stack.pop()
                identity = _identity(folder)
                if identity in self._visited or identity in above:
                    continue
                self._visited.add(identity)
                names, folders, linked = self._entries(folder, start)
                stack += reversed(folders)
                links += ((link, above | _ancestors(link)) for link in linked)
                yield folder, names

    def _entries(self, folder: Path, start: Path) -> tuple[list[str], list[Path], list[Path]]:
        """File names, folders and links to folders in a folder; hidden ones are skipped."""
        files: list[str] = []
        folders: list[Path] = []
        linked: list[Path] = []
        for name in self._names_in(folder, start):
            path = folder / name
            if os.path.isfile(path):
                files.append(name)
            elif self._opens(path, start):
                (linked if path.is_symlink() else folders).append(path)
        return files, folders, linked

    def _names_in(self, folder: Path, start: Path) -> list[str]:
        try:
            return sorted(name for name in os.listdir(folder) if not name.startswith("."))
        except OSError as error:  # network drives and damaged disks can fail after opening
            self._leave_out(folder, start, reason_of(folder, error))
            return []

    def _opens(self, path: Path, start: Path) -> bool:
        """Whether a file or folder can be read; otherwise records it as left out."""
        reason = obstacle(path)
        if reason is not None:
            self._leave_out(path, start, reason)
        return reason is None

    def _is_dicom_image(self, path: Path, start: Path) -> bool:
        try:
            return is_dicom_image(path)
        except VolumeError as error:
            self._leave_out(path, start, obstacle(path) or str(error).rstrip("."))
            return False

    def _leave_out(self, path: Path, start: Path, reason: str) -> None:
        self.left_out.append(LeftOut(displayable(path.relative_to(start).as_posix()), reason))


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
