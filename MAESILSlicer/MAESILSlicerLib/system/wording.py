"""Texts of the system check: the summary line and the rows below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from MAESILCore.machine import Device
from MAESILSlicerLib.system import drivers
from MAESILSlicerLib.system.report import Application, SystemReport

_UNITS = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


def sizeText(count: int) -> str:
    """A number of bytes in decimal units, as in file managers: 6.4 GB, 70 MB."""
    for unit, size in _UNITS:
        if count >= size:
            return f"{count / size:.{1 if count < 10 * size else 0}f} {unit}"
    return f"{count} bytes"


def line(report: SystemReport) -> str:
    """The summary line: PyTorch and its build, the GPUs, and whether driver and build match."""
    torch = f"PyTorch {report.torchVersion} ({report.build})" if report.torchVersion else "PyTorch"
    if report.problem is None:
        return _good(report, torch)
    gpus = _list(report.gpus) or "the NVIDIA GPU"
    driver = f"driver {report.driver}" if report.driver else "a driver"
    there = f"; this computer has {gpus} with {driver}" if report.gpus else ""
    said = {
        "check-failed": "The system could not be checked.",
        "extension-missing": f"PyTorch and the extension that installs it are missing{there}.",
        "torch-missing": f"PyTorch is not installed{there}.",
        "packages-missing": f"{torch} lacks packages: {', '.join(map(str, report.missing))}.",
        "driver-old": f"{torch} needs NVIDIA driver {_needed(report)} or newer; {gpus} has {report.driver}.",
        "driver-missing": f"{torch} runs on the processor: the NVIDIA GPU has no driver.",
        "gpu-unused": f"{torch} does not use {gpus}, although {driver} is there.",
    }.get(report.problem.id)
    if said:
        return said
    return f"{torch}: {report.problem.sentence}" if report.torchVersion else report.problem.sentence


def details(
    report: SystemReport,
    machine: Mapping[str, Any],
    versions: Mapping[str, str | None],
    application: Application,
) -> tuple[tuple[str, str], ...]:
    """Rows of label and text."""
    rows = [
        ("Slicer", application.slicerVersion or "not running"),
        ("PyTorch extension", "installed" if application.hasPyTorchExtension else "not installed"),
        ("System", " ".join(str(machine.get(key, "")) for key in ("system", "release", "machine")).strip()),
        ("Python", report.python),
        ("PyTorch", _torchText(report)),
        (
            "NVIDIA GPU",
            _list(report.gpus) or ("found, without driver" if machine.get("pci_gpus") else "none"),
        ),
        ("NVIDIA driver", _driverText(report)),
        *((f"Device {device.id}", deviceText(device)) for device in report.devices),
        *((name, version or "not installed") for name, version in versions.items()),
    ]
    return tuple((label, text or "unknown") for label, text in rows)


def deviceText(device: Device) -> str:
    """A device's list entry: its name and its free memory or its problem."""
    if device.problem:
        return f"{device.name or device.id}: cannot be used"
    if device.total_bytes is None or device.free_bytes is None:
        return device.name
    return f"{device.name}, {sizeText(device.free_bytes)} of {sizeText(device.total_bytes)} free"


def _good(report: SystemReport, torch: str) -> str:
    if report.usesGpu:
        working = [device for device in report.devices if device.id != "cpu" and not device.problem]
        names = _list(tuple(deviceText(device) for device in working))
        fits = f"; driver {report.driver} fits" if report.driver else ""
        return f"{torch} is ready: {names}{fits}."
    return f"{torch} is ready and runs on the processor; it found no usable GPU."


def _torchText(report: SystemReport) -> str:
    if report.torchVersion:
        return f"{report.torchVersion}, {report.build}"
    return "installed, does not work" if report.hasTorch else "not installed"


def _driverText(report: SystemReport) -> str:
    if report.driver is None:
        return "none found"
    least = _needed(report)
    if least is None:
        return report.driver
    cuda = report.build.removeprefix("CUDA ")
    verdict = "fits" if drivers.fits(report.driver, cuda, report.system) else "too old"
    return f"{report.driver}, {verdict} ({report.build} needs {least} or newer)"


def _needed(report: SystemReport) -> str | None:
    isCuda = report.build.startswith("CUDA ")
    return drivers.oldest(report.build.removeprefix("CUDA "), report.system) if isCuda else None


def _list(names: tuple[str, ...]) -> str:
    """Names joined, with counts of duplicates: "2 x NVIDIA A100, NVIDIA T400"."""
    counts = Counter(names)
    return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counts.items())
