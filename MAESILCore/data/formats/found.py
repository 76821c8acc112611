"""Names of found scans: their paths below the searched folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from MAESILCore.data.formats.names import stem_of
from MAESILCore.errors import ConfigError
from MAESILCore.wording import displayable

#: Maximum number of names in a message.
_NAMED = 3


@dataclass(frozen=True)
class FoundScan:
    """A scan with unique names.

    Attributes:
        path: the file or DICOM folder.
        file: its path below the searched folder, such as "s0001/ct.nii.gz"; displayable, with "/" on every system.
        name: the same without the extension, such as "s0001/ct".
    """

    path: Path
    file: str
    name: str

    def fits(self, pattern: str) -> bool:
        """Whether a pattern matches this scan.

        It does if it matches the path below the searched folder, a folder on this path, or the end of the path, with
        or without the extension. "*" also matches "/". Thus "s1*", "s1000", "s1000/ct" and "ct.nii.gz" all fit
        "s1000/ct.nii.gz". A pattern with "/" may begin at any folder above, as "data/s1*" does.
        """
        wanted = displayable(pattern).removeprefix("./")
        wanted = wanted.rstrip("/") or wanted
        candidates = self._candidates(has_folders="/" in wanted)
        return any(wanted == candidate or fnmatch(candidate, wanted) for candidate in candidates)

    def _candidates(self, has_folders: bool) -> Iterator[str]:
        below = self.file.split("/")
        above: list[str] = []
        if has_folders:
            path = Path(os.path.abspath(self.path))
            above = displayable(path.as_posix()).split("/")[: -len(below)]
        for last in (below[-1], stem_of(self.path)):
            parts = [*above, *below[:-1], last]
            for stop in range(len(above) + 1, len(parts) + 1):
                for start in range(stop):
                    yield "/".join(parts[start:stop])


def check_patterns(scans: Sequence[FoundScan], patterns: Iterable[str], option: str) -> None:
    """Check that every pattern matches a scan, since a typo would silently change the result.

    Args:
        scans: all scans.
        patterns: globs; see `FoundScan.fits`.
        option: name of the option, for the message.

    Raises:
        ConfigError: a pattern matches no scan.
    """
    for pattern in patterns:
        if not any(scan.fits(pattern) for scan in scans):
            raise ConfigError(
                f"The {option} pattern {displayable(pattern)!r} matches none of the {len(scans)} scans "
                f"({listed([scan.file for scan in scans])}): correct it, or leave it out."
            )


def listed(names: Sequence[str], most: int = _NAMED) -> str:
    """The first names, and the number of the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def named(scans: Iterable[tuple[Path, int]]) -> list[FoundScan]:
    """Scans with unique names, in the same order.

    Args:
        scans: paths, and the number of trailing path parts in each name; duplicates get more parts.
    """
    given = list(scans)
    paths = [Path(os.path.abspath(path)) for path, _ in given]
    files = _unique_endings(paths, [parts for _, parts in given])
    stems = [
        file.removesuffix(displayable(path.name)) + stem_of(path)
        for file, path in zip(files, paths, strict=True)
    ]
    shared = Counter(stems)
    names = _numbered([stem if shared[stem] == 1 else file for stem, file in zip(stems, files, strict=True)])
    return [FoundScan(path, *both) for (path, _), *both in zip(given, _numbered(files), names, strict=True)]


def _unique_endings(paths: list[Path], parts: list[int]) -> list[str]:
    """The trailing parts of each absolute path that make it unique."""
    while True:
        endings = (path.parts[1:][-count:] for path, count in zip(paths, parts, strict=True))
        names = ["/".join(ending) or path.anchor for ending, path in zip(endings, paths, strict=True)]
        shared = Counter(names)
        longer = [
            count + 1 if shared[name] > 1 and count < len(path.parts) - 1 else count
            for name, count, path in zip(names, parts, paths, strict=True)
        ]
        if longer == parts:
            return [displayable(name) for name in names]
        parts = longer


def _numbered(names: list[str]) -> list[str]:
    """Number repeated names, which different bytes with the same display can cause."""
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return numbered
