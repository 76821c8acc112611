"""Progress of a job and its remaining time, measured in time, not in passes."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from MAESILCore.jobfolder import Event, EventCallback

#: `total` of the progress events.
PARTS = 1000

#: Overdue work is estimated to need this share of the time since its estimate.
_OVERTIME = 0.2


class Progress:
    """Converts progress reports to events; thread-safe.

    Args:
        emit: callback for the events.
    """

    def __init__(self, emit: EventCallback) -> None:
        self.emit = emit
        self._later: dict[str, float] = {}
        self._begun = self._estimated = time.monotonic()
        self._left: float | None = None
        self._message, self._part = "", 0
        self._lock = threading.RLock()

    def plan(self, stages: Mapping[str, float]) -> None:
        """Set the stages after the passes, with the expected seconds of each."""
        self._later = dict(stages)

    def report(self, message: str) -> None:
        """Report an activity without a countable amount."""
        with self._lock:
            self._message = message
            self.tick()

    def expect(self, seconds: float) -> float:
        """Set the expected seconds of the passes; returns those of passes and later stages."""
        with self._lock:
            self._estimate(seconds)
            return seconds + sum(self._later.values())

    def begin(self, message: str) -> None:
        """Start timing the passes; the time to load the model does not count."""
        with self._lock:
            self._begun = self._estimated = time.monotonic()
            self._message = message

    def passes(self, done: int, total: int, message: str) -> None:
        """Report passes; the progress callback of `reconstruct`."""
        with self._lock:
            self._message = message
            self._estimate((total - done) * (time.monotonic() - self._begun) / done)
            self.tick()

    def stage(self, name: str, message: str) -> None:
        """Report the start of a stage after the passes."""
        with self._lock:
            self._message = message
            self._estimate(self._later.pop(name))
            self.tick()

    def tick(self) -> None:
        """Send a progress event; none before the first message."""
        with self._lock:
            left = self._seconds_left()
            if left is not None:
                spent = time.monotonic() - self._begun
                part = int(PARTS * spent / max(spent + left, 1e-9))
                self._part = max(self._part, min(PARTS - 1, part))
            if self._message:
                self.emit(Event("progress", self._message, self._part, PARTS, left))

    def _estimate(self, seconds: float) -> None:
        """Set the expected seconds of the current work."""
        self._estimated, self._left = time.monotonic(), seconds

    def _seconds_left(self) -> float | None:
        if self._left is None:
            return None
        since = time.monotonic() - self._estimated
        return max(self._left - since, _OVERTIME * since) + sum(self._later.values())
