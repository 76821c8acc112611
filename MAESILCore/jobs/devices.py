"""Which devices there are and how fast they are, found out in a child process: the asking one needs no PyTorch."""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from MAESILCore.jobfolder.failures import message_of_exit, shortened
from MAESILCore.jobs.process import PythonProcess
from MAESILCore.jobs.reconstruct import stages_of
from MAESILCore.jobs.speed import voxels_to_pass

if TYPE_CHECKING:
    from MAESILCore.lattice import Mask, SuperpatchGrid

PROBE = Path(__file__).with_name("probe.py")

#: A PyTorch that is imported for the first time after its installation can take a minute.
USUAL_TIMEOUT = 120.0

#: Start of Python, PyTorch and model.
_START_SECONDS = 5.0


@dataclass(frozen=True)
class Device:
    """A device that work can run on.

    Attributes:
        id: cpu, cuda:N or mps.
        name: for people.
        total_bytes: its memory.
        free_bytes: what of that is free now; None where the system does not tell.
        seconds_per_megavoxel: of the bundled model; None if not measured (yet).
    """

    id: str
    name: str
    total_bytes: int
    free_bytes: int | None
    seconds_per_megavoxel: float | None = None


@dataclass(frozen=True)
class DeviceReport:
    """What a Python can reconstruct with.

    Attributes:
        devices: the fastest kind first, the CPU last; empty where PyTorch cannot be used.
        torch: version of PyTorch, None if it cannot be imported.
        cuda: version of CUDA that PyTorch was built for, None if for none.
        error: a sentence if something is missing or broken.
        details: what PyTorch and Python themselves said, for diagnostics; no user's name, no path of a home folder.
        is_complete: False while speeds are still being measured.
    """

    devices: tuple[Device, ...] = ()
    torch: str | None = None
    cuda: str | None = None
    error: str | None = None
    details: str = ""
    is_complete: bool = False


class DeviceProbe:
    """Asks a Python for its devices without making anyone wait.

    Args:
        python: the interpreter.
        measure: also measure how fast each one is, which takes some seconds a device.
        timeout: seconds after which it is given up.
    """

    def __init__(
        self, python: str = sys.executable, *, measure: bool = False, timeout: float = USUAL_TIMEOUT
    ) -> None:
        self._timeout, self._until = timeout, time.monotonic() + timeout
        self._report: DeviceReport | None = None
        self._process: PythonProcess | None = None
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        arguments = ["--measure"] if measure else []
        try:
            self._process = PythonProcess(python, PROBE, *arguments, output=self._output, log=self._log)
        except OSError as error:
            reason = error.strerror or error
            self._finish(f"The Python {shortened(python)} cannot be started ({reason}); choose another one.")

    def poll(self) -> DeviceReport | None:
        """The newest report, None as long as there is none; never waits. No more comes once `is_complete`."""
        if self._process is None:
            return self._report
        status = self._process.status
        self._output.seek(0)
        for line in self._output:
            self._report = _parse(line) or self._report
        if self._report is not None and self._report.is_complete:
            self._finish(self._report.error)
        elif status is not None:
            self._finish(message_of_exit(status, _tail_of(self._log)).text)
        elif time.monotonic() > self._until:
            self._finish(
                f"PyTorch did not answer in {self._timeout:g} s: the computer is busy, or PyTorch is broken."
            )
        return self._report

    def _finish(self, error: str | None) -> None:
        report = self._report or DeviceReport()
        told = (report.details, _tail_of(self._log) if error else "")
        details = "\n".join(text for text in told if text)
        self._report = replace(report, error=error, details=details, is_complete=True)
        self.close()

    def close(self) -> None:
        """End the child if it still runs."""
        if self._process is not None:
            self._process.close()
            self._process = None
        self._output.close()
        self._log.close()


def probe_devices(
    python: str = sys.executable, *, measure: bool = False, timeout: float = USUAL_TIMEOUT
) -> DeviceReport:
    """Ask a Python for its devices and wait for the answer; see `DeviceProbe`."""
    probe = DeviceProbe(python, measure=measure, timeout=timeout)
    while True:
        report = probe.poll()
        if report is not None and report.is_complete:
            return report
        time.sleep(0.02)


def estimate_seconds(
    grid: SuperpatchGrid, coverage: int, device: Device, mask: Mask | None = None, *, scores: bool = True
) -> float | None:
    """How long a reconstruction takes, from start to result; None if the device's speed was not measured.

    Args:
        grid: with the overlap that the reconstruction will have.
        coverage: masks; 0 for a single one.
        device: from a report.
        mask: a single mask, which spares superpatches where it hides nothing.
        scores: whether the result is scored.
    """
    if device.seconds_per_megavoxel is None:
        return None
    after = sum(stages_of(math.prod(grid.shape), scores=scores).values())
    passes = voxels_to_pass(grid, coverage, mask) / 1e6 * device.seconds_per_megavoxel
    return _START_SECONDS + passes + after


def estimate_text(seconds: float) -> str:
    """A duration as one would say it: "about 40 s", "about 3 min", "about 1.5 h"."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"about {round(seconds, -1):.0f} s"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def _parse(line: bytes) -> DeviceReport | None:
    """The report of a line, None if the line is something else."""
    try:
        told = json.loads(line)
        devices = tuple(Device(**device) for device in told.pop("devices"))
        return DeviceReport(devices=devices, **told)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _tail_of(log: IO[bytes]) -> str:
    """The end of a log as text, without the user's name."""
    log.seek(max(0, log.seek(0, 2) - 8000))
    return shortened(log.read().decode("utf-8", errors="replace"), 16000)
