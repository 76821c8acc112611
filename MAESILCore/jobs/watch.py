"""Watches a job for reasons to end it, and ends it even during a long pass."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Literal

from MAESILCore.jobfolder import JobFolder, Owner

Reason = Literal["cancelled", "orphaned", "vanished"]

_POLL_SECONDS = 0.1
_TICK_SECONDS = 1.0


def block_termination() -> None:
    """Block SIGTERM, so that the watch can read it as pending even during a pass.

    Must be called in the main thread before other threads start.
    """
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


class Watch:
    """A thread that detects the file `cancel`, SIGTERM, the end of the owner, and a removed job folder.

    Args:
        folder: the job folder.
        owner: process id of the window of an attached job; None for a detached job.
        tick: callback, once per second, to show that the work is alive.
        end: callback in this thread if the work has not ended by itself after `grace` seconds; must not return.
        grace: seconds; a detached job needs more of them to write a checkpoint.

    Attributes:
        grace: as given; it may be changed until the end is requested.
        reason: why the work must end; None while it may go on.
    """

    def __init__(
        self,
        folder: JobFolder,
        owner: int | None,
        tick: Callable[[], None],
        end: Callable[[Reason], None],
        grace: float,
    ) -> None:
        self.reason: Reason | None = None
        self._folder, self._tick, self._end, self.grace = folder, tick, end, grace
        # Looked up at once, since the id may later belong to another process.
        self._owner = None if owner is None else Owner.of(owner)
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def stop(self) -> None:
        """Stop watching."""
        self._over.set()

    def must_end(self) -> bool:
        """Whether the work must end."""
        return self.reason is not None

    def _watch(self) -> None:
        ticked = time.monotonic()
        while not self._over.wait(_POLL_SECONDS):
            self.reason = self._find_reason()
            if self.reason is not None:
                if not self._over.wait(self.grace):
                    self._end(self.reason)
                return
            if time.monotonic() - ticked >= _TICK_SECONDS:
                ticked = time.monotonic()
                self._tick()

    def _find_reason(self) -> Reason | None:
        if self._owner is not None and not self._owner.lives(heartbeat_age=math.inf):
            return "orphaned"
        is_terminated = sys.platform != "win32" and signal.SIGTERM in signal.sigpending()
        if is_terminated or self._folder.is_cancelled:
            return "cancelled"
        return None if self._folder.path.is_dir() else "vanished"
