"""What MAESIL needs and what it must not touch."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from MAESILSlicerLib.system import requirements
from MAESILSlicerLib.system.requirements import Requirement

#: Slicer brings these, or the PyTorch extension does.
NOT_BY_PIP = {"jinja2", "numpy", "pydicom", "simpleitk", "torch"}


def test_the_list_says_the_same_as_the_library(repository: Path) -> None:
    """As text: tomllib came with Python 3.11."""
    project = (repository / "pyproject.toml").read_text(encoding="utf-8")
    block = project.partition("\ndependencies = [\n")[2].partition("]")[0]
    wanted = {line.strip().strip('",') for line in block.splitlines() if line.strip()}
    ours = {str(need) for need in requirements.needed()}
    theirs = {line for line in wanted if line.partition(">=")[0].lower() not in NOT_BY_PIP}
    assert ours == theirs
    assert len(ours) == 5


def test_no_requirement_pins_a_version() -> None:
    for need in requirements.needed():
        assert need.bounds.startswith(">=")
        assert "==" not in need.bounds


@pytest.mark.parametrize(
    ("bounds", "installed", "isMet"),
    [
        (">=5.2", "5.2", True),
        (">=5.2", "5.10.1", True),
        (">=5.2", "5.1.9", False),
        (">=2.2,<2.13", "2.6.0+cu124", True),
        (">=2.2,<2.13", "2.13.0", False),
        (">=2.2", "2.2.0rc1", True),
        ("", "0.1", True),
        (">=1", None, False),
    ],
)
def test_versions_are_held_against_bounds(bounds: str, installed: str | None, isMet: bool) -> None:
    assert Requirement("package", bounds).isMetBy(installed) is isMet


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("2.0.0", (2,)), ("2.6.0+cu124", (2, 6)), ("535.183.01", (535, 183, 1)), ("x", (0,))],
)
def test_the_release_of_a_version_is_its_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert requirements.release(text) == numbers


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


def test_slicer_reads_the_list_as_this_does(repository: Path) -> None:
    """`slicer.packaging` reads such files with the library packaging."""
    packaging = pytest.importorskip("packaging.requirements")
    for need in requirements.needed():
        parsed = packaging.Requirement(str(need))
        assert parsed.name == need.name
        assert version(need.name) in parsed.specifier
