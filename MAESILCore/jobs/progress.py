"""How much of a job is done and how long the rest takes, in time rather than in passes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

from MAESILCore.jobs.events import JobEvent

Stage = Literal["writing", "scoring", "superpatches", "exporting"]

#: Parts that the whole is divided into.
PARTS = 1000

#: What each stage takes on an ordinary core: seconds in any case, and seconds for a million voxels.
_STAGE_SECONDS: dict[Stage, tuple[float, float]] = {
    "writing": (0.0, 0.02),
    "scoring": (0.0, 0.8),
    "superpatches": (0.0, 0.02),
    "exporting": (4.0, 0.3),
}
#: What a fill without learning takes in two windows, in seconds for a million voxels.
CONTROL_SECONDS = 8.0

#: What takes longer than expected is taken to need this share of what it took so far.
_OVERTIME = 0.2


def seconds_of(stage: Stage, voxels: int) -> float:
    """How long a stage takes for a scan of so many voxels."""
    in_any_case, per_megavoxel = _STAGE_SECONDS[stage]
    return in_any_case + per_megavoxel * voxels / 1e6


class Progress:
    """Turns what the work reports into events; safe to use from two threads.

    Args:
        tell: takes the events.
    """

    def __init__(self, tell: Callable[[JobEvent], None]) -> None:
        self._tell = tell
        self._later: dict[Stage, float] = {}
        self._begun = self._noted = time.monotonic()
        self._left: float | None = None
        self._message, self._part = "Loading PyTorch and the model.", 0
        self._lock = threading.RLock()

    def plan(self, voxels: int, stages: list[Stage], controls: int = 0) -> None:
        """What follows the passes, for a scan of so many voxels; so many fills without learning are scored, too."""
        self._later = {stage: seconds_of(stage, voxels) for stage in stages}
        if "scoring" in self._later:
            self._later["scoring"] += controls * CONTROL_SECONDS * voxels / 1e6

    def expect(self, seconds: float) -> float:
        """Note how long the passes will take; returns how long everything will."""
        with self._lock:
            self._note(seconds)
            return seconds + sum(self._later.values())

    def begin(self) -> None:
        """The passes begin now; the time before, for loading the model, does not count."""
        with self._lock:
            self._begun = self._noted = time.monotonic()
            self._message = "Reconstructing: the first passes."

    def passes(self, done: int, total: int, message: str) -> None:
        """Passes through the network were made; the callback of `reconstruct`."""
        with self._lock:
            self._message = message
            self._note((total - done) * (time.monotonic() - self._begun) / done)
            self.tick()

    def stage(self, stage: Stage, message: str) -> None:
        """A stage after the passes begins."""
        with self._lock:
            self._message = message
            self._note(self._later.pop(stage))
            self.tick()

    def tick(self) -> None:
        """Tell how things stand."""
        with self._lock:
            left = self._seconds_left()
            if left is not None:
                spent = time.monotonic() - self._begun
                part = int(PARTS * spent / max(spent + left, 1e-9))
                self._part = max(self._part, min(PARTS - 1, part))
            self._tell(JobEvent("progress", self._message, self._part, PARTS, left))

    def _note(self, seconds: float) -> None:
        """What is under way takes this long from now on."""
        self._noted, self._left = time.monotonic(), seconds

    def _seconds_left(self) -> float | None:
        if self._left is None:
            return None
        since = time.monotonic() - self._noted
        return max(self._left - since, _OVERTIME * since) + sum(self._later.values())
