"""A folder of wheels for computers without internet: what is in it, and whether it will do."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.tags import Tag, sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from MAESILSlicerLib.system.requirements import isMet


class Wheel(NamedTuple):
    """What the file name of a wheel says."""

    file: str
    name: str
    version: Version
    tags: frozenset[Tag]


def wheelsIn(folder: Path) -> list[Wheel]:
    """The wheels in a folder, by name; files with other names are left out."""
    found = []
    for path in sorted(folder.iterdir()):
        try:
            name, version, _build, tags = parse_wheel_filename(path.name)
        except (InvalidWheelFilename, InvalidVersion):
            continue
        found.append(Wheel(path.name, name, version, tags))
    return found


def shortcoming(
    folder: Path, needs: Sequence[Requirement], supported: Iterable[Tag] | None = None
) -> str | None:
    """One sentence on why these requirements cannot be installed from a folder, or None when they seem to be there.

    What they need in turn is left to pip, which looks into the wheels.

    Args:
        folder: of wheels.
        needs: what is to be installed.
        supported: the tags of wheels that can be installed; those of this Python on this computer by default.
    """
    if not folder.is_dir():
        return f"There is no folder {str(folder)!r}; choose the one that holds the wheels."
    wheels = wheelsIn(folder)
    if not wheels:
        return f"The folder {folder.name!r} holds no wheels (files that end in .whl). {_howToFill(needs)}"
    tags = frozenset(sys_tags() if supported is None else supported)
    for need in needs:
        same = [wheel for wheel in wheels if wheel.name == canonicalize_name(need.name)]
        fitting = [wheel for wheel in same if wheel.tags & tags]
        if not same:
            return f"The folder {folder.name!r} holds no wheel of {need.name}. {_howToFill([need])}"
        if not fitting:
            return (
                f"{same[0].file} in the folder is for another computer or Python; this Slicer has Python "
                f"{platform.python_version()} on {platform.system()} ({platform.machine()})."
            )
        if not any(isMet(need, str(wheel.version)) for wheel in fitting):
            return f"The folder has {need.name} {fitting[0].version}, but {need} is needed."
    return None


def _howToFill(needs: Sequence[Requirement]) -> str:
    names = " ".join(f'"{need}"' for need in needs)
    command = f"PythonSlicer -m pip download --only-binary=:all: --dest wheels {names}"
    return f"Fill it on a computer of the same kind with the same Slicer and with internet: {command}"
