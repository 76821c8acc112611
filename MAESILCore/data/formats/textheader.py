"""What the text headers of NRRD and MetaImage share: strict numbers, and the names of data files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO

from MAESILCore.data.formats.scan import Unreadable

#: The only white space between the numbers and words of a header.
BLANKS = " \t\r\n"

# Python itself would read "2_5" as 25, other alphabets' digits as numbers, and control characters as blanks.
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf(inity)?)", re.IGNORECASE
)

#: A numbered file name with its first and last number and the step; NRRD may add the number of axes in each file.
_NUMBERED = re.compile(r"(.*%.*?)\s+(-?\d+)\s+(-?\d+)\s+(-?\d+)(\s+\d+)?")
_MOST_DATA_FILES = 100_000
_LONGEST_LIST = 1 << 22


def words(text: str) -> list[str]:
    """Split a text at blanks only."""
    return [word for word in re.split(f"[{BLANKS}]+", text) if word]


def integer(text: str) -> int:
    """A whole number.

    Raises:
        ValueError: the text is no such number.
    """
    return int(_matching(_INTEGER, text))


def decimal(text: str) -> float:
    """A number, NaN and infinity included.

    Raises:
        ValueError: the text is no such number.
    """
    return float(_matching(_DECIMAL, text))


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text.strip(BLANKS)):
        raise ValueError(f"{text!r} is not a number")
    return text


def line_text(line: bytes) -> str:
    """A line without blanks around it; bytes that are not UTF-8 are kept, as file names may have them."""
    return line.strip().decode("utf-8", errors="surrogateescape")


def data_files(path: Path, stated: str, rest: IO[bytes], within: Path | None) -> list[Path]:
    """The data files of a header: a single one, a numbered series, or those listed in the lines after it.

    Args:
        path: the file with the header.
        stated: the field that names the files.
        rest: what follows the header.
        within: the folder that must contain the files after links are resolved; None allows all folders.

    Raises:
        Unreadable: a numbered series is empty or too long, or a file is outside the folder.
    """
    names = [stated]
    if stated.upper().startswith("LIST"):
        lines = map(line_text, rest.read(_LONGEST_LIST).splitlines())
        names = [name for name in lines if name] or names
    elif numbered := _NUMBERED.fullmatch(stated):
        names = _numbered_names(*numbered.group(1, 2, 3, 4))
    if within is not None:
        for name in names:
            if "\0" in name or not (path.parent / name).resolve().is_relative_to(within.resolve()):
                raise Unreadable(
                    f"takes its voxels from {name}, which did not come with it: "
                    "save the scan as one file, such as .nii.gz."
                )
    return [path.parent / name for name in names]


def _numbered_names(pattern: str, first: str, last: str, step: str) -> list[str]:
    """The file names for a pattern such as "slice%03d.raw" and a range of numbers."""
    is_plain = len(re.findall(r"%0?\d*[di]", pattern)) == pattern.count("%") == 1
    end = int(last) + (1 if int(step) > 0 else -1)
    numbers = range(int(first), end, int(step)) if int(step) else range(0)
    if not is_plain or not 0 < len(numbers) <= _MOST_DATA_FILES:
        raise Unreadable(
            f"names its data files by the pattern {pattern!r}, which gives no files: correct the header."
        )
    return [pattern % number for number in numbers]
