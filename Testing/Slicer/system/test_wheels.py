"""A folder of wheels is judged before pip is let loose on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags

from MAESILSlicerLib.system import requirements, wheels

TORCH = Requirement("torch>=2.2")


def tagsOf(*platforms: str) -> frozenset[Tag]:
    """What Python 3.12 can install on some platforms."""
    return frozenset(
        (*cpython_tags((3, 12), platforms=platforms), *compatible_tags((3, 12), "cp312", platforms))
    )


LINUX = tagsOf("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "linux_x86_64")


def shortcoming(
    folder: Path, *names: str, need: Requirement = TORCH, tags: frozenset[Tag] = LINUX
) -> str | None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return wheels.shortcoming(folder, [need], tags)


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("tool-2.6.0+cu124-cp312-cp312-linux_x86_64.whl", True),
        ("tool-2.6.0-cp312-cp312-manylinux_2_28_x86_64.whl", True),
        ("tool-2.6.0-cp311-cp311-linux_x86_64.whl", False),
        ("tool-2.6.0-cp312-cp312-win_amd64.whl", False),
        ("tool-2.6.0-cp312-cp312-manylinux_2_28_aarch64.whl", False),
        ("tool-0.8.0-cp310-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("tool-0.8.0-cp313-abi3-manylinux2014_x86_64.whl", False),
        ("tool-5.4.2-py3-none-any.whl", True),
        ("tool-1.0-py2.py3-none-any.whl", True),
        ("tool-1.0-py2-none-any.whl", False),
        ("tool-1.0-1-py3-none-any.whl", True),
        # Needs a newer Linux than this one, although system and processor agree.
        ("tool-1.0-cp312-cp312-manylinux_2_39_x86_64.whl", False),
    ],
)
def test_the_name_of_a_wheel_tells_for_whom_it_is(tmp_path: Path, name: str, fits: bool) -> None:
    told = shortcoming(tmp_path, name, need=Requirement("tool"))
    assert (told is None) is fits
    assert fits or "for another computer or Python" in str(told)


@pytest.mark.parametrize(
    ("name", "platform"),
    [
        ("torch-2.6.0-cp312-cp312-win_amd64.whl", "win_amd64"),
        ("torch-2.2.2-cp312-none-macosx_10_9_x86_64.whl", "macosx_10_9_x86_64"),
        ("Torch-2.15.0-cp312-cp312-macosx_14_0_universal2.whl", "macosx_14_0_universal2"),
    ],
)
def test_wheels_of_other_systems_are_known(tmp_path: Path, name: str, platform: str) -> None:
    assert shortcoming(tmp_path, name, tags=tagsOf(platform)) is None


def test_the_tags_are_those_of_this_python_unless_others_are_named(tmp_path: Path) -> None:
    (tmp_path / "torch-2.6.0-py3-none-any.whl").touch()
    assert wheels.shortcoming(tmp_path, [TORCH]) is None
    (tmp_path / "torch-2.6.0-py3-none-any.whl").rename(tmp_path / "torch-2.6.0-cp26-cp26mu-any.whl")
    assert "for another computer or Python" in str(wheels.shortcoming(tmp_path, [TORCH]))


@pytest.mark.parametrize(
    "name", ["readme.txt", "torch.whl", "torch-2.6.0.tar.gz", "torch-x.y-py3-none-any.whl"]
)
def test_other_files_are_no_wheels(tmp_path: Path, name: str) -> None:
    assert "has no wheels" in str(shortcoming(tmp_path, name))


def test_a_folder_that_will_do_has_no_shortcoming(tmp_path: Path) -> None:
    names = ("torch-2.1.0-cp312-cp312-linux_x86_64.whl", "torch-2.6.0-cp312-cp312-linux_x86_64.whl")
    assert shortcoming(tmp_path, *names) is None


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), "has no wheels"),
        (("notes.txt",), "has no wheels"),
        (("nibabel-5.4.2-py3-none-any.whl",), "has no wheel of torch"),
        (
            ("torch-2.6.0-cp310-cp310-win_amd64.whl",),
            "torch-2.6.0-cp310-cp310-win_amd64.whl in the folder is for another computer or Python; this Slicer has",
        ),
        (("torch-2.1.0-cp312-cp312-linux_x86_64.whl",), "has torch 2.1.0, but torch>=2.2 is needed"),
    ],
)
def test_what_a_folder_lacks_is_said_in_a_sentence(
    tmp_path: Path, names: tuple[str, ...], sentence: str
) -> None:
    assert re.search(sentence, str(shortcoming(tmp_path, *names)))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "There is no folder" in str(wheels.shortcoming(tmp_path / "no", [TORCH], LINUX))


def test_how_an_empty_folder_is_filled_is_said(tmp_path: Path) -> None:
    needs = [TORCH, *requirements.needed()]
    command = str(wheels.shortcoming(tmp_path, needs, LINUX)).partition("access: ")[2]
    assert command.startswith("PythonSlicer -m pip download --only-binary=:all: --dest wheels ")
    assert '"torch>=2.2"' in command
    assert '"nibabel>=5.2"' in command
