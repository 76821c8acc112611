"""What the child process sees of drivers, GPUs and PyTorch, on machines made of small files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from MAESILCore.machine import examine

QUERY = "NVIDIA RTX A4000, 16376, 550.54.15\nNVIDIA T400 4GB, 4096, 550.54.15\n"
LISTING = "GPU 0: NVIDIA GeForce GTX 745 (UUID: GPU-5f4c)\n"
NO_DRIVER = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"


def answering(*answers: tuple[int, str]) -> examine.Run:
    """A stand-in for running commands that gives these answers one after the other."""
    left = list(answers)
    return lambda command: left.pop(0)


def test_nvidia_smi_tells_names_memory_and_driver() -> None:
    told = examine.ask_nvidia_smi("nvidia-smi", answering((0, QUERY)))
    assert told["driver"] == "550.54.15"
    assert told["gpus"] == [
        {"name": "NVIDIA RTX A4000", "memory_bytes": 16376 * 2**20},
        {"name": "NVIDIA T400 4GB", "memory_bytes": 4096 * 2**20},
    ]


def test_memory_that_is_not_told_is_unknown() -> None:
    told = examine.ask_nvidia_smi("nvidia-smi", answering((0, "NVIDIA GB10, [N/A], 580.95.05\n")))
    assert told["gpus"] == [{"name": "NVIDIA GB10", "memory_bytes": None}]


def test_an_old_nvidia_smi_still_lists_the_names() -> None:
    told = examine.ask_nvidia_smi("nvidia-smi", answering((2, "Field is not a valid field"), (0, LISTING)))
    assert told == {
        "gpus": [{"name": "NVIDIA GeForce GTX 745", "memory_bytes": None}],
        "driver": None,
        "problem": "",
    }


def test_what_nvidia_smi_complains_of_is_kept() -> None:
    told = examine.ask_nvidia_smi("nvidia-smi", answering((9, NO_DRIVER), (9, NO_DRIVER)))
    assert told == {"gpus": [], "driver": None, "problem": NO_DRIVER.strip()}


def test_a_command_that_cannot_be_run_is_no_error(tmp_path: Path) -> None:
    code, _ = examine.run_command([str(tmp_path / "nothing")])
    assert code == -1


@pytest.mark.parametrize(
    "line",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.183.01  Release Build  (dvs-builder)",
    ],
)
def test_the_kernel_module_tells_driver_and_models(tmp_path: Path, line: str) -> None:
    (tmp_path / "version").write_text(f"{line}\nGCC version:  gcc version 12.2.0\n")
    information = tmp_path / "gpus" / "0000:01:00.0" / "information"
    information.parent.mkdir(parents=True)
    information.write_text("Model: \t\t NVIDIA RTX A4000\nIRQ:   \t\t 131\n")
    assert examine.read_kernel_driver(tmp_path) == {
        "gpus": [{"name": "NVIDIA RTX A4000", "memory_bytes": None}],
        "driver": "535.183.01",
    }


def test_a_machine_without_the_kernel_module_has_no_driver(tmp_path: Path) -> None:
    assert examine.read_kernel_driver(tmp_path / "nvidia") == {"gpus": [], "driver": None}


def test_nvidia_display_adapters_are_counted_without_a_driver(tmp_path: Path) -> None:
    for place, vendor, kind in (
        ("01:00.0", "0x10de", "0x030000"),
        ("01:00.1", "0x10de", "0x040300"),  # the sound of the same card
        ("00:02.0", "0x8086", "0x030000"),
    ):
        device = tmp_path / place
        device.mkdir()
        (device / "vendor").write_text(vendor + "\n")
        (device / "class").write_text(kind + "\n")
    assert examine.count_pci_gpus(tmp_path) == 1


def test_packages_are_found_by_their_metadata() -> None:
    versions = examine.examine_packages(["numpy", "never-heard-of"])["versions"]
    assert versions["numpy"]
    assert versions["never-heard-of"] is None


def test_a_device_that_does_not_compute_is_told_of() -> None:
    def fail(*_: object, **__: object) -> None:
        message = "CUDA error: no kernel image is available for execution on the device"
        raise RuntimeError(message)

    cuda = SimpleNamespace(get_device_name=lambda index: "GPU 2", mem_get_info=lambda index: (1, 2))
    device = examine.examine_device(SimpleNamespace(cuda=cuda, ones=fail), 2)
    assert (device["id"], device["name"], device["free_bytes"], device["total_bytes"]) == (
        "cuda:2",
        "GPU 2",
        1,
        2,
    )
    assert device["problem"].startswith("RuntimeError: CUDA error: no kernel image")
