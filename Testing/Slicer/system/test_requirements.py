"""What MAESIL needs and what it must not touch."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from MAESILSlicerLib import paths
from MAESILSlicerLib.system import requirements

#: Slicer brings these, or the PyTorch extension does.
NOT_BY_PIP = {"jinja2", "numpy", "packaging", "pydicom", "simpleitk", "torch"}


def test_the_list_says_the_same_as_the_library(repository: Path) -> None:
    """As text: tomllib came with Python 3.11."""
    project = (repository / "pyproject.toml").read_text(encoding="utf-8")
    block = project.partition("\ndependencies = [\n")[2].partition("]")[0]
    wanted = {line.strip().strip('",') for line in block.splitlines() if line.strip()}
    ours = {str(need) for need in requirements.needed()}
    theirs = {line for line in wanted if line.partition(">=")[0].lower() not in NOT_BY_PIP}
    assert ours == theirs
    assert len(ours) == 5


def test_the_list_for_pre_training_says_the_same_as_the_extra(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    ours = requirements.read(paths.resource("requirements-train.txt"))
    assert sorted(map(str, ours)) == sorted(project["project"]["optional-dependencies"]["train"])


def test_what_pre_training_lacks_is_found_without_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {need.name: "99" for need in requirements.read(paths.resource("requirements-train.txt"))}
    del installed["lightning-fabric"]
    installed["pyyaml"] = "5.4"

    def find(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(requirements.importlib.metadata, "version", find)
    assert [need.name for need in requirements.unmetForTraining()] == ["lightning-fabric", "pyyaml"]


def test_no_requirement_pins_a_version() -> None:
    for need in requirements.needed():
        assert {one.operator for one in need.specifier} == {">="}


@pytest.mark.parametrize(
    ("bounds", "installed", "isMet"),
    [
        (">=5.2", "5.2", True),
        (">=5.2", "5.10.1", True),
        (">=5.2", "5.1.9", False),
        (">=2.2,<2.13", "2.6.0+cu124", True),
        (">=2.2,<2.13", "2.13.0", False),
        (">=2.2", "2.3.0rc1", True),
        (">=2.2", "2.2.0rc1", False),
        ("<=2.0", "2.0", True),
        ("<=2.0", "2.0.1", False),
        ("==2.0.*", "2.0.7", True),
        ("==2.0", "2.1", False),
        ("!=2.1", "2.1.0", False),
        ("!=2.1", "2.2", True),
        ("~=2.1", "2.9", True),
        ("~=2.1", "3.0", False),
        (">2.0", "2.0.0", False),
        (">2.0", "2.0.1", True),
        (">=1!1.0", "2.0", False),
        ("", "0.1", True),
        ("", "no version", False),
        (">=1", None, False),
    ],
)
def test_versions_are_held_against_bounds(bounds: str, installed: str | None, isMet: bool) -> None:
    assert requirements.isMet(Requirement(f"package{bounds}"), installed) is isMet


@pytest.mark.parametrize(
    ("version", "oldest", "isOlder"),
    [
        ("2.1.2+cu121", "2.2", True),
        ("2.2", "2.2.0", False),
        ("2.2.0a0+git81ea7a4", "2.2", False),
        ("2.10.0", "2.2", False),
        ("535.183.01", "525.60", False),
        ("450.51.06", "450.80", True),
        ("[N/A]", "450.80", False),
    ],
)
def test_only_the_numbers_say_that_a_version_is_older(version: str, oldest: str, isOlder: bool) -> None:
    assert requirements.isOlder(version, oldest) is isOlder


def test_what_is_installed_is_pinned_and_the_rest_keeps_its_range() -> None:
    lines = requirements.constraints()
    assert f"numpy=={version('numpy')}" in lines
    names = {line.partition("=")[0].partition(">")[0] for line in lines}
    assert {"numpy", "SimpleITK", "torch", "vtk"} <= names


def test_what_is_being_installed_is_left_free() -> None:
    lines = requirements.constraints(without=("torch", "torchvision"))
    assert not [line for line in lines if line.startswith("torch")]


def test_the_file_of_constraints_is_gone_afterwards() -> None:
    with requirements.constraintsFile() as file:
        assert "numpy==" in file.read_text(encoding="utf-8")
    assert not file.exists()


def test_a_line_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("numpy>=1.26  # fine\n\n-r other.txt\n")
    with pytest.raises(ValueError, match=r"not '-r other\.txt'"):
        requirements.read(file)


def test_what_is_for_other_computers_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text('one[extra]>=1,!=1.2; python_version >= "3"\ntwo; sys_platform == "amiga"\n')
    assert [str(need) for need in requirements.read(file)] == [
        'one[extra]!=1.2,>=1; python_version >= "3"',
    ]


def test_what_is_needed_is_installed_here() -> None:
    for need in requirements.needed():
        assert requirements.isMet(need, version(need.name))
