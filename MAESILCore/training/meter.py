"""Measures the speed of a training, by a clock that nobody sets."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

#: Steps over which the speed is averaged.
_STEPS = 20


class Meter:
    """Measures from its making on; validations and previews count as part of the step before.

    Args:
        superpatch_size: voxels along k, j, i.
        clock: seconds from any start; never set back.
    """

    def __init__(
        self, superpatch_size: tuple[int, int, int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._superpatch, self._clock = math.prod(superpatch_size), clock
        self._first = self._last = clock()
        self._steps = 0
        self._recent: deque[tuple[float, int]] = deque(maxlen=_STEPS)

    def tick(self, voxels: int) -> float:
        """Count a step of so many voxels; returns the superpatches per second over the last steps."""
        now = self._clock()
        self._recent.append((now - self._last, voxels))
        self._last, self._steps = now, self._steps + 1
        seconds = sum(seconds for seconds, _ in self._recent)
        return sum(voxels for _, voxels in self._recent) / self._superpatch / max(seconds, 1e-9)

    def seconds_left(self, steps: int) -> float:
        """Estimated seconds for more steps, from the mean over all steps so far."""
        return (self._last - self._first) / max(1, self._steps) * steps
