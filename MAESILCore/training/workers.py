"""Draws samples in worker processes, for sources whose decoding is slower than a step."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from MAESILCore.errors import ConfigError, MaesilError
from MAESILCore.training.source import Sample, SampleKey, SampleSource

#: Signals that ask the training to stop; it then ends its workers itself.
_STOPS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
#: Seconds for workers to end by themselves; after that they are killed, as they may be decoding a large scan.
_GRACE = 1.0

#: What a worker returns: a sample without its arrays, and the arrays as tensors, which torch sends through shared
#: memory; or why the sample could not be drawn.
_Sent = tuple[Sample, torch.Tensor, torch.Tensor | None] | Exception


class WorkerError(MaesilError):
    """A worker process ended before it returned its sample."""


@contextmanager
def drawing_workers(
    source: SampleSource, keys: Iterable[SampleKey], count: int, ahead: int
) -> Iterator[Iterator[Sample | Exception]]:
    """Start worker processes that draw samples, and end them at the end of the block.

    A worker also ends when this process ends, however it ends.

    Args:
        source: draws the samples; must be picklable.
        keys: the keys of the samples, in order; read when their turn comes.
        count: number of workers.
        ahead: least number of samples to draw ahead.

    Yields:
        The samples in the order of the keys; instead of a sample the problem that its drawing met.

    Raises:
        ConfigError: the source cannot be pickled.
        WorkerError: raised by the iterator when a worker has ended.
    """
    # A fork would copy locks that threads of this process hold. The server is started anew and imports torch once.
    is_server = "forkserver" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if is_server else "spawn")
    if is_server:
        context.set_forkserver_preload([__name__])
    loader: Any = DataLoader(
        _Draws(source),
        batch_size=None,
        sampler=keys,
        num_workers=count,
        collate_fn=_unchanged,
        prefetch_factor=max(2, -(-ahead // count)),
        worker_init_fn=_live_as_the_training,
        multiprocessing_context=context,
        generator=torch.Generator(),  # the loader draws a seed, which must not come from the generator of the training
    )
    before = set(multiprocessing.active_children())
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Got pickle error")  # the error says it
            sent: Any = iter(loader)
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise ConfigError(
            f"The source of the samples cannot be sent to worker processes ({error}): set workers to 0."
        ) from error
    workers = set(multiprocessing.active_children()) - before
    try:
        yield _received(sent)
    finally:
        late = threading.Timer(_GRACE, _kill, [workers])
        late.start()
        # A loader does so when it is collected, but the traceback of an error can keep it.
        sent._shutdown_workers()
        late.cancel()


def _kill(workers: Iterable[BaseProcess]) -> None:
    for worker in workers:
        worker.kill()


def _received(sent: Iterator[_Sent]) -> Iterator[Sample | Exception]:
    while True:
        try:
            one = next(sent)
        except StopIteration:
            return
        except Exception as error:  # several kinds, by what the worker was doing when it ended
            raise WorkerError(
                "A worker process that draws samples has ended, perhaps for lack of memory: "
                "resume the run, with fewer workers if it happens again."
            ) from error
        if isinstance(one, Exception):
            yield one
        else:
            sample, voxels, stages = one
            yield replace(sample, voxels=voxels.numpy(), stages=None if stages is None else stages.numpy())


class _Draws(Dataset[_Sent]):
    """Draws the sample of a key in a worker."""

    def __init__(self, source: SampleSource) -> None:
        self._source = source

    def __getitem__(self, key: SampleKey) -> _Sent:
        try:
            sample = self._source.draw(key)
        except Exception as error:
            return _picklable(error)
        stages = None if sample.stages is None else torch.from_numpy(sample.stages)
        voxels = torch.from_numpy(sample.voxels)
        return replace(sample, voxels=_NOTHING, stages=None), voxels, stages


_NOTHING = torch.empty(0).numpy()


def _picklable(error: Exception) -> Exception:
    """The error, or one with the same message if pickling changes it; bugs keep their traceback as a note."""
    is_mistake = isinstance(error, MaesilError)
    if not is_mistake:
        error.add_note(traceback.format_exc())
    try:
        if str(ForkingPickler.loads(ForkingPickler.dumps(error))) == str(error):  # as the queue does
            return error
    except Exception as problem:  # what the error's own code raises
        error.add_note(f"It could not be pickled: {problem}")
    plain = MaesilError(str(error)) if is_mistake else RuntimeError(f"{type(error).__name__}: {error}")
    for note in getattr(error, "__notes__", ()):
        plain.add_note(note)
    return plain


def _unchanged(one: Any) -> Any:  # noqa: ANN401 - as torch declares it
    return one


def _live_as_the_training(_: int) -> None:
    """Leave signals to the training, and end when it ends, also when it was killed."""
    for name in _STOPS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    # The loader watches the fork server instead, which lives as long as its workers.
    threading.Thread(target=_end_with, args=[multiprocessing.parent_process()], daemon=True).start()


def _end_with(training: Any) -> None:  # noqa: ANN401 - typeshed does not export the type
    training.join()
    os._exit(1)
