"""Terminals, pipes and files whose code page lacks letters: they get other characters instead of an error."""

from __future__ import annotations

import codecs
import io
import sys

from MAESILCore.wording import displayable

_HANDLER = "maesil-terminal"

#: Characters of our own tables and sentences, in ASCII.
_PLAIN = {"±": "+-", "×": "x", "\N{MINUS SIGN}": "-", "…": "...", "·": "-", "–": "-", "—": "-"}  # noqa: RUF001


def forgive_code_pages() -> None:
    """Let standard output and standard error write any text, also in a code page without some of its letters."""
    _register()
    for stream in (sys.stdout, sys.stderr):
        # "surrogateescape" is what Python takes in the C locale: it refuses letters, too.
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors=_HANDLER)


def in_code_page(text: str, encoding: str) -> str:
    """A text as it is shown in an encoding, for tables whose columns are as wide as what is shown."""
    _register()
    return text.encode(encoding, _HANDLER).decode(encoding)


def _register() -> None:
    codecs.register_error(_HANDLER, _replaced)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    refused = error.object[error.start : error.end]
    return "".join(map(_in_ascii, refused)), error.end


def _in_ascii(character: str) -> str:
    # A byte of a file's name that is not UTF-8 is shown as everywhere else.
    is_byte = "\udc80" <= character <= "\udcff"
    return displayable(character) if is_byte else _PLAIN.get(character, "?")
