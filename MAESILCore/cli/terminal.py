"""What commands write to: code pages that lack letters, lists of what was left out, and whether there is a screen."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import TYPE_CHECKING

from MAESILCore.wording import displayable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from MAESILCore.data.formats.discovery import LeftOut

_HANDLER = "maesil-terminal"

#: Lines on files that were left out; more are counted.
_MOST = 20

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


def show_left_out(left_out: Sequence[LeftOut], console: Console) -> None:
    """Print a line for each file beside the scans that cannot be read, and how many more there are."""
    from rich.markup import escape

    for one in left_out[:_MOST]:
        console.print(f"[yellow]Left out:[/] {escape(str(one))}")
    if len(left_out) > _MOST:
        console.print(f"[yellow]Left out:[/] {len(left_out) - _MOST} more")


def has_screen() -> bool:
    """Whether a browser can be opened; without a screen `webbrowser` would start a text browser in this terminal."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
