"""The system check: whether reconstructions can run on this computer, on which devices, and what to repair first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from packaging.requirements import Requirement

from MAESILCore.machine import Device, Probe, devices_of
from MAESILSlicerLib.system import drivers, requirements, wording
from MAESILSlicerLib.system.messages import Explanation, explain, explanation
from MAESILSlicerLib.system.report import Application, SystemReport

OLDEST_TORCH = "2.2"

#: Explanations accepted as the cause of a failed `import torch`; matches of others are side effects.
_CAUSES_OF_A_BROKEN_TORCH = (
    *("windows-long-path", "windows-runtime-missing", "system-libraries-old"),
    *("numpy-mismatch", "memory", "torch-broken"),
)

#: Problems with which PyTorch loads but cannot be used.
_BLOCKING = frozenset({"numpy-mismatch", "numpy-mismatch-mac", "torch-old", "packages-missing"})


class SystemCheck:
    """A background system check: call `start`, then `poll` several times a second until it returns a report.

    Args:
        probe: examines the machine; by default in a child process of the current Python.
        application: facts about the running application; by default read when the check ends.
    """

    def __init__(self, probe: Probe | None = None, application: Application | None = None) -> None:
        needed = [need.name for need in requirements.needed()]
        self._probe = probe or Probe(["torchvision", "numpy", "pydicom", "SimpleITK", *needed])
        self._application = application
        self._report: SystemReport | None = None

    def start(self) -> None:
        """Start the check and return at once."""
        self._probe.start()

    def poll(self) -> SystemReport | None:
        """The report; None while the check runs."""
        facts = self._probe.poll() if self._report is None else None
        if facts is not None:
            self._report = judge(facts, self._application or Application.current())
        return self._report

    def wait(self) -> SystemReport:
        """Run the whole check, which takes several seconds, and return its report."""
        self._report = judge(self._probe.wait(), self._application or Application.current())
        return self._report

    def close(self) -> None:
        """Stop the check."""
        self._probe.close()


def judge(facts: Mapping[str, Any], application: Application) -> SystemReport:
    """Make the report from the facts of the child process."""
    machine, torch = facts.get("machine", {}), facts.get("torch", {})
    versions = facts.get("packages", {}).get("versions", {})
    missing = requirements.unmet(versions) if versions else []
    works = bool(torch.get("version")) and not torch.get("error")
    problem = _firstProblem(facts, missing, application)
    report = SystemReport(
        line="",
        canCompute=works and (problem is None or problem.id not in _BLOCKING),
        problem=problem,
        gpus=tuple(gpu["name"] for gpu in machine.get("gpus", ())),
        driver=machine.get("driver"),
        hasTorch=torch.get("installed", "machine" in facts),
        hasPyTorchExtension=application.hasPyTorchExtension,
        torchVersion=torch["version"] if works else None,
        build=_build(torch) if works else "",
        # The CPU's model name does not help to choose between it and a GPU.
        devices=(*devices_of(torch)[:-1], Device("cpu", "Processor")) if works else (),
        missing=tuple(missing),
        system=machine.get("system", ""),
        python=machine.get("python", ""),
        errors=_errors(facts),
    )
    return replace(
        report, line=wording.line(report), details=wording.details(report, machine, versions, application)
    )


def _firstProblem(
    facts: Mapping[str, Any], missing: list[Requirement], application: Application
) -> Explanation | None:
    """The problem to repair first, in the order process, PyTorch, packages, GPU."""
    torch = facts.get("torch")
    if "machine" not in facts:
        return explanation("check-failed")
    if torch is None:
        return explanation("torch-hangs" if facts["timed_out"] else "torch-crashes")
    if not torch["installed"]:
        return explanation("torch-missing" if application.hasPyTorchExtension else "extension-missing")
    if torch["error"]:
        found = explain(torch["error"])
        isCause = found is not None and found.id in _CAUSES_OF_A_BROKEN_TORCH
        return found if isCause else explanation("torch-broken")
    if requirements.isOlder(torch["version"], OLDEST_TORCH):
        return explanation("torch-old")
    if torch["numpy_error"]:
        isMac = facts["machine"]["system"] == "Darwin"
        return explanation("numpy-mismatch-mac" if isMac else "numpy-mismatch")
    if missing:
        return explanation("packages-missing")
    return _gpuProblem(facts["machine"], torch)


def _gpuProblem(machine: Mapping[str, Any], torch: Mapping[str, Any]) -> Explanation | None:
    """Why an existing GPU is not used; None if it is or if there is none."""
    devices = torch["devices"]
    if devices:
        broken = [device["problem"] for device in devices if device["problem"]]
        # One working GPU is enough, because users can choose the device.
        return (explain(broken[0]) or explanation("gpu-lost")) if len(broken) == len(devices) else None
    if torch["hip"] or not (machine["gpus"] or machine["pci_gpus"]):
        return None
    if machine["driver_problem"]:
        return explain(machine["driver_problem"]) or explanation("driver-missing")
    if not machine["gpus"] and not machine["driver"]:
        return explanation("driver-missing")
    if not torch["cuda"]:
        return explanation("gpu-unused")
    if machine["visible_devices"] in ("", "-1"):
        return explanation("gpu-hidden")
    if not drivers.fits(machine["driver"], torch["cuda"], machine["system"]):
        return explanation("driver-old")
    return explain("\n".join(torch["warnings"])) or explanation("gpu-unseen")


def _build(torch: Mapping[str, Any]) -> str:
    if torch["cuda"]:
        return f"CUDA {torch['cuda']}"
    return f"ROCm {torch['hip']}" if torch["hip"] else "processor only"


def _errors(facts: Mapping[str, Any]) -> str:
    """All errors, joined."""
    machine, torch = facts.get("machine", {}), facts.get("torch", {})
    texts = [
        machine.get("driver_problem"),
        torch.get("error"),
        torch.get("numpy_error"),
        *torch.get("warnings", ()),
        *(device["problem"] for device in torch.get("devices", ())),
        "" if torch else f"The check ended with exit code {facts.get('exit_code')}.",
        facts.get("errors"),
    ]
    return "\n".join(filter(None, texts))
