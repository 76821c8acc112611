"""Watches, beside the work, for reasons to end it, and ends it even in the middle of a long pass."""

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
#: How long the work may take to end by itself, between two passes, before it is ended.
_GRACE_SECONDS = 1.0


def block_termination() -> None:
    """Keep SIGTERM pending, where the watch sees it also while the main thread is inside a pass.

    Must be called in the main thread before any other thread is started.
    """
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


class Watch:
    """A thread that notices the file `cancel`, SIGTERM, the end of the owner, and that the job's folder is gone.

    Args:
        folder: the job's.
        owner: process id of the window that an attached job ends with; None for a detached job.
        tick: called every second, so that readers see that the work is alive.
        end: called, from the thread, if the work has not ended by itself in `grace` seconds; it must not return.
        grace: a detached job gets more time, to write a checkpoint.
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
        """Let the work end as it will."""
        self._over.set()

    def asked(self) -> bool:
        """Whether the work is to end."""
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
    """The process of a window. It is known from the start on, so that no later process is taken for it."""

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
