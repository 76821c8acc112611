"""The report of a system check, as plain values."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass

from packaging.requirements import Requirement

from MAESILCore.machine import Device
from MAESILSlicerLib.system.messages import Explanation


@dataclass(frozen=True)
class Application:
    """Facts about the running application.

    Attributes:
        slicerVersion: for example 5.12.3; "" outside Slicer.
        hasPyTorchExtension: whether the module PyTorchUtils can be imported.
    """

    slicerVersion: str = ""
    hasPyTorchExtension: bool = False

    @classmethod
    def current(cls) -> Application:
        """The facts about this process."""
        application = getattr(sys.modules.get("slicer"), "app", None)
        return cls(
            slicerVersion=str(getattr(application, "applicationVersion", "")),
            hasPyTorchExtension=importlib.util.find_spec("PyTorchUtils") is not None,
        )


@dataclass(frozen=True)
class SystemReport:
    """The report of the system check.

    Attributes:
        line: the summary in one line.
        canCompute: whether a reconstruction can run, at least on the CPU.
        problem: the problem and its repair; None if there is none.
        gpus: names of the machine's NVIDIA GPUs, usable by PyTorch or not.
        driver: version of the NVIDIA driver, or None.
        hasTorch: whether PyTorch is installed, even if broken.
        hasPyTorchExtension: whether Slicer has the PyTorch extension.
        torchVersion: version of a working PyTorch, else None.
        build: "CUDA 12.4", "ROCm 6.2" or "processor only"; "" without a working PyTorch.
        devices: the devices of PyTorch, the CPU last.
        missing: unmet requirements of MAESIL other than PyTorch.
        details: rows of label and text, for a table and for the diagnostics.
        system: Linux, Windows or Darwin.
        python: version of the examined Python.
        errors: original error texts, for the diagnostics.
    """

    line: str
    canCompute: bool
    problem: Explanation | None = None
    gpus: tuple[str, ...] = ()
    driver: str | None = None
    hasTorch: bool = False
    hasPyTorchExtension: bool = False
    torchVersion: str | None = None
    build: str = ""
    devices: tuple[Device, ...] = ()
    missing: tuple[Requirement, ...] = ()
    details: tuple[tuple[str, str], ...] = ()
    system: str = ""
    python: str = ""
    errors: str = ""

    @property
    def usesGpu(self) -> bool:
        """Whether there is a working GPU."""
        return any(device.id != "cpu" and not device.problem for device in self.devices)
