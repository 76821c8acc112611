"""Runs work in processes of this machine, or of a Dask cluster, through joblib."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack
from typing import Any, Generic, TypeVar

from MAESILCore.errors import ConfigError
from MAESILCore.optional import require

Result = TypeVar("Result")

#: Seconds to wait for a cluster's scheduler and for its first worker.
_PATIENCE = 15


def in_parallel(
    work: Callable[..., Result],
    arguments: Iterable[tuple[Any, ...]],
    *,
    jobs: int,
    cluster: str | None = None,
) -> Generator[Result, None, None]:
    """Call `work` for each tuple of arguments; yields the results in order.

    Args:
        work: a function of a module, which workers import.
        arguments: the arguments of each call.
        jobs: processes of this machine, at most one per call; 1 works in this process.
        cluster: address of a Dask scheduler, which replaces them. Dask repeats the work of a worker that dies.

    Raises:
        ConfigError: the cluster cannot be reached, or workers died.
        Exception: any exception of `work`.
    """
    joblib: Any = require("joblib", "Parallel work")
    arguments = list(arguments)
    jobs = max(1, min(jobs, len(arguments)))
    # Ctrl-C in a terminal reaches all processes; this one ends its workers.
    function = _WithoutInterrupts(work) if cluster is None and jobs > 1 else work
    calls = [joblib.delayed(function)(*each) for each in arguments]
    with ExitStack() as stack:
        if cluster is not None:
            stack.enter_context(
                joblib.parallel_config(backend="dask", client=stack.enter_context(_client(cluster)))
            )
            parallel = joblib.Parallel(n_jobs=-1, return_as="generator", batch_size=1)
        else:
            parallel = joblib.Parallel(
                n_jobs=jobs, backend="loky" if jobs > 1 else "sequential", return_as="generator", batch_size=1
            )
        try:
            results = parallel(calls)
            stack.callback(results.close)
            yield from results
        except Exception as error:
            if type(error).__name__ not in _DEATHS:
                raise
            raise ConfigError(
                "A worker process ended without a result, most likely because memory ran out: "
                "run again with fewer --jobs, or with workers that have more memory."
            ) from error


#: Exceptions of joblib and Dask after the death of workers.
_DEATHS = ("TerminatedWorkerError", "BrokenProcessPool", "KilledWorker")


class _WithoutInterrupts(Generic[Result]):
    """A function that ignores Ctrl-C in its process from then on."""

    def __init__(self, work: Callable[..., Result]) -> None:
        self._work = work

    def __call__(self, *arguments: Any) -> Result:  # noqa: ANN401 - those of `work`
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return self._work(*arguments)


def _client(address: str) -> Any:  # noqa: ANN401 - of an optional package
    distributed: Any = require("distributed", "A Dask cluster")
    try:
        return distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"There is no Dask scheduler at {address}: give the address that it prints when it starts, "
            "such as tcp://host:8786."
        ) from error
