"""Progress bars, and stopping by signals."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    from rich.console import Console

#: Signals within this time of the first one count as the same: launchers such as torchrun forward Ctrl-C to processes
#: that already got it from the terminal.
SAME_STOP_SECONDS = 2.0


@contextmanager
def watched(
    console: Console, description: str
) -> Iterator[tuple[Callable[[int, int, str], None], Callable[[], bool]]]:
    """Show a progress bar during the block.

    Args:
        console: the console of the bar.
        description: text beside the bar before the first message.

    Yields:
        A progress callback (done, total, message), and a function that returns True after the first Ctrl-C.
    """
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with stop_requested() as stopped, Progress(*columns, console=console) as bar:
        task = bar.add_task(description, total=None)

        def progress(done: int, total: int, message: str) -> None:
            bar.update(task, total=total, completed=done, description=escape(message))

        yield progress, stopped


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns True once a stop was requested by a signal during the block.

    The first signal sets a flag; another one after two seconds raises KeyboardInterrupt, for users who cannot wait.
    Outside the main thread signals cannot be handled, and the function returns False.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set
        return
    first = 0.0

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if not requested.is_set():
            first = time.monotonic()
            requested.set()
        elif time.monotonic() - first > SAME_STOP_SECONDS:
            raise KeyboardInterrupt

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requested.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
