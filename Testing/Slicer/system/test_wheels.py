"""A folder of wheels is judged before pip is let loose on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from MAESILSlicerLib.system import requirements, wheels
from MAESILSlicerLib.system.requirements import Requirement

TORCH = Requirement("torch", ">=2.2")
LINUX = ((3, 12), "Linux", "x86_64")


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("torch-2.6.0+cu124-cp312-cp312-linux_x86_64.whl", True),
        ("torch-2.6.0-cp312-cp312-manylinux_2_28_x86_64.whl", True),
        ("torch-2.6.0-cp311-cp311-linux_x86_64.whl", False),
        ("torch-2.6.0-cp312-cp312-win_amd64.whl", False),
        ("torch-2.6.0-cp312-cp312-manylinux_2_28_aarch64.whl", False),
        ("safetensors-0.8.0-cp310-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("safetensors-0.8.0-cp313-abi3-manylinux2014_x86_64.whl", False),
        ("nibabel-5.4.2-py3-none-any.whl", True),
        ("six-1.0-py2.py3-none-any.whl", True),
        ("old-1.0-py2-none-any.whl", False),
        ("tool-1.0-1-py3-none-any.whl", True),
    ],
)
def test_the_name_of_a_wheel_tells_for_whom_it_is(name: str, fits: bool) -> None:
    wheel = wheels.Wheel.fromName(name)
    assert wheel is not None
    assert wheel.fits(*LINUX) is fits


@pytest.mark.parametrize(
    ("name", "system", "machine"),
    [
        ("torch-2.6.0-cp312-cp312-win_amd64.whl", "Windows", "AMD64"),
        ("torch-2.2.2-cp312-none-macosx_10_9_x86_64.whl", "Darwin", "x86_64"),
        ("scipy-1.15.0-cp312-cp312-macosx_14_0_universal2.whl", "Darwin", "arm64"),
    ],
)
def test_other_systems_have_their_own_names_for_processors(name: str, system: str, machine: str) -> None:
    wheel = wheels.Wheel.fromName(name)
    assert wheel is not None
    assert wheel.fits((3, 12), system, machine)


@pytest.mark.parametrize("name", ["readme.txt", "torch.whl", "torch-2.6.0.tar.gz"])
def test_other_files_are_no_wheels(name: str) -> None:
    assert wheels.Wheel.fromName(name) is None


def shortcoming(folder: Path, *names: str) -> str | None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return wheels.shortcoming(folder, [TORCH], *LINUX)


def test_a_folder_that_will_do_has_no_shortcoming(tmp_path: Path) -> None:
    names = ("torch-2.1.0-cp312-cp312-linux_x86_64.whl", "torch-2.6.0-cp312-cp312-linux_x86_64.whl")
    assert shortcoming(tmp_path, *names) is None


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), "holds no wheels"),
        (("notes.txt",), "holds no wheels"),
        (("nibabel-5.4.2-py3-none-any.whl",), "holds no wheel of torch"),
        (
            ("torch-2.6.0-cp310-cp310-win_amd64.whl",),
            r"for another computer or Python \(cp310-win_amd64\); this Slicer has Python 3.12 on Linux \(x86_64\)",
        ),
        (("torch-2.1.0-cp312-cp312-linux_x86_64.whl",), "has torch 2.1.0, but torch>=2.2 is needed"),
    ],
)
def test_what_a_folder_lacks_is_said_in_a_sentence(
    tmp_path: Path, names: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(shortcoming(tmp_path, *names))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "There is no folder" in str(wheels.shortcoming(tmp_path / "no", [TORCH], *LINUX))


def test_how_an_empty_folder_is_filled_is_said(tmp_path: Path) -> None:
    needs = [TORCH, *requirements.needed()]
    command = str(wheels.shortcoming(tmp_path, needs, *LINUX)).partition("internet: ")[2]
    assert command.startswith("PythonSlicer -m pip download --only-binary=:all: --dest wheels ")
    assert '"torch>=2.2"' in command
    assert '"nibabel>=5.2"' in command
