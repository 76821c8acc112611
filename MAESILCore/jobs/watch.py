"""Watches a job for reasons to end it, and ends it even during a long pass."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from MAESILCore.jobfolder import JobFolder
from MAESILCore.optional import require

Reason = Literal["cancelled", "orphaned", "vanished"]

_POLL_SECONDS = 0.1
_TICK_SECONDS = 1.0
#: Seconds that the work has to end by itself between two passes.
_GRACE_SECONDS = 1.0


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
    """

    def __init__(
        self,
        folder: JobFolder,
        owner: int | None,
        tick: Callable[[], None],
        end: Callable[[Reason], None],
        grace: float = _GRACE_SECONDS,
    ) -> None:
        self.reason: Reason | None = None
        self._folder, self._tick, self._end, self._grace = folder, tick, end, grace
        self._owner = None if owner is None else _Owner(owner)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._over.set()

    def asked(self) -> bool:
        """Whether the work must end."""
        return self.reason is not None

    def _watch(self) -> None:
        ticked = time.monotonic()
        while not self._over.wait(_POLL_SECONDS):
            self.reason = self._find_reason()
            if self.reason is not None:
                if not self._over.wait(self._grace):
                    self._end(self.reason)
                return
            if time.monotonic() - ticked >= _TICK_SECONDS:
                ticked = time.monotonic()
                self._tick()

    def _find_reason(self) -> Reason | None:
        if self._owner is not None and self._owner.is_gone():
            return "orphaned"
        if self._folder.is_cancelled or _is_terminated():
            return "cancelled"
        return None if self._folder.path.is_dir() else "vanished"


class _Owner:
    """The process of a window, looked up at once, since its id may later belong to another process."""

    def __init__(self, pid: int) -> None:
        self._psutil: Any = require("psutil", "Running a job")
        try:
            self._process = self._psutil.Process(pid)
        except self._psutil.NoSuchProcess:
            self._process = None

    def is_gone(self) -> bool:
        try:
            return (
                self._process is None
                or not self._process.is_running()
                or self._process.status() == self._psutil.STATUS_ZOMBIE
            )
        except self._psutil.NoSuchProcess:
            return True


def _is_terminated() -> bool:
    return sys.platform != "win32" and signal.SIGTERM in signal.sigpending()
