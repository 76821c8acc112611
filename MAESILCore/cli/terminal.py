"""Terminal output: code pages without some letters, lists of left-out files, and detection of a screen."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import TYPE_CHECKING

from MAESILCore.wording import displayable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from MAESILCore.data.formats.discovery import LeftOut

_HANDLER = "maesil-terminal"

#: Most lines on left-out files; the others are counted.
_MOST = 20

#: ASCII replacements for characters of our tables and sentences.
_PLAIN = {"±": "+-", "×": "x", "\N{MINUS SIGN}": "-", "…": "...", "·": "-", "–": "-", "—": "-"}  # noqa: RUF001


def forgive_code_pages() -> None:
    """Let stdout and stderr write any text, also in code pages without some of its letters."""
    codecs.register_error(_HANDLER, _replaced)
    for stream in (sys.stdout, sys.stderr):
        # In the C locale Python uses "surrogateescape", which fails for such letters, too.
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors=_HANDLER)


def in_code_page(text: str, encoding: str) -> str:
    """A text as shown in an encoding, so that tables fit their columns to it."""
    codecs.register_error(_HANDLER, _replaced)
    return text.encode(encoding, _HANDLER).decode(encoding)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    # Bytes of file names that are not UTF-8 are shown as in all other texts.
    shown = (
        displayable(character) if "\udc80" <= character <= "\udcff" else _PLAIN.get(character, "?")
        for character in error.object[error.start : error.end]
    )
    return "".join(shown), error.end


def show_notes(notes: Iterable[object], console: Console, mark: str = "Note") -> None:
    """Print a line for each note, with a coloured mark before it."""
    from rich.markup import escape

    for note in notes:
        console.print(f"[yellow]{mark}:[/] {escape(str(note))}", soft_wrap=True, highlight=False)


def show_left_out(left_out: Sequence[LeftOut], console: Console) -> None:
    """Print a line for each left-out file, and the number of those beyond the limit."""
    more = len(left_out) - _MOST
    show_notes([*left_out[:_MOST], *([f"{more} more"] if more > 0 else [])], console, "Left out")


def has_screen() -> bool:
    """Whether a browser can be opened; without a screen, `webbrowser` would start a text browser here."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
