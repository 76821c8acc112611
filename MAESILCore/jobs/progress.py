"""How much of a job is done and how long the rest takes, in time rather than in passes."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from MAESILCore.jobfolder import Event, ProgressCallback

#: Parts that the whole is divided into.
PARTS = 1000

#: What takes longer than expected is taken to need this share of what it took so far.
_OVERTIME = 0.2


class Progress:
    """Turns what the work reports into events; safe to use from two threads.

    Args:
        tell: takes the events.
    """

    def __init__(self, tell: ProgressCallback) -> None:
        self.tell = tell
        self._later: dict[str, float] = {}
        self._begun = self._noted = time.monotonic()
        self._left: float | None = None
        self._message, self._part = "", 0
        self._lock = threading.RLock()

    def plan(self, stages: Mapping[str, float]) -> None:
        """The stages that follow the passes, with the seconds that each will take."""
        self._later = dict(stages)

    def say(self, message: str) -> None:
        """Tell what is being done while nothing can be counted."""
        with self._lock:
            self._message = message
            self.tick()

    def expect(self, seconds: float) -> float:
        """Note how long the passes will take; returns how long everything will."""
        with self._lock:
            self._note(seconds)
            return seconds + sum(self._later.values())

    def begin(self, message: str) -> None:
        """The passes begin now; the time before, for loading the model, does not count."""
        with self._lock:
            self._begun = self._noted = time.monotonic()
            self._message = message

    def passes(self, done: int, total: int, message: str) -> None:
        """Passes were made; the callback of `reconstruct`."""
        with self._lock:
            self._message = message
            self._note((total - done) * (time.monotonic() - self._begun) / done)
            self.tick()

    def stage(self, name: str, message: str) -> None:
        """A stage after the passes begins."""
        with self._lock:
            self._message = message
            self._note(self._later.pop(name))
            self.tick()

    def tick(self) -> None:
        """Tell how things stand, once the work has said what it does."""
        with self._lock:
            left = self._seconds_left()
            if left is not None:
                spent = time.monotonic() - self._begun
                part = int(PARTS * spent / max(spent + left, 1e-9))
                self._part = max(self._part, min(PARTS - 1, part))
            if self._message:
                self.tell(Event("progress", self._message, self._part, PARTS, left))

    def _note(self, seconds: float) -> None:
        """What is under way takes this long from now on."""
        self._noted, self._left = time.monotonic(), seconds

    def _seconds_left(self) -> float | None:
        if self._left is None:
            return None
        since = time.monotonic() - self._noted
        return max(self._left - since, _OVERTIME * since) + sum(self._later.values())
