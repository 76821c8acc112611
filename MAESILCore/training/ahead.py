"""Draws the samples of the next step while the current one runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from MAESILCore.training.source import Sample


def drawn_ahead(draw: Callable[[int], list[Sample]], steps: range) -> Iterator[list[Sample]]:
    """The samples of each step, drawn by a thread one step ahead."""
    if not steps:
        return
    with ThreadPoolExecutor(max_workers=1) as worker:
        pending = worker.submit(draw, steps[0])
        for step in steps[1:]:
            samples = pending.result()
            pending = worker.submit(draw, step)
            yield samples
        yield pending.result()
