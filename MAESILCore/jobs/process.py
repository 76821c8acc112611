"""Starting a hidden process of Python and ending it with all of its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO


def start_python(python: str, script: Path, *arguments: str, log: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """Start a script in a process group of its own, without a console window, below the priority of the GUI.

    Args:
        python: the interpreter; 3D Slicer's is a launcher whose child is the real one.
        script: absolute path.
        arguments: of the script.
        log: where stderr goes.

    Raises:
        OSError: there is no such interpreter.
    """
    command = [python, "-u", str(script), *arguments]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}
    flags = 0
    if sys.platform == "win32":
        flags = (
            subprocess.CREATE_NO_WINDOW
            | subprocess.CREATE_NEW_PROCESS_GROUP
            | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        )
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=environment,
        creationflags=flags,
        start_new_session=sys.platform != "win32",
    )


def end_tree(process: subprocess.Popen[bytes], *, at_once: bool) -> None:
    """End a process of `start_python` with all of its children.

    Args:
        process: the process. Its children may outlive it, so it is not asked whether it still runs: to be called only
            while something of the tree holds its stdout open.
        at_once: without a chance to say anything.
    """
    if sys.platform == "win32":
        subprocess.run(
            ["taskkill", "/T", "/F", "/PID", str(process.pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            creationflags=subprocess.CREATE_NO_WINDOW,
            check=False,
        )
        return
    # Where all have just ended, Linux knows no such group any more and macOS does not let it be signalled.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL if at_once else signal.SIGTERM)
