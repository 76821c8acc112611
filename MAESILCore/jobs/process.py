"""Starts Python processes without a window, and ends them with all of their children."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from MAESILCore.jobs.priority import creation_flags
from MAESILCore.optional import require


class PythonProcess:
    """A script in its own session, without a console window.

    The interpreter may be a launcher whose child does the work, as in 3D Slicer.

    Args:
        python: the interpreter.
        script: absolute path of the script.
        arguments: arguments of the script.
        log: file for stdout and stderr.

    Raises:
        OSError: the interpreter cannot be started.
    """

    def __init__(self, python: str, script: Path, *arguments: str, log: IO[bytes]) -> None:
        self._process = subprocess.Popen(
            [python, "-u", str(script), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"},
            creationflags=creation_flags(),
            start_new_session=sys.platform != "win32",
        )

    @property
    def status(self) -> int | None:
        """The exit status of the started process, negative for a signal; None while it runs."""
        return self._process.poll()

    def end(self, *, at_once: bool, worker: int | None = None) -> None:
        """End the process with all of its children.

        Args:
            at_once: kill instead of terminate.
            worker: process id of the worker, in case its launcher has ended.
        """
        roots = [pid for pid in (self._process.pid, worker) if pid is not None]
        # The id of an ended process may belong to another one by now.
        end_trees(roots if self.status is None else roots[1:], at_once=at_once)

    def close(self, timeout: float = 3.0, worker: int | None = None) -> None:
        """Kill the process with all of its children, and wait at most `timeout` seconds."""
        self.end(at_once=True, worker=worker)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)

    def let_go(self) -> None:
        """Release the process without ending it."""
        _let_go[:] = [process for process in (*_let_go, self._process) if process.poll() is None]


#: Released processes that still run; Python warns when a `Popen` of a running process is deleted.
_let_go: list[subprocess.Popen[bytes]] = []


def end_trees(pids: Iterable[int], *, at_once: bool) -> None:
    """End processes with all of their children.

    Args:
        pids: process ids; unknown ones are skipped.
        at_once: kill instead of terminate.
    """
    psutil: Any = require("psutil", "Ending a job")
    found: list[Any] = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            found += [root, *root.children(recursive=True)]
    for process in dict.fromkeys(found):
        with suppress(psutil.NoSuchProcess):
            process.kill() if at_once else process.terminate()
