"""Starts `examine.py` in a process of its own and collects what it prints; nothing waits unless asked to."""

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

#: A first start of PyTorch from a slow disk under a virus scanner has been seen to take more than a minute.
SECONDS = 180.0
#: More for the process to end by itself before it is ended.
_GRACE = 5.0
_SECONDS_BETWEEN_LOOKS = 0.05
_LONGEST_ERRORS = 4000


class Probe:
    """One examination of the machine by a child process.

    Args:
        packages: distributions whose versions are wanted.
        python: the interpreter to examine; the one that runs this by default, which in Slicer is PythonSlicer.
        environment: of the child; this process's by default.
        timeout: seconds after which the child is ended; what it has told until then counts.
        measure: also measure how fast each device is, which takes some seconds a device.
    """

    def __init__(
        self,
        packages: Iterable[str] = (),
        python: str | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float = SECONDS,
        measure: bool = False,
    ) -> None:
        options = ["--measure"] if measure else []
        self._command = [python or sys.executable, "-u", str(PROGRAM), str(timeout), *options, *packages]
        self._environment = {
            **(os.environ if environment is None else environment),
            "PYTHONIOENCODING": "utf-8",
        }
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._facts: dict[str, Any] | None = None

    def start(self) -> None:
        """Start the child and return at once."""
        # Files, not pipes: nobody reads while it runs, and a full pipe would stop it. Windows does not remove the files
        # of a child that outlives its launcher; they are a few bytes.
        self._folder = TemporaryDirectory(prefix="MAESIL-", ignore_cleanup_errors=True)
        self._output, self._errors = Path(self._folder.name, "output"), Path(self._folder.name, "errors")
        self._deadline = time.monotonic() + self._timeout + _GRACE
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
            self._finish({"timed_out": False, "exit_code": None, "errors": error.strerror or str(error)})

    def poll(self) -> dict[str, Any] | None:
        """What the child has found, or None while it is still looking.

        Returns:
            machine, packages, torch, speeds (as `examine.py` prints them; missing where it did not get so far),
            timed_out, exit_code, errors (the end of what it wrote besides).
        """
        process = self._process
        if self._facts is not None or process is None:
            return self._facts
        code = process.poll()
        if code is None and time.monotonic() < self._deadline:
            return None
        if code is None:
            self._kill(process)
        facts = self._read()
        late = code is None or "Timeout (" in facts["errors"]
        self._finish({"timed_out": late, "exit_code": code, **facts})
        return self._facts

    def wait(self) -> dict[str, Any]:
        """Wait until the child has ended; start it if need be."""
        if self._process is None and self._facts is None:
            self.start()
        while (facts := self.poll()) is None:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        return facts

    def close(self) -> None:
        """End the child if it still runs; what it has found is dropped."""
        if self._process is not None and self._facts is None:
            self._kill(self._process)
            self._finish({"timed_out": True, "exit_code": None, "errors": ""})

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()

    def _read(self) -> dict[str, Any]:
        """The parts that arrived whole, and the end of the error stream."""
        found: dict[str, Any] = {}
        for line in self._output.read_text(encoding="utf-8", errors="replace").splitlines():
            # A launcher or a library may print beside it, and a crash can cut the last line.
            try:
                part = json.loads(line)
            except ValueError:
                continue
            if isinstance(part, dict) and "part" in part:
                found[part["part"]] = part
        found["errors"] = self._errors.read_text(encoding="utf-8", errors="replace")[-_LONGEST_ERRORS:]
        return found

    def _finish(self, facts: dict[str, Any]) -> None:
        self._folder.cleanup()
        self._facts = facts
