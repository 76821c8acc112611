"""The usable devices, from the results of an examination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from MAESILCore.jobfolder.failures import message_of_exit, sentence, shortened
from MAESILCore.machine.probe import Probe


@dataclass(frozen=True)
class Device:
    """A device of PyTorch.

    Attributes:
        id: cpu, cuda:N or mps.
        name: display name.
        total_bytes: memory; None if unknown.
        free_bytes: free memory; None if unknown.
        problem: why the device cannot be used, or "".
        seconds_per_megavoxel: speed of the bundled model; None if not measured.
    """

    id: str
    name: str
    total_bytes: int | None = None
    free_bytes: int | None = None
    problem: str = ""
    seconds_per_megavoxel: float | None = None


@dataclass(frozen=True)
class DeviceReport:
    """The devices of a Python.

    Attributes:
        devices: the usable devices, CUDA first, the CPU last; empty if PyTorch cannot be used.
        error: a sentence if something is missing or broken, else "".
    """

    devices: tuple[Device, ...]
    error: str


class DeviceProbe:
    """Examines the devices of a Python in a child process, without blocking.

    Args:
        python: the interpreter; default: the current one.
        measure: whether to measure the speed of each device, which takes some seconds per device.
        timeout: seconds until the child is ended. The first import of PyTorch after its installation can take a minute.
    """

    def __init__(self, python: str | None = None, *, measure: bool = False, timeout: float = 120.0) -> None:
        self._probe = Probe((), python, timeout=timeout, measure=measure)
        self._probe.start()

    def poll(self) -> DeviceReport | None:
        """The report; None while the child runs."""
        facts = self._probe.poll()
        return None if facts is None else self._report_of(facts)

    def wait(self) -> DeviceReport:
        """Wait for the report."""
        return self._report_of(self._probe.wait())

    def close(self) -> None:
        """End the child if it still runs."""
        self._probe.close()

    def _report_of(self, facts: Mapping[str, Any]) -> DeviceReport:
        torch, speeds = facts.get("torch", {}), facts.get("speeds", {})
        works = torch.get("version") and not torch.get("error")
        devices = devices_of(torch, speeds) if works else ()
        return DeviceReport(
            tuple(device for device in devices if not device.problem),
            self._error_of(facts) or speeds.get("error", ""),
        )

    def _error_of(self, facts: Mapping[str, Any]) -> str:
        torch, timeout = facts.get("torch"), self._probe.timeout
        if facts["exit_code"] is None and not facts["timed_out"]:
            reason = facts["errors"]
            return f"The Python {shortened(self._probe.python)} cannot be started ({reason}); choose another one."
        if torch is None and facts["timed_out"]:
            return f"PyTorch did not start within {timeout:g} s; the computer is busy, or PyTorch is broken."
        if torch is None:
            return message_of_exit(facts["exit_code"], facts["errors"])
        if not torch["installed"]:
            return sentence("job.no-pytorch")
        return sentence("job.broken-pytorch", reason=shortened(torch["error"])) if torch["error"] else ""


def devices_of(torch: Mapping[str, Any], speeds: Mapping[str, Any] | None = None) -> tuple[Device, ...]:
    """The devices of a working PyTorch, unusable ones included.

    Args:
        torch: the part `torch` of the results of `examine.py`.
        speeds: the part `speeds`, if measured.
    """
    measured = (speeds or {}).get("seconds_per_megavoxel", {})
    found = [
        Device(**device, seconds_per_megavoxel=measured.get(device["id"]))
        for device in torch.get("devices", ())
    ]
    if torch.get("mps"):
        problem, rate = torch.get("mps_problem", ""), measured.get("mps")
        found.append(Device("mps", "Apple GPU", problem=problem, seconds_per_megavoxel=rate))
    processor = torch.get("processor", {"name": "Processor"})
    return (*found, Device("cpu", **processor, seconds_per_megavoxel=measured.get("cpu")))
