"""Devices, found out by a child process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from MAESILCore.machine import DeviceProbe, devices_of, examine, probe

pytestmark = pytest.mark.process

#: What `examine.py` prints of a PyTorch that sees two GPUs.
TORCH: dict[str, Any] = {
    "devices": [
        {
            "id": f"cuda:{index}",
            "name": f"Card {index}",
            "total_bytes": 10,
            "free_bytes": 5,
            "problem": problem,
        }
        for index, problem in enumerate(("", "It adds wrongly."))
    ],
    "mps": False,
    "processor": {"name": "A processor", "total_bytes": 20, "free_bytes": None},
}


def test_this_pythons_devices_end_with_its_cpu() -> None:
    report = DeviceProbe().wait()
    assert report.error == ""
    cpu = report.devices[-1]
    assert (cpu.id, cpu.problem, cpu.seconds_per_megavoxel) == ("cpu", "", None)
    assert cpu.name
    assert cpu.total_bytes is not None
    assert cpu.free_bytes is not None
    assert 0 < cpu.free_bytes < cpu.total_bytes


def test_gpus_come_first_each_with_its_memory_and_speed() -> None:
    speeds = {"seconds_per_megavoxel": {"cuda:0": 0.5, "cpu": 9.0}}
    assert [
        (device.id, device.name, device.total_bytes, device.problem, device.seconds_per_megavoxel)
        for device in devices_of(TORCH, speeds)
    ] == [
        ("cuda:0", "Card 0", 10, "", 0.5),
        ("cuda:1", "Card 1", 10, "It adds wrongly.", None),
        ("cpu", "A processor", 20, "", 9.0),
    ]
    mac = devices_of({"devices": [], "mps": True, "mps_problem": "It lacks something."})
    assert [(device.id, device.problem) for device in mac] == [("mps", "It lacks something."), ("cpu", "")]


@pytest.mark.parametrize("obstacle", [None, "PyTorch 2 cannot use the GPU of this Mac (no reason)."])
def test_the_gpu_of_a_mac_is_tried_out(obstacle: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr("MAESILCore.devices.mps_obstacle", lambda: obstacle)
    found = examine.examine_torch()
    assert (found["mps"], found["mps_problem"]) == (True, obstacle or "")


def test_speeds_are_measured_and_a_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("MAESILCore.jobs.process.lower_priority", lambda: None)
    monkeypatch.setattr("MAESILCore.models.checkpoint.load_checkpoint", lambda: "a model")
    monkeypatch.setattr(
        "MAESILCore.jobs.estimate.measure_seconds_per_megavoxel",
        lambda model, device: {"cuda:0": 0.5, "cpu": 9.0}[device],
    )
    told = examine.examine_speeds(["cuda:0", "cpu"])
    assert (told["seconds_per_megavoxel"], told["error"]) == ({"cuda:0": 0.5, "cpu": 9.0}, "")
    failed = examine.examine_speeds(["cuda:0", "abacus"])
    assert failed["seconds_per_megavoxel"] == {"cuda:0": 0.5}
    assert failed["error"].startswith("MAESIL failed unexpectedly (KeyError")


def test_a_python_that_is_not_there_is_told_in_a_sentence(tmp_path: Path) -> None:
    report = DeviceProbe(str(tmp_path / "python")).wait()
    assert report.error.endswith("cannot be started (No such file or directory); choose another one.")
    assert report.devices == ()


Child = Callable[[str], None]


@pytest.fixture
def a_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Child:
    """Replace the program of the child."""

    def replace(program: str) -> None:
        path = tmp_path / "examine.py"
        path.write_text("import sys, time\n" + program)
        monkeypatch.setattr(probe, "PROGRAM", path)

    return replace


def test_a_child_that_breaks_is_told_with_its_last_words(a_child: Child) -> None:
    a_child("print('{}'); import no_such_package")
    report = DeviceProbe().wait()
    assert report.error.startswith("The package no_such_package is not installed")


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        (None, "PyTorch is not installed"),
        (
            "raise ImportError('DLL load failed')",
            "PyTorch is installed but cannot be loaded (ImportError: DLL",
        ),
    ],
)
def test_a_pytorch_that_is_missing_or_broken_is_told_in_a_sentence(
    program: str | None, sentence: str, a_child: Child, tmp_path: Path
) -> None:
    """The real program, with another PyTorch before the one that is installed."""
    broken = tmp_path / "broken"
    (broken / "torch").mkdir(parents=True)
    (broken / "torch" / "__init__.py").write_text(program or "")
    hide = "import importlib.util, importlib.metadata\n" if program is None else ""
    if program is None:
        hide += (
            "def version(name): raise importlib.metadata.PackageNotFoundError\n"
            "importlib.metadata.version = version\n"
            "importlib.util.find_spec = lambda name: None\n"
        )
    a_child(
        f"{hide}sys.path.insert(1, {str(broken)!r})\n"
        f"import runpy; runpy.run_path({str(Path(examine.__file__))!r}, run_name='__main__')"
    )
    report = DeviceProbe().wait()
    assert report.error.startswith(sentence)
    assert report.devices == ()


def test_a_child_that_does_not_answer_is_given_up(a_child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_GRACE", 0.1)
    a_child("time.sleep(600)")
    began = time.monotonic()
    report = DeviceProbe(timeout=0.3).wait()
    assert time.monotonic() - began < 10
    assert report.error == "PyTorch did not start within 0.3 s; the computer is busy, or PyTorch is broken."


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell so")
def test_a_probe_can_be_closed(a_child: Child, tmp_path: Path) -> None:
    a_child(f"import os; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    asking = DeviceProbe()
    path = tmp_path / "pid"
    while not (path.exists() and path.read_text()):
        time.sleep(0.01)
    assert asking.poll() is None
    asking.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(path.read_text()), 0)
