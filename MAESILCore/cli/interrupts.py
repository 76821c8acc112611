"""Turns ctrl-C and SIGTERM into a question that long work asks itself at safe places."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: Signals this close to the first one are the same wish: a launcher such as torchrun passes ctrl-C on to processes that
#: the terminal has told already.
SAME_WISH_SECONDS = 2.0


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether a stop was asked for while the block runs.

    The first signal only sets the flag; another one after two seconds raises KeyboardInterrupt, for whoever cannot
    wait. Outside the main thread signals cannot be caught, and the function says False.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    first = 0.0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if not asked.is_set():
            first = time.monotonic()
            asked.set()
        elif time.monotonic() - first > SAME_WISH_SECONDS:
            raise KeyboardInterrupt

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
