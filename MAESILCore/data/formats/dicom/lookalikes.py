"""Distinction between lost slices and other files of a DICOM folder."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from MAESILCore.data.formats import content, names

#: Names of usual companions of DICOM slices; hidden files belong to the system or a tool.
_COMPANIONS = re.compile(
    r"DICOMDIR|LOCKFILE|VERSION|README.*|LICEN[CS]E.*|CHANGES.*|Makefile|_?SUCCESS|Thumbs\.db|desktop\.ini|\..*|"
    r"(md5|sha\d+|check)sums?|manifest.*",
    re.IGNORECASE,
)

#: Extensions of texts, tables, pictures, other scans, and viewers on scan discs.
_COMPANION_EXTENSIONS = frozenset(
    {
        *(".txt", ".md", ".rtf", ".doc", ".docx", ".pdf", ".log", ".ini", ".db", ".inf"),
        *(".csv", ".tsv", ".xls", ".xlsx", ".json", ".xml", ".html", ".htm", ".yml", ".yaml", ".toml"),
        *(".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".svg", ".ico", ".css", ".js"),
        *(".py", ".sh", ".bat", ".exe", ".dll", ".so", ".dylib", ".jar"),
        *(".cfg", ".conf", ".properties", ".chm"),
        *names.READABLE,
    }
)
_DICOM_EXTENSIONS = frozenset({".dcm", ".dicom", ".ima", ".img"})

_COMPRESSED = "it is compressed: unpack it"
_SHORTCUT = "it is a shortcut to another file: copy that file here"
_UNFINISHED = "it is an unfinished download: download it again"

#: Suffixes of slices in another form, such as compressed ones.
_WRAPPINGS = {
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst", ".z", ".zip", ".7z"), _COMPRESSED),
    **dict.fromkeys((".lnk", ".url", ".webloc"), _SHORTCUT),
    **dict.fromkeys((".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp"), _UNFINISHED),
    ".icloud": "it is a placeholder of iCloud: download the file",
}

#: Beside slices with plain numbers as names, "1.zip" and "2020.tmp" are probably no slices.
_OF_WHOLE_SERIES = frozenset({".zip", ".7z", ".tmp"})

#: Maximum growth of a slice by compression; archives of a series are larger.
_WRAPPING_BYTES = 1024


class Slices:
    """Names and sizes of the readable slices, to recognise lost slices.

    Args:
        paths: the files of the slices.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        distinct = set(paths)
        self._folders = {path.parent for path in distinct}
        self._shapes = {_shape(path.name) for path in distinct}
        self._extensions = {_extension(path.name) for path in distinct} - {""}
        self._sizes = {path.stat().st_size for path in distinct}
        self._starts = {_leading_letters(path.name) for path in distinct}
        self._lengths = {len(path.name) for path in distinct}
        wordy = [path.name.lower() for path in distinct if not re.search(r"\d", path.name)]
        # A single scout is no evidence for the names of slices.
        self._wordy = wordy if len(wordy) > max(1, len(distinct) // 2) else []

    def loss(self, path: Path) -> str:
        """Reason and advice for a lost slice, such as "it is empty: copy ..."; "" for other files."""
        wrapping = self._wrapping(path)
        if wrapping:
            return wrapping
        return f"{content.why_no_dicom(path)}: copy the folder again" if self.are_like(path) else ""

    def are_like(self, path: Path) -> bool:
        """Whether a file has the name or size of a slice."""
        name, extension = path.name, _extension(path.name)
        if _shape(name) in self._shapes:
            return True
        if _COMPANIONS.fullmatch(name):
            return False
        if extension:
            return extension in _DICOM_EXTENSIONS | (self._extensions - _COMPANION_EXTENSIONS)
        if not _may_be_regular(path):
            return False
        is_among_such = not self._extensions and path.parent in self._folders
        if is_among_such and self._are_named_like(name.lower()):
            return True
        # Headers make the sizes of slices vary a little.
        return path.is_file() and any(abs(path.stat().st_size - size) <= size // 50 for size in self._sizes)

    def _wrapping(self, path: Path) -> str:
        """The message on "IM7.dcm.gz" beside "IM6.dcm" if "IM7.dcm" is missing."""
        inner, extension = os.path.splitext(path.name)
        inner = inner.removeprefix(".") if extension == ".icloud" else inner
        reason = _WRAPPINGS.get(extension.lower(), "")
        if _shape(inner) == "#" and extension.lower() in _OF_WHOLE_SERIES:
            return ""
        is_lost = _shape(inner) in self._shapes and not os.path.lexists(path.with_name(inner))
        is_small = path.is_file() and path.stat().st_size <= max(self._sizes, default=0) + _WRAPPING_BYTES
        return reason if is_lost and is_small else ""

    def _are_named_like(self, name: str) -> bool:
        """Whether a name without extension follows the pattern of the slices' names."""
        if re.search(r"\d", name):
            return _leading_letters(name) in self._starts or len(name) in self._lengths
        start = os.path.commonprefix(self._wordy)  # noqa: RUF071 - of letters, not of folders
        return bool(self._wordy) and (
            (start != "" and name.startswith(start)) or len(name) in map(len, self._wordy)
        )


def is_companion(path: Path) -> bool:
    """Whether a file is a usual companion of slices, which needs no note."""
    return names.extension_of(path) in _COMPANION_EXTENSIONS or bool(_COMPANIONS.fullmatch(path.name))


def _shape(name: str) -> str:
    """The name with a placeholder for each number, the same for all slices of an export; a UID is one number."""
    return re.sub(r"\d+(\.\d+)*", "#", name.lower())


def _leading_letters(name: str) -> str:
    """The part of a name before its first number."""
    return re.split(r"\d", name.lower(), maxsplit=1)[0]


def _extension(name: str) -> str:
    """The lower-case extension, "" if what follows the last dot is a number or several words."""
    extension = os.path.splitext(name)[1].lower()
    return extension if re.fullmatch(r"\.[a-z][a-z0-9]*", extension) else ""


def _may_be_regular(path: Path) -> bool:
    """Whether a path is a regular file, a broken link, or not accessible."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True
