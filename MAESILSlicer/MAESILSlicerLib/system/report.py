"""What a system check finds, as plain values."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass

from packaging.requirements import Requirement

from MAESILCore.machine import Device
from MAESILSlicerLib.system.messages import Explanation


@dataclass(frozen=True)
class Application:
    """What only the running application knows.

    Attributes:
        slicerVersion: for example 5.12.3, or "" outside of Slicer.
        hasPyTorchExtension: whether the module PyTorchUtils can be imported.
    """

    slicerVersion: str = ""
    hasPyTorchExtension: bool = False

    @classmethod
    def current(cls) -> Application:
        """That of this process."""
        application = getattr(sys.modules.get("slicer"), "app", None)
        return cls(
            slicerVersion=str(getattr(application, "applicationVersion", "")),
            hasPyTorchExtension=importlib.util.find_spec("PyTorchUtils") is not None,
        )


@dataclass(frozen=True)
class SystemReport:
    """What the system check found.

    Attributes:
        line: the whole in one line.
        canCompute: whether a reconstruction can run, if only on the processor.
        problem: what is wrong and how it is repaired, or None.
        gpus: names of the NVIDIA GPUs of the machine, whether or not PyTorch can use them.
        driver: version of the NVIDIA driver, or None.
        hasTorch: whether a PyTorch is installed, be it broken.
        hasPyTorchExtension: whether Slicer has the extension that installs it.
        torchVersion: of a PyTorch that works, else None.
        build: "CUDA 12.4", "ROCm 6.2" or "processor only"; "" without a PyTorch that works.
        devices: what PyTorch can compute on, the processor last.
        missing: requirements of MAESIL, PyTorch aside, that are not met.
        details: rows of label and text, for a table and for the diagnostics.
        system: Linux, Windows or Darwin.
        python: version of the Python that was examined.
        errors: what went wrong in the words of those it went wrong for; for the diagnostics.
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
        """Whether there is a GPU that works."""
        return any(device.id != "cpu" and not device.problem for device in self.devices)
