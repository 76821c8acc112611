"""Watches, beside the work, for reasons to end it, and ends it even in the middle of a long pass."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from MAESILCore.jobs.files import CANCEL
from MAESILCore.jobs.parent import Parent

Reason = Literal["cancelled", "orphaned", "vanished"]

_POLL_SECONDS = 0.1
_TICK_SECONDS = 1.0
#: How long the work may take to end by itself, between two passes, before it is ended.
_GRACE_SECONDS = 1.0


class Watch:
    """A thread that notices the file `cancel`, SIGTERM, the parent's end, and that the job's folder is gone.

    Args:
        folder: the job's.
        tick: called every second, so that a parent sees that the work is alive.
        end: called, from the thread, if the work has not ended by itself in a second; it shall not return.
    """

    def __init__(self, folder: Path, tick: Callable[[], None], end: Callable[[Reason], None]) -> None:
        self.reason: Reason | None = None
        self._folder, self._tick, self._end = folder, tick, end
        self._parent, self._over = Parent(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def start(self) -> None:
        """Begin; to be called in the main thread before any other thread is started."""
        if sys.platform != "win32":
            # Blocked, the signal stays pending where this thread sees it, also while the main thread is inside a pass.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self._thread.start()

    def stop(self) -> None:
        """Let the work end as it will."""
        self._over.set()

    def asked(self) -> bool:
        """Whether the work shall end."""
        return self.reason is not None

    def _watch(self) -> None:
        ticked = time.monotonic()
        while not self._over.wait(_POLL_SECONDS):
            self.reason = self._find_reason()
            if self.reason is not None:
                if not self._over.wait(_GRACE_SECONDS):
                    self._end(self.reason)
                return
            if time.monotonic() - ticked >= _TICK_SECONDS:
                ticked = time.monotonic()
                self._tick()

    def _find_reason(self) -> Reason | None:
        if self._parent.is_gone():
            return "orphaned"
        if (self._folder / CANCEL).exists() or _is_terminated():
            return "cancelled"
        return None if self._folder.is_dir() else "vanished"


def _is_terminated() -> bool:
    return sys.platform != "win32" and signal.SIGTERM in signal.sigpending()
