"""Draws the samples of the next steps while a step runs, in a thread or in worker processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from MAESILCore.training.source import Sample, SampleKey, SampleSource
from MAESILCore.training.workers import drawing_workers

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


def drawn_ahead(
    source: SampleSource, keys: Keys, steps: range, workers: int = 0
) -> Generator[Drawn, None, None]:
    """The samples of each step, drawn while the step before runs; a step that cannot be drawn is the last one.

    Close the iterator to end the thread or the workers at once.

    Args:
        source: draws the samples.
        keys: the keys of a step.
        steps: the steps, in their order.
        workers: number of worker processes; 0 draws in a thread of this process.
    """
    if not steps:
        return
    with _drawing(source, keys, steps, workers) as draw:
        for step in steps:
            started = time.perf_counter()
            samples: Sequence[Sample] = ()
            problem = None
            try:
                samples = draw(step)
            except Exception as error:
                problem = error
            yield Drawn(samples, keys(step), time.perf_counter() - started, problem)
            if problem is not None:
                return


@contextmanager
def _drawing(
    source: SampleSource, keys: Keys, steps: range, workers: int
) -> Iterator[Callable[[int], list[Sample]]]:
    """A function that waits for the samples of a step and raises what their drawing raised."""
    if workers:
        flat = (key for step in steps for key in keys(step))
        with drawing_workers(source, flat, workers, ahead=len(keys(steps[0]))) as drawn:
            yield lambda step: [_raised(next(drawn)) for _ in keys(step)]
        return
    with ThreadPoolExecutor(max_workers=1) as worker:
        _limit_to_one_core(worker)

        def submit(step: int) -> Future[list[Sample]]:
            return worker.submit(lambda: [source.draw(key) for key in keys(step)])

        pending = submit(steps[0])

        def wait(step: int) -> list[Sample]:
            nonlocal pending
            samples = pending.result()
            if step + steps.step in steps:
                pending = submit(step + steps.step)
            return samples

        yield wait


def _raised(one: Sample | Exception) -> Sample:
    if isinstance(one, Exception):
        raise one
    return one


def _limit_to_one_core(worker: ThreadPoolExecutor) -> None:
    """Keep the drawing thread from starting threads of its own, which would compete with those of the training."""
    threads = torch.get_num_threads()
    worker.submit(torch.set_num_threads, 1).result()
    torch.set_num_threads(threads)  # what is not kept by thread was changed for this one, too
