"""Devices, found out by a child process."""

from __future__ import annotations

import io
import json
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from MAESILCore.data.window import LUNG_TO_BONE
from MAESILCore.jobs import (
    Device,
    DeviceProbe,
    devices,
    estimate_seconds,
    estimate_text,
    probe,
    probe_devices,
)
from MAESILCore.jobs.speed import voxels_to_pass
from MAESILCore.lattice import Mask, SuperpatchGrid, roi_mask_from_box
from MAESILCore.methods import create


def asked(*, measure: bool = False) -> list[dict[str, Any]]:
    """What the child tells, line by line."""
    out = io.BytesIO()
    probe.main(out, measure=measure)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_this_pythons_devices_end_with_its_cpu() -> None:
    report = probe_devices()
    assert report.error is None
    assert report.torch == torch.__version__
    assert report.is_complete
    cpu = report.devices[-1]
    assert (cpu.id, cpu.seconds_per_megavoxel) == ("cpu", None)
    assert cpu.name
    assert cpu.total_bytes > 10**8
    assert cpu.free_bytes is None or 0 < cpu.free_bytes < cpu.total_bytes


def test_gpus_come_first_each_with_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Card {device.index}")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5 + device.index, 10))
    (report,) = asked()
    assert [device["id"] for device in report["devices"]] == ["cuda:0", "cuda:1", "cpu"]
    second = {"id": "cuda:1", "name": "Card 1", "total_bytes": 10, "free_bytes": 6}
    assert report["devices"][1] == second


def test_what_pytorch_says_about_a_gpu_that_it_cannot_use_is_a_detail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def complain() -> bool:
        warnings.warn("The NVIDIA driver on your system is too old", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", complain)
    (report,) = asked()
    assert report["details"] == "The NVIDIA driver on your system is too old"
    assert [device["id"] for device in report["devices"]] == ["cpu"]


@pytest.mark.parametrize("obstacle", [None, "PyTorch 2 cannot use the GPU of this Mac (no reason)."])
def test_the_gpu_of_a_mac_is_offered_if_it_works(
    obstacle: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr("MAESILCore.devices.mps_obstacle", lambda: obstacle)
    (report,) = asked()
    assert ("mps" in [device["id"] for device in report["devices"]]) is (obstacle is None)
    assert report["details"] == (obstacle or "")


def test_speeds_are_told_after_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    method = create("maesil", {"superpatch_size": (16, 16, 16), "patch_size": (4, 4, 4)}, "tiny").eval()
    sizes = {"superpatch_size": (16, 16, 16), "patch_size": (4, 4, 4)}
    model = SimpleNamespace(method=method, window=LUNG_TO_BONE, reconstruct=method.reconstruct, **sizes)
    monkeypatch.setattr("MAESILCore.models.checkpoint.load_checkpoint", lambda: model)
    first, second = asked(measure=True)
    assert "is_complete" not in first
    assert second["is_complete"]
    assert "seconds_per_megavoxel" not in first["devices"][-1]
    assert 0 < second["devices"][-1]["seconds_per_megavoxel"] < 1e4


def test_a_measurement_that_fails_leaves_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("MAESILCore.models.checkpoint.load_checkpoint", lambda: 1 / 0)
    report = asked(measure=True)[-1]
    assert report["error"].startswith("MAESIL failed unexpectedly (ZeroDivisionError")
    assert report["devices"]


def test_a_python_that_is_not_there_is_told_in_a_sentence(tmp_path: Path) -> None:
    report = probe_devices(str(tmp_path / "python"))
    assert report.error is not None
    assert report.error.endswith("cannot be started (No such file or directory); choose another one.")
    assert report.devices == ()


@pytest.fixture
def a_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:  # noqa: ANN401
    """Replace the program of the child."""

    def replace(program: str) -> None:
        path = tmp_path / "probe.py"
        path.write_text("import sys, time\n" + program)
        monkeypatch.setattr(devices, "PROBE", path)

    return replace


def test_a_child_that_breaks_is_told_with_its_last_words(a_child: Any) -> None:  # noqa: ANN401
    a_child("print('{}'); import no_such_package")
    report = probe_devices()
    assert report.error is not None
    assert report.error.startswith("The package no_such_package is not installed")
    assert "Traceback" in report.details


def test_a_child_that_does_not_answer_is_given_up(a_child: Any) -> None:  # noqa: ANN401
    a_child("time.sleep(600)")
    began = time.monotonic()
    report = probe_devices(timeout=0.3)
    assert time.monotonic() - began < 5
    assert report.error == "PyTorch did not answer in 0.3 s: the computer is busy, or PyTorch is broken."


def test_a_probe_can_be_watched_and_closed(a_child: Any) -> None:  # noqa: ANN401
    a_child('print(\'{"torch": "2", "cuda": null, "devices": []}\', flush=True); time.sleep(600)')
    asking = DeviceProbe(sys.executable)
    while asking.poll() is None:
        time.sleep(0.01)
    report = asking.poll()
    assert report is not None
    assert (report.torch, report.is_complete) == ("2", False)
    asking.close()
    assert asking.poll() == report


def test_only_superpatches_with_something_hidden_are_counted() -> None:
    grid = SuperpatchGrid((16, 32, 40), 16, 4)
    assert voxels_to_pass(grid, 0) == 16 * 32 * 40
    assert voxels_to_pass(grid, 4) == 4 * 16 * 32 * 40
    assert voxels_to_pass(grid, 0, roi_mask_from_box(grid, (0, 0, 36), (4, 4, 40))) == 16 * 16 * 8
    nothing = Mask(np.zeros(grid.lattice_shape))
    assert voxels_to_pass(grid, 0, nothing) == 16 * 32 * 40
    # Shared voxels are passed in every superpatch.
    assert voxels_to_pass(SuperpatchGrid((16, 16, 28), 16, 4, 4), 1) == 2 * 16**3


def test_an_estimate_grows_with_masks_and_scores() -> None:
    grid = SuperpatchGrid((100, 200, 200), 16, 4)
    device = Device("cpu", "CPU", 1, None, seconds_per_megavoxel=2.0)
    single, scored, four = (
        estimate_seconds(grid, coverage, device, scores=scores)
        for coverage, scores in ((0, False), (0, True), (4, False))
    )
    assert single is not None
    assert scored is not None
    assert four is not None
    assert four - single == pytest.approx(3 * 2.0 * 4)
    assert scored > single
    assert estimate_seconds(grid, 0, Device("cpu", "CPU", 1, None)) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "a few seconds"),
        (42, "about 40 s"),
        (100, "about 2 min"),
        (3000, "about 50 min"),
        (9000, "about 2.5 h"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert estimate_text(seconds) == text
