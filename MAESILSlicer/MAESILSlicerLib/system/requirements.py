"""What MAESIL needs of Python packages and what it must not touch, read from the files in `Resources`."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from MAESILSlicerLib import paths

_LINE = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?P<bounds>[<>=!~].*)?$")


@dataclass(frozen=True)
class Requirement:
    """One line of a requirements file: a distribution and the versions of it that will do.

    Attributes:
        name: as on the line.
        bounds: for example ">=5.2" or ">=1.26,<3"; "" for any version.
    """

    name: str
    bounds: str = ""

    def __str__(self) -> str:
        return self.name + self.bounds

    def isMetBy(self, version: str | None) -> bool:
        """Whether this version of the distribution, None for none, will do."""
        if version is None:
            return False
        for bound in filter(None, self.bounds.split(",")):
            oldest, newest = bound.removeprefix(">="), bound.removeprefix("<")
            if bound.startswith(">=") and release(version) < release(oldest):
                return False
            if bound.startswith("<") and release(version) >= release(newest):
                return False
        return True


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version without what follows them: `2.6.0+cu124` is (2, 6) and `2.3rc1` is (2, 3).

    Zeros at the end are dropped, so that 2.0 and 2.0.0 are alike.
    """
    numbers = re.match(r"\d+(\.\d+)*", version.strip())
    parts = [int(part) for part in numbers.group().split(".")] if numbers else [0]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def normalized(name: str) -> str:
    """A distribution's name in the one spelling that all its spellings share."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read(file: Path) -> tuple[Requirement, ...]:
    """The lines of a requirements or constraints file, comments aside.

    Raises:
        ValueError: a line is none that this module understands.
    """
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        match = _LINE.match(text)
        if match is None:
            message = f"{file.name}: a name and its bounds were expected, not {text!r}."
            raise ValueError(message)
        found.append(Requirement(match["name"], (match["bounds"] or "").replace(" ", "")))
    return tuple(found)


def needed() -> tuple[Requirement, ...]:
    """What MAESIL needs besides PyTorch, NumPy and SimpleITK."""
    return read(paths.resource("requirements.txt"))


def unmet(versions: Mapping[str, str | None]) -> list[Requirement]:
    """Those of `needed` which these installed versions (None for none) do not meet."""
    return [need for need in needed() if not need.isMetBy(versions.get(need.name))]


def constraints(without: tuple[str, ...] = ()) -> list[str]:
    """The lines that keep pip from replacing what Slicer and other extensions depend on.

    Args:
        without: distributions to leave free, because they are what is being installed.
    """
    lines = []
    for guard in read(paths.resource("constraints.txt")):
        if normalized(guard.name) in map(normalized, without):
            continue
        try:
            lines.append(f"{guard.name}=={importlib.metadata.version(guard.name)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(str(guard))
    return lines


@contextmanager
def constraintsFile(without: tuple[str, ...] = ()) -> Iterator[Path]:
    """A file of `constraints` for as long as the block lasts."""
    with TemporaryDirectory(prefix="MAESIL-") as folder:
        file = Path(folder) / "constraints.txt"
        file.write_text("\n".join(constraints(without)) + "\n", encoding="utf-8")
        yield file
