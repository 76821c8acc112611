"""Starts `maesil` commands in processes of their own, forked from one that has imported PyTorch and Lightning.

That import takes seconds of processor time, a tiny training hardly any. What a test of several processes is about is
as in a fresh interpreter: signals, exit status, environment, messages, and memory that is not shared.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

_LINUX = sys.platform.startswith("linux")
# A fork without an exec is safe with the libraries of Linux alone.
_CONTEXT: Any = multiprocessing.get_context("forkserver" if _LINUX else "spawn")
_PRELOADED = [
    "MAESILCore.cli.pretrain",
    "MAESILCore.training.trainer",
    "lightning_fabric.fabric",
    "monai.networks.nets.autoencoderkl",
    "torch._dynamo",
    "sympy",
]


class Command:
    """A running `maesil` command.

    Args:
        arguments: of the command line.
        log: file for stderr; it must not exist. What is printed goes beside it, into a file that ends in `.out`.
        variables: environment variables beside those of this process.
        encoding: of stdout and stderr.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        variables: Mapping[str, str] = {},
        encoding: str = "utf-8",
    ) -> None:
        self._log = log
        if _LINUX:
            # The server is that of the loader's processes, too: where a test has started it, the command imports more.
            _CONTEXT.set_forkserver_preload(_PRELOADED)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
        self._process = _CONTEXT.Process(target=_main, args=(tuple(arguments), log, environment, encoding))
        self._process.start()

    @property
    def status(self) -> int | None:
        """The exit status, the negative signal of a killed process, or None as long as it runs."""
        status: int | None = self._process.exitcode
        return status

    def send(self, number: int) -> None:
        """Send a signal."""
        os.kill(self._process.pid, number)

    def wait(self, seconds: float = 120.0) -> tuple[int, str]:
        """Wait for the end; returns the exit status and the messages, in one line."""
        self._process.join(seconds)
        said = " ".join(self._log.read_text(encoding="utf-8").split()) if self._log.is_file() else ""
        assert self.status is not None, f"still running after {seconds} s: {said}"
        return self.status, said

    def kill(self) -> None:
        """Kill it if it still runs."""
        self._process.kill()
        self._process.join()


def _main(arguments: tuple[str, ...], log: Path, environment: dict[str, str], encoding: str) -> None:
    """What the process does."""
    with open(log.with_suffix(".out"), "xb") as printed, open(log, "xb", buffering=0) as file:
        os.dup2(printed.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # As in a fresh interpreter that was told this encoding.
    for stream, errors in ((sys.stdout, "strict"), (sys.stderr, "backslashreplace")):
        stream.reconfigure(encoding=encoding, errors=errors)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["maesil", *arguments]
    from MAESILCore.cli import main

    sys.exit(main())


@contextmanager
def started(arguments: Sequence[str], logs: Path, processes: int = 1) -> Iterator[list[Command]]:
    """The processes of one command, each started alone as a scheduler does; none outlives the block.

    Args:
        arguments: of the command line.
        logs: existing folder for their messages.
        processes: their number; more than one find each other by the variables of torchrun.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    first = len(list(logs.glob("*.log")))
    running = []
    try:
        for rank in range(processes):
            own = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {}
            running.append(Command(arguments, logs / f"{first + rank}.log", own))
        yield running
    finally:
        for command in running:
            command.kill()


def wait_until(happened: Callable[[], object], running: Sequence[Command], seconds: float = 120.0) -> None:
    """Wait for something that the commands do, all of which must still run."""
    patience = monotonic() + seconds
    while not happened():
        assert all(command.status is None for command in running), [command.wait() for command in running]
        assert monotonic() < patience
        sleep(0.02)
