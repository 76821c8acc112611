"""A hidden process of Python that is listened to line by line, and ended with all of its children."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from MAESILCore.jobs.parent import GREETING, PARENT
from MAESILCore.jobs.priority import creation_flags

#: How long a launcher may take to end after its child has.
_LAUNCHER_SECONDS = 1.5


class PythonProcess:
    """A script in a process group of its own, without a console window.

    The interpreter may be a launcher whose child is the real one, as in 3D Slicer: nothing here relies on the process
    that was started being the one that works. It lives as long as its stdout is open.

    Args:
        python: the interpreter.
        script: absolute path.
        arguments: of the script.
        log: where stderr goes.

    Raises:
        OSError: there is no such interpreter.
    """

    def __init__(self, python: str, script: Path, *arguments: str, log: IO[bytes]) -> None:
        self._process = subprocess.Popen(
            [python, "-u", str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={
                **os.environ,
                "PYTHONIOENCODING": "utf-8",
                "PYTHONUNBUFFERED": "1",
                PARENT: str(os.getpid()),
            },
            creationflags=creation_flags(),
            start_new_session=sys.platform != "win32",
        )
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._silent_since: float | None = None
        # One that is dead already shows in `status`.
        with suppress(OSError):
            self._stdin.write(GREETING)
            self._stdin.flush()
        self._reader = threading.Thread(target=self._read, name=script.stem, daemon=True)
        self._reader.start()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._silent_since = time.monotonic()

    def new_lines(self) -> list[bytes]:
        """What was written to stdout since the last call."""
        lines = []
        with suppress(queue.Empty):
            while True:
                lines.append(self._lines.get_nowait())
        return lines

    @property
    def status(self) -> int | None:
        """The exit status once everything has ended and all lines are here, negative for a signal; else None."""
        if self._silent_since is None:
            return None
        status = self._process.poll()
        if status is None and time.monotonic() > self._silent_since + _LAUNCHER_SECONDS:
            self._process.kill()
        return status

    def end(self, *, at_once: bool) -> None:
        """End the process with all of its children.

        Args:
            at_once: without a chance to say anything.
        """
        if self._silent_since is not None:
            return
        if sys.platform == "win32":
            _end_tree_of_windows(self._process.pid)
        else:
            # Where all have just ended, Linux knows no such group any more and macOS does not let it be signalled.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL if at_once else signal.SIGTERM)

    def close(self, timeout: float = 3.0) -> None:
        """End everything at once and wait for that, at most so many seconds."""
        self.end(at_once=True)
        with suppress(OSError):
            self._stdin.close()
        self._reader.join(timeout)
        if self._process.poll() is None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)


def _end_tree_of_windows(process_id: int) -> None:
    if sys.platform == "win32":
        subprocess.run(
            ["taskkill", "/T", "/F", "/PID", str(process_id)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            creationflags=subprocess.CREATE_NO_WINDOW,
            check=False,
        )
