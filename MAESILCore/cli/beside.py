"""What was found beside the scans of a folder and cannot be read, told in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from MAESILCore.data.formats.discovery import LeftOut

#: Lines that a terminal can hold; more are counted.
_MOST = 20


def show_left_out(left_out: Sequence[LeftOut], console: Console) -> None:
    """Print a line for each, and how many more there are."""
    from rich.markup import escape

    for one in left_out[:_MOST]:
        console.print(f"[yellow]Left out:[/] {escape(str(one))}")
    if len(left_out) > _MOST:
        console.print(f"[yellow]Left out:[/] {len(left_out) - _MOST} more")
