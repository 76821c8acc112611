"""What MAESIL needs of Python packages and what it must not touch, read from the files in `Resources`."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from MAESILSlicerLib import paths


def isMet(need: Requirement, version: str | None) -> bool:
    """Whether this version of a distribution will do; None, for one that is not installed, and no version will not."""
    try:
        return version is not None and need.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def isOlder(version: str, oldest: str) -> bool:
    """Whether the numbers of a version are below those of another; False if it is no version that can be compared.

    Only numbers count: `2.2.0a0+git`, which some vendors call their 2.2, is not older than 2.2.
    """
    try:
        return Version(Version(version).base_version) < Version(oldest)
    except InvalidVersion:
        return False


def read(file: Path) -> tuple[Requirement, ...]:
    """The requirements of a file, one a line, that are for this computer; comments start with `#`.

    Raises:
        ValueError: a line is no requirement.
    """
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            need = Requirement(text)
        except InvalidRequirement as error:
            message = f"{file.name}: a name and its versions were expected, not {text!r}."
            raise ValueError(message) from error
        if need.marker is None or need.marker.evaluate():
            found.append(need)
    return tuple(found)


def needed() -> tuple[Requirement, ...]:
    """What MAESIL needs besides PyTorch and what Slicer brings."""
    return read(paths.resource("requirements.txt"))


def unmet(versions: Mapping[str, str | None]) -> list[Requirement]:
    """Those of `needed` which these installed versions (None for none) do not meet."""
    return [need for need in needed() if not isMet(need, versions.get(need.name))]


def constraints(without: tuple[str, ...] = ()) -> list[str]:
    """The lines that keep pip from replacing what Slicer and other extensions depend on.

    Args:
        without: distributions to leave free, because they are what is being installed.
    """
    free = {canonicalize_name(name) for name in without}
    lines = []
    for guard in read(paths.resource("constraints.txt")):
        if canonicalize_name(guard.name) in free:
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
