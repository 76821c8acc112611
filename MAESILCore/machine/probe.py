"""Runs `examine.py` in a child process and collects its output; only `wait` blocks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PROGRAM = Path(__file__).with_name("examine.py")

#: Default timeout: the first import of PyTorch from a slow disk with a virus scanner can take over a minute.
SECONDS = 180.0
#: Further seconds for the child to end by itself before it is killed.
_GRACE = 5.0
_POLL_SECONDS = 0.05
_MOST_ERRORS = 4000


class Probe:
    """One examination of the machine by a child process.

    Args:
        packages: distributions to look up.
        python: the interpreter to examine; default: the current one, in Slicer PythonSlicer.
        environment: environment of the child; default: that of this process.
        timeout: seconds until the child is ended; its output so far is kept.
        measure: whether to measure the speed of each device, which takes some seconds per device.

    Attributes:
        python: the interpreter.
        timeout: as given.
    """

    def __init__(
        self,
        packages: Iterable[str] = (),
        python: str | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float = SECONDS,
        measure: bool = False,
    ) -> None:
        self.python, self.timeout = python or sys.executable, timeout
        options = ["--measure"] if measure else []
        self._command = [self.python, "-u", str(PROGRAM), str(timeout), *options, *packages]
        given = os.environ if environment is None else environment
        self._environment = {**given, "PYTHONIOENCODING": "utf-8"}
        self._process: subprocess.Popen[bytes] | None = None
        self._facts: dict[str, Any] | None = None

    def start(self) -> None:
        """Start the child and return at once."""
        # Files, not pipes: a full pipe would block the child. On Windows the files of a child that outlives its
        # launcher remain; they are small.
        self._folder = TemporaryDirectory(prefix="MAESIL-", ignore_cleanup_errors=True)
        self._output, self._errors = Path(self._folder.name, "output"), Path(self._folder.name, "errors")
        self._deadline = time.monotonic() + self.timeout + _GRACE
        try:
            with self._output.open("wb") as output, self._errors.open("wb") as errors:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    env=self._environment,
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as error:
            self._finish(timed_out=False, exit_code=None, errors=error.strerror or str(error))

    def poll(self) -> dict[str, Any] | None:
        """The results of the child; None while it runs.

        Returns:
            machine, packages, torch, speeds (as printed by `examine.py`; missing if it ended before), timed_out,
            exit_code, errors (the end of stderr).
        """
        process = self._process
        if self._facts is not None or process is None:
            return self._facts
        code = process.poll()
        if code is None and time.monotonic() < self._deadline:
            return None
        process.kill()  # no effect on one that has ended
        process.wait()
        facts = self._read()
        is_late = code is None or "Timeout (" in facts["errors"]
        self._finish(timed_out=is_late, exit_code=code, **facts)
        return self._facts

    def wait(self) -> dict[str, Any]:
        """Wait for the results; starts the child if necessary."""
        if self._process is None and self._facts is None:
            self.start()
        while (facts := self.poll()) is None:
            time.sleep(_POLL_SECONDS)
        return facts

    def close(self) -> None:
        """End the child if it runs; its results are dropped."""
        if self._process is not None and self._facts is None:
            self._process.kill()
            self._process.wait()
            self._finish(timed_out=True, exit_code=None, errors="")

    def _read(self) -> dict[str, Any]:
        """The complete parts, and the end of stderr."""
        found: dict[str, Any] = {}
        for line in self._output.read_text(encoding="utf-8", errors="replace").splitlines():
            # Launchers and libraries may print other lines, and a crash can cut the last one.
            try:
                part = json.loads(line)
            except ValueError:
                continue
            if isinstance(part, dict) and "part" in part:
                found[part["part"]] = part
        found["errors"] = self._errors.read_text(encoding="utf-8", errors="replace")[-_MOST_ERRORS:]
        return found

    def _finish(self, **facts: Any) -> None:  # noqa: ANN401 - see `poll`
        self._folder.cleanup()
        self._facts = facts
