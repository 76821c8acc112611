"""A place that cannot take the results is refused before there are any."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from MAESILCore import cli, optional, write_volume
from MAESILCore.cli.places import check_apart, check_file, check_folder
from MAESILCore.data.volume import Volume
from MAESILCore.errors import VolumeError


@pytest.fixture
def a_scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.nii.gz"
    write_volume(Volume(np.random.default_rng(3).integers(-1000, 500, (8, 9, 10), np.int16), np.eye(4)), path)
    return path


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model, which comes before all other work, fails the test."""
    monkeypatch.setattr(
        "MAESILCore.models.checkpoint.load_checkpoint", lambda path: pytest.fail("work was begun")
    )


def test_a_place_is_left_as_it_was(tmp_path: Path) -> None:
    check_folder(tmp_path / "new" / "folder")
    check_file(tmp_path / "file")
    check_apart(tmp_path / "one", tmp_path / "other")
    assert list(tmp_path.iterdir()) == []


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(VolumeError, match=r"cannot be written to: Not a directory"):
            check_folder(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc belongs to Linux")
def test_a_folder_that_takes_no_files_is_refused() -> None:
    with pytest.raises(VolumeError, match=r"The folder /proc/.* cannot be written to"):
        check_folder(Path("/proc/results"))


@pytest.mark.slow
@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reconstruct", "{scan}", "--out", "{scan}"], "cannot be written to"),
        (["demo", "{scan}", "--out", "{scan}"], "cannot be written to"),
        (["evaluate", "{scan}", "--json", "{folder}"], "is a folder: give the name of a file"),
        (["evaluate", "{scan}", "--json", "{scan}/a.json"], "there is no folder"),
        (["evaluate", "{scan}", "--json", "{folder}/new/a.json"], "there is no folder"),
        (["evaluate", "{scan}", "--json", "{folder}/a", "--table", "{folder}"], "is a folder"),
        (
            ["evaluate", "{scan}", "--json", "{folder}/a", "--table", "{folder}/./a"],
            "Both outputs have the path",
        ),
    ],
)
def test_commands_ask_before_they_work(
    arguments: list[str],
    words: str,
    a_scan: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = a_scan.read_bytes()
    assert cli.main([part.format(scan=a_scan, folder=a_scan.parent) for part in arguments]) == 2
    assert words in capsys.readouterr().err
    assert list(a_scan.parent.iterdir()) == [a_scan]
    assert a_scan.read_bytes() == before


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(("package", "name"), [("matplotlib", "matplotlib"), ("PIL", "pillow")])
def test_the_demo_misses_its_packages_at_once(
    package: str,
    name: str,
    a_scan: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def without(module: str) -> object:
        if module == package:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        return import_module(module)

    monkeypatch.setattr(optional, "import_module", without)
    assert cli.main(["demo", str(a_scan), "--out", str(a_scan.parent / "results")]) == 2
    assert f"python -m pip install {name}" in capsys.readouterr().err
    assert not (a_scan.parent / "results").exists()
