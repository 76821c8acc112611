"""How long work shows where it is, and how it is stopped."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console


@contextmanager
def watched(
    console: Console, description: str
) -> Iterator[tuple[Callable[[int, int, str], None], Callable[[], bool]]]:
    """Draw a progress bar while the block runs.

    Args:
        console: where to draw.
        description: what stands beside the bar until the first message.

    Yields:
        A progress callback (done, total, message), and a question that the first ctrl-C answers with yes.
    """
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from MAESILCore.cli.interrupts import stop_requested

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with stop_requested() as stopped, Progress(*columns, console=console) as bar:
        task = bar.add_task(description, total=None)

        def progress(done: int, total: int, message: str) -> None:
            bar.update(task, total=total, completed=done, description=escape(message))

        yield progress, stopped
