"""Starts Python processes without a window, sets their priority, and ends them with all of their children."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from MAESILCore.optional import require

#: Linux gives a process of this niceness a tenth of a core that it shares with a normal one.
NICENESS = 10


def start_python(
    python: str, script: Path, *arguments: str, log: IO[bytes], detached: bool = False
) -> subprocess.Popen[bytes]:
    """Start a script in its own session, without a console window.

    Args:
        python: the interpreter; it may be a launcher whose child does the work, as in 3D Slicer.
        script: absolute path of the script.
        arguments: arguments of the script.
        log: file for stdout and stderr.
        detached: whether the process outlives this one, its terminal and its window.

    Raises:
        OSError: the interpreter cannot be started.
    """
    options: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": log,
        "stderr": log,
        "env": {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"},
        "start_new_session": sys.platform != "win32",
    }
    command = [python, "-u", str(script), *arguments]
    if sys.platform == "win32":
        # Children inherit the priority.
        flags = (
            subprocess.CREATE_NO_WINDOW
            | subprocess.CREATE_NEW_PROCESS_GROUP
            | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        )
        if detached:
            # A launcher may end all processes of its job object with itself. It may also forbid them to leave it.
            leaving = flags | subprocess.CREATE_BREAKAWAY_FROM_JOB
            with suppress(PermissionError):
                return subprocess.Popen(command, creationflags=leaving, **options)
        options["creationflags"] = flags
    return subprocess.Popen(command, **options)


def lower_priority() -> None:
    """Lower the priority of this process and its later threads; on Windows `start_python` does."""
    if sys.platform != "win32":
        # A sandbox may forbid it; the job then keeps normal priority.
        with suppress(OSError):
            os.nice(NICENESS)


def release(process: subprocess.Popen[bytes]) -> None:
    """Stop caring for a process without ending it."""
    _released[:] = [one for one in (*_released, process) if one.poll() is None]


#: Released processes that still run; Python warns when a `Popen` of a running process is deleted.
_released: list[subprocess.Popen[bytes]] = []


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


def end_children() -> None:
    """Kill all processes that this one has started."""
    psutil: Any = require("psutil", "Ending a job")
    end_trees([child.pid for child in psutil.Process().children()], at_once=True)
