"""Examines this machine and its PyTorch, and prints the results: one JSON object per line.

`python -u <this file> SECONDS [--measure] [PACKAGE ...]` runs for at most SECONDS. It needs the standard library only,
so it works before any package is installed. A PyTorch that hangs or crashes affects this process only.
"""

from __future__ import annotations

import faulthandler
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

NVIDIA_VENDOR = "0x10de"
SECONDS_FOR_NVIDIA_SMI = 20
BYTES_PER_MIB = 1024**2

Facts = dict[str, Any]
Run = Callable[[list[str]], "tuple[int, str]"]


def run_command(command: list[str]) -> tuple[int, str]:
    """Exit code and output of a command; code -1 if it cannot be run or exceeds the timeout."""
    hidden = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows would show a console
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS_FOR_NVIDIA_SMI,
            creationflags=hidden,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return -1, str(error)
    return done.returncode, done.stdout


def nvidia_smi() -> str | None:
    """Path of the driver's nvidia-smi, or None; old Windows drivers do not add it to PATH."""
    programs = Path(os.environ.get("PROGRAMFILES", "C:\\Program Files"))
    old = programs / "NVIDIA Corporation" / "NVSMI" / "nvidia-smi.exe"
    return shutil.which("nvidia-smi") or (str(old) if old.is_file() else None)


def ask_nvidia_smi(command: str, run: Run = run_command) -> Facts:
    """GPUs and driver according to nvidia-smi.

    Returns:
        gpus (list of name and memory_bytes), driver (version or None), problem (its error output, or "").
    """
    query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    code, output = run([command, *query])
    rows = re.findall(r"^ *(.+?) *, *([^,]*?) *, *([^,]*?) *$", output, re.MULTILINE) if code == 0 else []
    if rows:
        sizes = [int(size) * BYTES_PER_MIB if size.isdigit() else None for _, size, _ in rows]
        gpus = [{"name": name, "memory_bytes": size} for (name, _, _), size in zip(rows, sizes, strict=True)]
        return {"gpus": gpus, "driver": rows[0][2], "problem": ""}
    # Very old drivers and some laptops do not support the query, but list the names.
    list_code, listing = run([command, "-L"])
    names = re.findall(r"^GPU \d+: (.+?)(?: \(UUID: .*\))?\s*$", listing, re.MULTILINE)
    gpus = [{"name": name, "memory_bytes": None} for name in names] if list_code == 0 else []
    return {"gpus": gpus, "driver": None, "problem": "" if gpus else " ".join(output.split())[:500]}


def read_kernel_driver(folder: Path = Path("/proc/driver/nvidia")) -> Facts:
    """GPUs and driver according to the Linux kernel module; empty if it is not loaded."""
    try:
        text = (folder / "version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {"gpus": [], "driver": None}
    version = re.search(r"Kernel Module\b.*?\s(\d+\.\d+(?:\.\d+)?)\s", text)
    cards = sorted(folder.glob("gpus/*/information"))
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in cards)
    models = re.findall(r"^Model:\s*(.+?)\s*$", text, re.MULTILINE)
    gpus = [{"name": model, "memory_bytes": None} for model in models]
    return {"gpus": gpus, "driver": version.group(1) if version else None}


def count_pci_gpus(folder: Path = Path("/sys/bus/pci/devices")) -> int:
    """Number of NVIDIA display adapters on the PCI bus (Linux), with or without a driver."""
    count = 0
    for vendor in folder.glob("*/vendor"):
        try:
            is_nvidia = vendor.read_text().strip() == NVIDIA_VENDOR
            is_display = vendor.with_name("class").read_text().startswith("0x03")
        except OSError:
            continue
        count += is_nvidia and is_display
    return count


def examine_machine() -> Facts:
    """System, Python, NVIDIA GPUs and driver, without PyTorch."""
    command = nvidia_smi()
    driver = ask_nvidia_smi(command) if command else {"gpus": [], "driver": None, "problem": ""}
    kernel = read_kernel_driver()
    return {
        "part": "machine",
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "gpus": driver["gpus"] or kernel["gpus"],
        "driver": driver["driver"] or kernel["driver"],
        "driver_problem": driver["problem"],
        "pci_gpus": count_pci_gpus(),
        "visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def examine_packages(names: Iterable[str]) -> Facts:
    """Installed version of each distribution, or None."""
    return {"part": "packages", "versions": {name: version_of(name) for name in names}}


def version_of(distribution: str) -> str | None:
    """Installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def examine_device(torch: ModuleType, index: int) -> Facts:
    """Name and memory of one CUDA device, and the result of a test addition."""
    found: Facts = {"id": f"cuda:{index}", "name": "", "total_bytes": None, "free_bytes": None, "problem": ""}
    try:
        found["name"] = torch.cuda.get_device_name(index)
        found["free_bytes"], found["total_bytes"] = torch.cuda.mem_get_info(index)
        if float(torch.ones(2, device=found["id"]).sum()) != 2:
            found["problem"] = "A test addition gave a wrong result."
    except Exception as error:  # drivers raise any type; the report has the text
        found["problem"] = described(error)
    return found


def examine_torch() -> Facts:
    """Installation, version, devices and NumPy exchange of PyTorch, with its errors and warnings."""
    found: Facts = {"part": "torch", "installed": True, "version": None, "error": "", "warnings": []}
    if version_of("torch") is None and importlib.util.find_spec("torch") is None:
        return {**found, "installed": False}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            import torch

            found["version"] = str(torch.__version__)
            found["cuda"] = torch.version.cuda
            found["hip"] = getattr(torch.version, "hip", None)
            found["cuda_available"] = torch.cuda.is_available()
            count = torch.cuda.device_count() if found["cuda_available"] else 0
            found["devices"] = [examine_device(torch, index) for index in range(count)]
            mps = getattr(torch.backends, "mps", None)
            found["mps"] = bool(mps and mps.is_available())
            found["mps_problem"] = mps_problem() if found["mps"] else ""
            found["processor"] = examine_processor()
        except Exception as error:  # broken installations raise any type; the report has the text
            found["error"] = described(error)
        else:
            found["numpy_error"] = try_numpy(torch)
    found["warnings"] = [str(warning.message) for warning in caught]
    return found


def try_numpy(torch: ModuleType) -> str:
    """The error of exchanging arrays with NumPy, or ""."""
    try:
        import numpy

        torch.from_numpy(numpy.zeros(1, numpy.float32)).numpy()
    except Exception as error:  # as above
        return described(error)
    return ""


def described(error: Exception) -> str:
    """The kind and the text of an error."""
    return f"{type(error).__name__}: {error}"


def mps_problem() -> str:
    """Why PyTorch cannot use the GPU of this Mac, or ""."""
    add_library()
    from MAESILCore.devices import mps_obstacle

    return mps_obstacle() or ""


def examine_processor() -> Facts:
    """Name of the processor and memory of the machine; memory is None without psutil."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    name = names[0] if names else platform.processor() or platform.machine()
    try:
        import psutil
    except ImportError:
        return {"name": name, "total_bytes": None, "free_bytes": None}
    memory = psutil.virtual_memory()
    return {"name": name, "total_bytes": memory.total, "free_bytes": memory.available}


def examine_speeds(devices: Iterable[str]) -> Facts:
    """Seconds per million voxels of the bundled model on each device."""
    add_library()
    found: Facts = {"part": "speeds", "seconds_per_megavoxel": {}, "error": ""}
    try:
        from MAESILCore.jobs.estimate import measure_seconds_per_megavoxel
        from MAESILCore.jobs.process import lower_priority
        from MAESILCore.models.checkpoint import load_checkpoint

        # Measure at the priority of a job.
        lower_priority()
        model = load_checkpoint()
        for device in devices:
            found["seconds_per_megavoxel"][device] = measure_seconds_per_megavoxel(model, device)
    except Exception as error:  # the devices stay usable; the report has the text
        from MAESILCore.jobfolder import message_of

        found["error"] = message_of(error)
    return found


def add_library() -> None:
    """Append the library's root to `sys.path`; last, since packages beside it may belong to another Python."""
    sys.path.append(str(Path(__file__).resolve().parents[2]))


def main(seconds: float, measure: bool, names: list[str]) -> None:
    """Print each part at once, so that a later crash does not lose it; exit after `seconds`."""
    # The parent may be able to end only the launcher, not this process.
    faulthandler.dump_traceback_later(seconds, exit=True)
    # Python puts this file's folder first, where its neighbours could shadow packages.
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    emit(examine_machine())
    emit(examine_packages(names))
    torch = examine_torch()
    emit(torch)
    if measure and torch["version"] and not torch["error"]:
        usable = [device["id"] for device in torch["devices"] if not device["problem"]]
        emit(examine_speeds([*usable, *["mps"] * (torch["mps"] and not torch["mps_problem"]), "cpu"]))


def emit(part: Facts) -> None:
    """Print a part as a JSON line."""
    sys.stdout.write(json.dumps(part) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _names = [argument for argument in sys.argv[2:] if argument != "--measure"]
    main(float(sys.argv[1]), "--measure" in sys.argv[2:], _names)
