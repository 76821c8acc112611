"""Checks a folder of wheels for computers without internet."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.tags import Tag, sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from MAESILCore.wording import Sentence, joined
from MAESILSlicerLib.system.requirements import isMet


class Wheel(NamedTuple):
    """The parts of a wheel's file name."""

    file: str
    name: str
    version: Version
    tags: frozenset[Tag]


def wheelsIn(folder: Path) -> list[Wheel]:
    """The wheels in a folder, by file name; other files are ignored."""
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
) -> Sentence | None:
    """One sentence why these requirements cannot be installed from a folder; None if their wheels exist.

    Dependencies of the wheels are checked by pip only.

    Args:
        folder: folder of wheels.
        needs: the requirements.
        supported: the installable wheel tags; by default those of this Python on this computer.
    """
    if not folder.is_dir():
        return Sentence(
            "wheels.no-folder",
            'There is no folder "{folder}"; choose the folder of wheels.',
            folder=str(folder),
        )
    wheels = wheelsIn(folder)
    if not wheels:
        said = Sentence(
            "wheels.none",
            'The folder "{folder}" has no wheels (.whl files).',
            folder=folder.name,
        )
        return joined(said, _howToFill(needs))
    tags = frozenset(sys_tags() if supported is None else supported)
    for need in needs:
        same = [wheel for wheel in wheels if wheel.name == canonicalize_name(need.name)]
        fitting = [wheel for wheel in same if wheel.tags & tags]
        if not same:
            said = Sentence(
                "wheels.missing",
                'The folder "{folder}" has no wheel of {name}.',
                folder=folder.name,
                name=need.name,
            )
            return joined(said, _howToFill([need]))
        if not fitting:
            return Sentence(
                "wheels.other-computer",
                "{file} in the folder is for another computer or Python; "
                "this Slicer has Python {python} on {system} ({machine}).",
                file=same[0].file,
                python=platform.python_version(),
                system=platform.system(),
                machine=platform.machine(),
            )
        if not any(isMet(need, str(wheel.version)) for wheel in fitting):
            return Sentence(
                "wheels.other-version",
                "The folder has {name} {version}, but {need} is needed.",
                name=need.name,
                version=str(fitting[0].version),
                need=str(need),
            )
    return None


def _howToFill(needs: Sequence[Requirement]) -> Sentence:
    names = " ".join(f'"{need}"' for need in needs)
    command = f"PythonSlicer -m pip download --only-binary=:all: --dest wheels {names}"
    return Sentence(
        "wheels.how-to-fill",
        "Fill it on a similar computer with the same Slicer and internet access: {command}",
        command=command,
    )
