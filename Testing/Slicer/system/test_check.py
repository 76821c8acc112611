"""The system check on machines of every kind: the one line, the problem, and whether anything can run."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from MAESILCore.machine import Probe
from MAESILSlicerLib.system import drivers, requirements
from MAESILSlicerLib.system.check import SystemCheck, judge
from MAESILSlicerLib.system.report import Application, SystemReport

SLICER = Application("5.12.3", hasPyTorchExtension=True)
VERSIONS = {"numpy": "2.2.6", **{need.name: "99" for need in requirements.needed()}}
GPU = {"name": "NVIDIA RTX A4000", "memory_bytes": 16 * 10**9}
CUDA = {
    "id": "cuda:0",
    "name": "NVIDIA RTX A4000",
    "total_bytes": 16_000_000_000,
    "free_bytes": 15_100_000_000,
    "problem": "",
}


def makeFacts(
    machine: dict[str, Any] | None = None,
    torch: dict[str, Any] | None = None,
    versions: dict[str, str | None] | None = None,
) -> dict[str, Any]:
    """What the child finds on a Linux machine with PyTorch for the processor and no GPU, with these changes."""
    return {
        "machine": {
            "system": "Linux",
            "release": "6.8",
            "machine": "x86_64",
            "python": "3.11.9",
            "gpus": [],
            "driver": None,
            "driver_problem": "",
            "pci_gpus": 0,
            "visible_devices": None,
            **(machine or {}),
        },
        "packages": {"versions": versions or VERSIONS},
        "torch": {
            "installed": True,
            "version": "2.6.0+cpu",
            "error": "",
            "warnings": [],
            "cuda": None,
            "hip": None,
            "devices": [],
            "mps": False,
            "numpy_error": "",
            **(torch or {}),
        },
        "timed_out": False,
        "exit_code": 0,
        "errors": "",
    }


WITH_GPU = {"gpus": [GPU], "driver": "550.54.15"}
WITH_CUDA = {"version": "2.6.0+cu124", "cuda": "12.4"}


def test_a_gpu_that_works_is_named_with_its_memory_and_driver() -> None:
    report = judge(makeFacts(WITH_GPU, {**WITH_CUDA, "devices": [CUDA]}), SLICER)
    assert report.line == (
        "PyTorch 2.6.0+cu124 (CUDA 12.4) is ready: NVIDIA RTX A4000, 15 GB of 16 GB free; driver 550.54.15 fits."
    )
    assert (report.canCompute, report.usesGpu, report.problem) == (True, True, None)
    assert [device.id for device in report.devices] == ["cuda:0", "cpu"]
    assert ("NVIDIA driver", "550.54.15, fits (CUDA 12.4 needs 525.60 or newer)") in report.details


def test_a_machine_without_gpu_runs_on_the_processor() -> None:
    report = judge(makeFacts(), SLICER)
    assert report.line == (
        "PyTorch 2.6.0+cpu (processor only) is ready and runs on the processor; it found no usable GPU."
    )
    assert (report.canCompute, report.usesGpu, report.problem) == (True, False, None)


def test_two_gpus_of_a_kind_are_counted_in_the_rows() -> None:
    report = judge(makeFacts({**WITH_GPU, "gpus": [GPU, GPU]}), SLICER)
    assert ("NVIDIA GPU", "2 x NVIDIA RTX A4000") in report.details


def test_one_broken_gpu_of_two_is_no_problem() -> None:
    broken = {**CUDA, "id": "cuda:1", "problem": "RuntimeError: CUDA error: unknown error"}
    report = judge(makeFacts(WITH_GPU, {**WITH_CUDA, "devices": [CUDA, broken]}), SLICER)
    assert (report.problem, report.usesGpu) == (None, True)
    assert ("Device cuda:1", "NVIDIA RTX A4000: cannot be used") in report.details


PROBLEMS = {
    "torch-missing": makeFacts(WITH_GPU, {"installed": False, "version": None}),
    "torch-broken": makeFacts(torch={"version": None, "error": "NameError: name '_C' is not defined"}),
    "torch-old": makeFacts(torch={"version": "1.13.1"}),
    "windows-runtime-missing": makeFacts(
        torch={
            "version": None,
            "error": "OSError: [WinError 126] Error loading c10.dll or one of its dependencies",
        }
    ),
    "numpy-mismatch": makeFacts(torch={"numpy_error": "RuntimeError: Numpy is not available"}),
    "numpy-mismatch-mac": makeFacts(
        {"system": "Darwin"}, {"version": "2.2.2", "numpy_error": "RuntimeError: Numpy is not available"}
    ),
    "packages-missing": makeFacts(versions={**VERSIONS, "nibabel": None, "scipy": "1.9"}),
    "gpu-unused": makeFacts(WITH_GPU),
    "driver-missing": makeFacts({"pci_gpus": 1}),
    "driver-not-answering": makeFacts(
        {"pci_gpus": 1, "driver_problem": "Failed to initialize NVML: Driver/library version mismatch"},
        WITH_CUDA,
    ),
    "driver-old": makeFacts({**WITH_GPU, "driver": "470.82"}, WITH_CUDA),
    "gpu-hidden": makeFacts({**WITH_GPU, "visible_devices": ""}, WITH_CUDA),
    "gpu-unsupported": makeFacts(
        WITH_GPU, {**WITH_CUDA, "devices": [{**CUDA, "problem": "CUDA error: no kernel image is available"}]}
    ),
    "gpu-lost": makeFacts(WITH_GPU, {**WITH_CUDA, "warnings": ["CUDA initialization: CUDA unknown error"]}),
    "gpu-unseen": makeFacts(WITH_GPU, WITH_CUDA),
    "torch-crashes": {**makeFacts(), "torch": None, "exit_code": -11},
    "torch-hangs": {**makeFacts(), "torch": None, "timed_out": True},
    "check-failed": {"timed_out": False, "exit_code": 1, "errors": "bad interpreter"},
}
for _facts in PROBLEMS.values():
    if _facts.get("torch", {}) is None:
        del _facts["torch"]

COMPUTES = {
    "gpu-unused",
    "driver-missing",
    "driver-not-answering",
    "driver-old",
    "gpu-hidden",
    "gpu-unsupported",
    "gpu-lost",
    "gpu-unseen",
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_is_found_and_told_in_one_line(name: str) -> None:
    report = judge(PROBLEMS[name], SLICER)
    assert report.problem is not None
    assert report.problem.id == name
    assert report.canCompute is (name in COMPUTES)
    assert "\n" not in report.line
    assert report.line.endswith(".")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "torch-missing",
            "PyTorch is not installed; this computer has NVIDIA RTX A4000 with driver 550.54.15.",
        ),
        (
            "gpu-unused",
            "PyTorch 2.6.0+cpu (processor only) does not use NVIDIA RTX A4000, although driver 550.54.15 is there.",
        ),
        (
            "driver-old",
            "PyTorch 2.6.0+cu124 (CUDA 12.4) needs NVIDIA driver 525.60 or newer; NVIDIA RTX A4000 has 470.82.",
        ),
        (
            "packages-missing",
            "PyTorch 2.6.0+cpu (processor only) lacks packages: nibabel>=5.2, scipy>=1.12.",
        ),
    ],
)
def test_the_line_names_what_matters(name: str, line: str) -> None:
    assert judge(PROBLEMS[name], SLICER).line == line


def test_a_gpu_without_a_known_name_or_driver_still_makes_a_sentence() -> None:
    nameless = judge(makeFacts({"driver": "550.54.15", "pci_gpus": 1}), SLICER)
    assert nameless.line.endswith("does not use the NVIDIA GPU, although driver 550.54.15 is there.")
    driverless = judge(makeFacts({"gpus": [GPU]}), SLICER)
    assert driverless.line.endswith("does not use NVIDIA RTX A4000, although a driver is there.")


def test_without_the_pytorch_extension_that_comes_first() -> None:
    report = judge(PROBLEMS["torch-missing"], Application("5.12.3", hasPyTorchExtension=False))
    assert report.problem is not None
    assert report.problem.id == "extension-missing"
    assert report.problem.action == "installExtension"


@pytest.mark.parametrize(
    ("driver", "cuda", "system", "fits"),
    [
        ("525.60.13", "12.4", "Linux", True),
        ("525.53", "12.4", "Linux", False),
        ("528.33", "12.8", "Windows", True),
        ("551.61", "13.0", "Windows", False),
        ("580.95.05", "13.0", "Linux", True),
        ("450.80.02", "11.8", "Linux", True),
        (None, "12.4", "Linux", True),
        ("1.0", "99.0", "Linux", True),
    ],
)
def test_driver_and_build_are_held_against_each_other(
    driver: str | None, cuda: str, system: str, fits: bool
) -> None:
    assert drivers.fits(driver, cuda, system) is fits


# The same with real processes.


@pytest.fixture(scope="module")
def a_bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python in which nothing is installed."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    return str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


MakePackages = Callable[..., dict[str, str]]


@pytest.fixture
def packages(tmp_path: Path) -> MakePackages:
    """Makes a folder of packages and gives the environment that has them on the path."""

    def make(torch: str = "", **versions: str) -> dict[str, str]:
        for name, version in versions.items():
            metadata = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
            metadata.parent.mkdir()
            metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        if torch:
            (tmp_path / "torch").mkdir()
            (tmp_path / "torch" / "__init__.py").write_text(torch)
        return {**os.environ, "PYTHONPATH": str(tmp_path), "PATH": str(tmp_path)}

    return make


def check(python: str, environment: dict[str, str], timeout: float = 60.0) -> SystemReport:
    names = [need.name for need in requirements.needed()]
    return SystemCheck(Probe(names, python, environment, timeout), SLICER).wait()


@pytest.mark.process
def test_a_python_without_pytorch_says_so(a_bare_python: str, packages: MakePackages) -> None:
    report = check(a_bare_python, packages(nibabel="5.3"))
    assert report.line.startswith("PyTorch is not installed")
    assert not report.hasTorch
    assert ("nibabel", "5.3") in report.details
    assert [need.name for need in report.missing] == ["psutil", "pydantic", "safetensors", "scipy"]


@pytest.mark.process
def test_a_half_installed_pytorch_is_told_from_none(a_bare_python: str, packages: MakePackages) -> None:
    report = check(a_bare_python, packages("from torch._C import *"))
    assert report.hasTorch
    assert report.problem is not None
    assert report.problem.id == "torch-broken"
    assert "No module named 'torch._C'" in report.errors


@pytest.mark.process
def test_a_pytorch_without_its_insides_counts_as_broken(a_bare_python: str, packages: MakePackages) -> None:
    report = check(a_bare_python, packages("x = 1"))
    assert report.problem is not None
    assert report.problem.id == "torch-broken"


@pytest.mark.process
def test_metadata_without_files_counts_as_broken(
    tmp_path: Path, a_bare_python: str, packages: MakePackages
) -> None:
    metadata = tmp_path / "torch-2.6.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.6.0\n")
    report = check(a_bare_python, packages())
    assert report.hasTorch
    assert report.problem is not None
    assert report.problem.action == "reinstallTorch"


@pytest.mark.process
def test_a_pytorch_that_crashes_takes_only_the_child_along(
    a_bare_python: str, packages: MakePackages
) -> None:
    report = check(a_bare_python, packages("import os; os.abort()"))
    assert report.problem is not None
    assert report.problem.id == "torch-crashes"
    assert report.python


@pytest.mark.process
def test_a_pytorch_that_hangs_is_given_up(a_bare_python: str, packages: MakePackages) -> None:
    begun = time.monotonic()
    report = check(a_bare_python, packages("import time; time.sleep(60)"), timeout=1.0)
    assert report.problem is not None
    assert report.problem.id == "torch-hangs"
    assert time.monotonic() - begun < 30


@pytest.mark.process
def test_what_pytorch_prints_does_not_disturb_the_check(a_bare_python: str, packages: MakePackages) -> None:
    report = check(a_bare_python, packages("print('hello'); raise OSError('[WinError 206] too long')"))
    assert report.problem is not None
    assert report.problem.id == "windows-long-path"


@pytest.mark.process
def test_a_python_that_does_not_exist_is_a_failed_check(tmp_path: Path) -> None:
    report = check(str(tmp_path / "python"), dict(os.environ))
    assert report.problem is not None
    assert report.problem.id == "check-failed"


@pytest.mark.process
def test_the_check_of_this_python_finds_its_pytorch() -> None:
    pytest.importorskip("torch")
    running = SystemCheck(application=SLICER)
    assert running.poll() is None
    running.start()
    while (report := running.poll()) is None:
        time.sleep(0.05)
    assert report.canCompute
    assert report.torchVersion
    assert report.missing == ()
    assert running.poll() is report


@pytest.mark.process
def test_a_check_that_is_closed_leaves_no_process(a_bare_python: str, packages: MakePackages) -> None:
    probe = Probe([], a_bare_python, packages("import time; time.sleep(60)"))
    probe.start()
    probe.close()
    assert probe._process is not None
    assert probe._process.poll() is not None


@pytest.mark.process
@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_the_most_frequent_complaint_a_gpu_that_is_there_and_unused(
    tmp_path: Path, a_bare_python: str, packages: MakePackages
) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'NVIDIA RTX A4000, 16376, 550.54.15'\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    torch = (
        "__version__ = '2.6.0+cpu'\n"
        "class version: cuda = None\n"
        "class cuda:\n"
        "    is_available = staticmethod(lambda: False)\n"
        "class backends: pass\n"
        "class _Array:\n"
        "    def numpy(self): return self\n"
        "from_numpy = lambda array: _Array()\n"
    )
    (tmp_path / "numpy.py").write_text("float32 = None\nzeros = lambda *arguments: None\n")
    report = check(a_bare_python, packages(torch, **{need.name: "99" for need in requirements.needed()}))
    assert report.problem is not None
    assert report.problem.id == "gpu-unused"
    assert report.problem.action == "reinstallTorch"
    assert report.gpus == ("NVIDIA RTX A4000",)
    assert report.canCompute


@pytest.mark.process
def test_importing_the_package_loads_no_pytorch_and_no_numpy(repository: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(repository / 'MAESILSlicer')!r}); "
        "from MAESILSlicerLib.system import check, diagnostics, install, installers, storage; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "pydantic", "slicer", "PyTorchUtils"} & set(done.stdout.split())
