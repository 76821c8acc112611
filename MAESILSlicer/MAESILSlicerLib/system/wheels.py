"""A folder of wheels for computers without internet: what is in it, and whether it will do."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from MAESILSlicerLib.system.requirements import Requirement, normalized

_PLATFORMS = {"Linux": "linux", "Windows": "win", "Darwin": "macosx"}
#: What wheels call a processor that Python calls otherwise.
_MACHINES = {
    "amd64": ("amd64", "x86_64"),
    "x86_64": ("x86_64", "amd64", "universal2"),
    "arm64": ("arm64", "universal2"),
}


@dataclass(frozen=True)
class Wheel:
    """What the name of a wheel says.

    Attributes:
        name: the distribution in its normalized spelling.
        version: of it.
        pythons: for example cp311 or py3.
        abis: for example cp311, abi3 or none.
        platforms: for example win_amd64 or any.
    """

    name: str
    version: str
    pythons: tuple[str, ...]
    abis: tuple[str, ...]
    platforms: tuple[str, ...]

    @classmethod
    def fromName(cls, name: str) -> Wheel | None:
        """The wheel with this file name, or None when it is not the name of one."""
        parts = name.removesuffix(".whl").split("-")
        if not name.endswith(".whl") or len(parts) not in (5, 6):
            return None
        tags = (tuple(part.split(".")) for part in parts[-3:])
        return cls(normalized(parts[0]), parts[1], *tags)

    def fits(self, python: tuple[int, int], system: str, machine: str) -> bool:
        """Whether it can be installed for this Python on this computer, as far as its name tells."""
        return self._fitsPython(*python) and any(
            _fitsPlatform(tag, system, machine) for tag in self.platforms
        )

    def _fitsPython(self, major: int, minor: int) -> bool:
        if {f"cp{major}{minor}", f"py{major}", f"py{major}{minor}"} & set(self.pythons):
            return True
        older = [
            int(tag.removeprefix(f"cp{major}")) for tag in self.pythons if re.fullmatch(rf"cp{major}\d+", tag)
        ]
        return "abi3" in self.abis and any(tag <= minor for tag in older)


def _fitsPlatform(tag: str, system: str, machine: str) -> bool:
    if tag == "any":
        return True
    machines = _MACHINES.get(machine.lower(), (machine.lower(),))
    return _PLATFORMS.get(system, system) in tag and tag.endswith(machines)


def shortcoming(
    folder: Path,
    needs: Sequence[Requirement],
    python: tuple[int, int] = sys.version_info[:2],
    system: str = platform.system(),
    machine: str = platform.machine(),
) -> str | None:
    """One sentence on why these requirements cannot be installed from a folder, or None when they seem to be there.

    What they need in turn is left to pip, which looks into the wheels.
    """
    if not folder.is_dir():
        return f"There is no folder {str(folder)!r}; choose the one that holds the wheels."
    wheels = [wheel for path in sorted(folder.iterdir()) if (wheel := Wheel.fromName(path.name))]
    if not wheels:
        return f"The folder {folder.name!r} holds no wheels (files that end in .whl). {_howToFill(needs)}"
    for need in needs:
        same = [wheel for wheel in wheels if wheel.name == normalized(need.name)]
        fitting = [wheel for wheel in same if wheel.fits(python, system, machine)]
        if not same:
            return f"The folder {folder.name!r} holds no wheel of {need.name}. {_howToFill([need])}"
        if not fitting:
            there = "-".join(".".join(tags) for tags in (same[0].pythons, same[0].platforms))
            return (
                f"The wheel of {need.name} in the folder is for another computer or Python ({there}); "
                f"this Slicer has Python {python[0]}.{python[1]} on {system} ({machine})."
            )
        if not any(need.isMetBy(wheel.version) for wheel in fitting):
            return f"The folder has {need.name} {fitting[0].version}, but {need} is needed."
    return None


def _howToFill(needs: Sequence[Requirement]) -> str:
    names = " ".join(f'"{need}"' for need in needs)
    command = f"PythonSlicer -m pip download --only-binary=:all: --dest wheels {names}"
    return f"Fill it on a computer of the same kind with the same Slicer and with internet: {command}"
