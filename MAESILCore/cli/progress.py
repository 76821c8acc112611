"""Progress bars, and stopping by signals."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
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

        yield progress, lambda: bool(stopped())


@contextmanager
def stop_requested(preempting: Collection[int] = ()) -> Iterator[Callable[[], int]]:
    """Yield a function that says whether a stop was requested by a signal during the block: 0 for no, 1 for yes.

    The first signal sets a flag; another one after two seconds raises KeyboardInterrupt, for users who cannot wait.
    Outside the main thread signals cannot be handled, and the function returns 0.

    Args:
        preempting: signals of a scheduler, for which the function returns 2. They never raise KeyboardInterrupt, since
            schedulers repeat them while a checkpoint is written, and kill at last.
    """
    requested, first = 0, 0.0
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal requested, first
        if number in preempting:
            requested = 2
        elif not requested:
            requested, first = 1, time.monotonic()
        elif time.monotonic() - first > SAME_STOP_SECONDS:
            raise KeyboardInterrupt

    handled = {signal.SIGINT, signal.SIGTERM, *preempting}
    # A terminal that is closed; nohup lets it be ignored.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        handled.add(signal.SIGHUP)
    previous = {number: signal.signal(number, on_signal) for number in handled}
    try:
        yield lambda: requested
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
