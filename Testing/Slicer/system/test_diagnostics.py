"""The copied diagnostics help whoever reads them and tell nothing of a patient or a person."""

from __future__ import annotations

from pathlib import Path

import pytest

import MAESILCore
from MAESILCore.machine import Device
from MAESILSlicerLib.system import diagnostics as module
from MAESILSlicerLib.system.diagnostics import diagnosticsText, redact
from MAESILSlicerLib.system.messages import explanation
from MAESILSlicerLib.system.report import SystemReport

REPORT = SystemReport(
    line="PyTorch 2.6.0+cpu (processor only) does not use NVIDIA RTX A4000.",
    canCompute=True,
    problem=explanation("gpu-unused"),
    devices=(Device("cpu", "Processor"),),
    details=(("Slicer", "5.12.3"), ("PyTorch", "2.6.0+cpu"), ("NVIDIA driver", "550.54.15")),
    errors="OSError: [Errno 2] No such file or directory: '/home/anna/thesis/torch.log'",
)


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as Anna, whose computer is called ward7."""
    monkeypatch.setattr(Path, "home", lambda: Path("/home/anna"))
    monkeypatch.setattr(module.getpass, "getuser", lambda: "anna")
    monkeypatch.setattr(module.platform, "node", lambda: "ward7.hospital.org")


def test_versions_problem_and_last_error_are_told() -> None:
    text = diagnosticsText(REPORT, "RuntimeError: CUDA error: unknown error")
    assert text.startswith(REPORT.line)
    assert f"MAESIL         {MAESILCore.__version__}\n" in text
    assert "NVIDIA driver  550.54.15\n" in text
    assert "Problem: gpu-unused\n" in text
    assert "Last error:\nRuntimeError: CUDA error: unknown error\n" in text
    assert "anna" not in text


def test_without_an_error_there_is_no_word_of_one() -> None:
    text = diagnosticsText(SystemReport("Ready.", True))
    assert "error" not in text
    assert "Problem" not in text


SECRETS = {
    "home": ("cannot read /home/anna/scans/ct.nii.gz now", "cannot read <path> now"),
    "home with a space": ("in '/home/anna b/x y/z'", "in '<path>'"),
    "Windows": (r"in C:\Users\Anna\ct.nrrd", "in <path>"),
    "Windows in a repr": (r"in 'C:\\Users\\Anna B\\ct'", "in '<path>'"),
    "share": (r"in \\ward7\scans\doe", "in <path>"),
    "relative": ("reading doe/john/1.dcm", "reading <path>"),
    "patient as folder": ("open /data/John Smith/ct.nii.gz", "open <path> <path>"),
    "file name alone": ("DOE_JOHN.nii.gz is damaged", "<file> is damaged"),
    "user": ("user Anna on ward7", "user <name> on <name>"),
    "DICOM name": ("patient DOE^JOHN^^DR has", "patient <name> has"),
    "date of birth": ("born 1957-03-08 or 8.3.1957 or 19570308", "born <date> or <date> or <number>"),
    "DICOM identifier": ("series 1.2.840.113619.2.55.3.60 failed", "series <identifier> failed"),
    "quoted volume": ("The volume 'Smith' is empty.", "The volume '<name>' is empty."),
    "double quotes": ('The volume "O\'Neil CT" is empty.', 'The volume "<name>" is empty.'),
    "path with an apostrophe": ('"/data/O\'Neil CT/x"', '"<path>"'),
    "mail": ("ask a.b@clinic.org", "ask <mail>"),
    "address": ("from 10.12.0.7", "from <address>"),
    "proxy": ("via http://anna:secret@proxy.clinic.org:8080/", "via <url>"),
}


@pytest.mark.parametrize("name", SECRETS)
def test_what_could_point_to_a_person_is_taken_away(name: str) -> None:
    text, redacted = SECRETS[name]
    assert redact(text) == redacted


def test_names_of_the_scene_are_taken_away_wherever_they_stand() -> None:
    assert redact("smith ct: no voxels", hidden=["Smith CT", "CT"]) == "<name>: no voxels"


@pytest.mark.parametrize(
    "text",
    [
        "ModuleNotFoundError: No module named 'torch._C'",
        "ModuleNotFoundError: No module named 'yaml'",
        "AttributeError: module 'torch' has no attribute '__version__'",
        "Failed to initialize NVML: Driver/library version mismatch",
        "Successfully installed torch-2.6.0+cu124 numpy-2.2.6; driver 535.183.01 and/or CUDA 12.4",
        "The driver is too old (found version 11040), it doesn't fit Slicer's 'cuda:0'",
    ],
)
def test_what_says_what_went_wrong_stays(text: str) -> None:
    assert redact(text) == text


def test_of_a_programs_path_the_part_that_is_its_own_stays() -> None:
    line = (
        'File "/home/anna/Slicer/lib/Python/lib/python3.12/site-packages/torch/__init__.py", line 405, in f'
    )
    assert redact(line) == 'File "<path>/torch/__init__.py", line 405, in f'


def test_an_endless_log_is_cut() -> None:
    assert len(diagnosticsText(SystemReport("Ready.", True), "word " * 10_000)) < 10_000


def test_what_pip_said_is_told_without_a_name_also_where_it_is_cut() -> None:
    log = "ERROR: John Smith " * 1000
    text = diagnosticsText(SystemReport("Ready.", True), hidden=["John Smith"], installLog=log)
    assert "Last installation:\n" in text
    assert text.endswith("ERROR: <name>\n")
    assert "Smith" not in text
