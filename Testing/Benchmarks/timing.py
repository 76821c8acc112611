"""Timing that survives a noisy machine: contenders take turns, and the best of each counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


def best_of(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Shortest seconds of each contender over `rounds` turns, after one turn that does not count."""
    best = dict.fromkeys(contenders, float("inf"))
    for turn in range(rounds + 1):
        for name, work in contenders.items():
            started = clock()
            work()
            if turn:
                best[name] = min(best[name], clock() - started)
    return best
