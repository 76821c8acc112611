"""What a run was computed with: `environment.json`, without names of users, machines and patients."""

from __future__ import annotations

import json
import platform
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import MAESILCore
from MAESILCore.optional import require

#: Packages whose version may change results.
_PACKAGES = (
    "torch",
    "lightning-fabric",
    "numpy",
    "scipy",
    "SimpleITK",
    "nibabel",
    "pydicom",
    "zarr",
    "safetensors",
)


def describe_environment(device: torch.device, precision: str, processes: int) -> dict[str, Any]:
    """Versions, processor, devices and threads, as JSON."""
    psutil: Any = require("psutil", "The description of the machine")
    content: dict[str, Any] = {
        "maesil": MAESILCore.__version__,
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": psutil.cpu_count(logical=False),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "threads": torch.get_num_threads(),
        "processes": processes,
        "device": str(device),
        "precision": precision,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        content["gpu"] = {
            "name": properties.name,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
        }
    return content


def extended(text: str | None, step: int, environment: dict[str, Any]) -> str:
    """The text of `environment.json` after a start: one entry per change, with the step from which it holds.

    Args:
        text: the text so far; None or damaged text is replaced.
        step: steps taken before this start.
        environment: see `describe_environment`.
    """
    entries: list[dict[str, Any]] = []
    with suppress(ValueError, TypeError, AttributeError):
        entries = [dict(entry) for entry in json.loads(text or "[]") if entry["from_step"] <= step]
    if not entries or {**entries[-1], "from_step": 0} != {**environment, "from_step": 0}:
        entries.append({"from_step": step, **environment})
    return json.dumps(entries, indent=2) + "\n"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
