"""Draws the samples of the next steps while a step runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from MAESILCore.training.source import Sample, SampleKey, SampleSource

#: The samples of one step for this process.
Keys = Callable[[int], Sequence[SampleKey]]


@dataclass(frozen=True)
class Drawn:
    """The samples of one step for this process.

    Attributes:
        samples: the samples; empty if there is a problem.
        keys: their keys.
        waited: seconds that the training waited for them.
        problem: why they could not be drawn.
    """

    samples: Sequence[Sample]
    keys: Sequence[SampleKey]
    waited: float = 0.0
    problem: Exception | None = None


def drawn_ahead(source: SampleSource, keys: Keys, steps: range) -> Iterator[Drawn]:
    """The samples of each step, drawn by a thread while the step before runs.

    Args:
        source: draws the samples.
        keys: the keys of a step.
        steps: the steps, in their order.
    """
    if not steps:
        return
    with ThreadPoolExecutor(max_workers=1) as worker:
        _limit_to_one_core(worker)

        def draw(step: int) -> list[Sample]:
            return [source.draw(key) for key in keys(step)]

        pending = worker.submit(draw, steps[0])
        for step in steps:
            started = time.perf_counter()
            problem = pending.exception()
            waited = time.perf_counter() - started
            if problem is not None:
                if not isinstance(problem, Exception):
                    raise problem
                yield Drawn((), keys(step), waited, problem)
                return
            samples = pending.result()
            if step + steps.step in steps:
                pending = worker.submit(draw, step + steps.step)
            yield Drawn(samples, keys(step), waited)


def _limit_to_one_core(worker: ThreadPoolExecutor) -> None:
    """Keep the drawing thread from starting threads of its own, which would compete with those of the training."""
    threads = torch.get_num_threads()
    worker.submit(torch.set_num_threads, 1).result()
    torch.set_num_threads(threads)  # what is not kept by thread was changed for this one, too
