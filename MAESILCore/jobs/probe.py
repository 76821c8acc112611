"""Tells which devices this Python's PyTorch sees: `python -u <this file> [--measure]`, one JSON object a line."""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import IO, Any

if __name__ == "__main__":
    # Run by path, Python puts this folder first, whose modules are no top-level ones; the library's root belongs there.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from MAESILCore.jobfolder.failures import message_of, shortened
from MAESILCore.jobs.priority import lower_priority


def main(out: IO[bytes], *, measure: bool) -> None:
    """Tell what there is, at once, and again when its speed has been measured."""
    report: dict[str, Any] = {"torch": None, "cuda": None, "devices": [], "error": None, "details": ""}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            _find_devices(report)
            if measure:
                _write(out, report | {"details": _details(caught)})
                _measure(report)
        except Exception as error:
            traceback.print_exc()
            report["error"] = message_of(error).text
    _write(out, report | {"details": _details(caught), "is_complete": True})


def _find_devices(report: dict[str, Any]) -> None:
    import torch

    from MAESILCore.devices import mps_obstacle

    report |= {"torch": torch.__version__, "cuda": torch.version.cuda}
    # What PyTorch has to say about a GPU that it cannot use it says as a warning.
    found = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    if not torch.cuda.is_available():
        found = []
    if torch.backends.mps.is_available():
        obstacle = mps_obstacle()
        if obstacle is None:
            found.append(torch.device("mps"))
        else:
            warnings.warn(obstacle, stacklevel=1)
    for device in (*found, torch.device("cpu")):
        report["devices"].append(_describe(device))


def _describe(device: Any) -> dict[str, Any]:  # noqa: ANN401 - torch is imported in functions only
    from MAESILCore.jobs.hardware import describe_device, memory_of, processor_name

    total, free = memory_of(device)
    name = processor_name() if device.type == "cpu" else describe_device(device)
    return {"id": str(device), "name": name, "total_bytes": total, "free_bytes": free}


def _measure(report: dict[str, Any]) -> None:
    from MAESILCore.jobs.speed import measure_seconds_per_megavoxel
    from MAESILCore.models.checkpoint import load_checkpoint

    model = load_checkpoint()
    known: dict[str, float] = {}
    for device in report["devices"]:
        if device["name"] not in known:
            known[device["name"]] = measure_seconds_per_megavoxel(model, device["id"])
        device["seconds_per_megavoxel"] = known[device["name"]]


def _details(caught: list[warnings.WarningMessage]) -> str:
    return "\n".join(shortened(str(warning.message), 1000) for warning in caught)


def _write(out: IO[bytes], report: dict[str, Any]) -> None:
    out.write(json.dumps(report).encode("ascii") + b"\n")
    out.flush()


if __name__ == "__main__":
    # A job will have the same priority, so that the measured speed is its own.
    lower_priority()
    # As in worker.py, nothing that a library prints may break a line, or hang the end.
    with os.fdopen(os.dup(1), "wb") as _out:
        os.dup2(2, 1)
        main(_out, measure="--measure" in sys.argv[1:])
    os._exit(0)
