"""Numbers in headers, strictly: Python itself would read "2_5" as 25, other alphabets' digits as numbers, and control
characters as blanks.
"""

from __future__ import annotations

import re

_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf(inity)?)", re.IGNORECASE
)

#: The only white space between the numbers and words of a header.
BLANKS = " \t\r\n"


def words(text: str) -> list[str]:
    """Split a text at blanks only."""
    return [word for word in re.split(f"[{BLANKS}]+", text) if word]


def integer(text: str) -> int:
    """A whole number.

    Raises:
        ValueError: the text is no such number.
    """
    if not _INTEGER.fullmatch(text.strip(BLANKS)):
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def decimal(text: str) -> float:
    """A number, NaN and infinity included.

    Raises:
        ValueError: the text is no such number.
    """
    if not _DECIMAL.fullmatch(text.strip(BLANKS)):
        raise ValueError(f"{text!r} is no number")
    return float(text)
