"""The Python packages that MAESIL needs or must not change, read from the files in `Resources`."""

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
    """Whether a version meets a requirement; False for None (not installed) and for an invalid version."""
    try:
        return version is not None and need.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def isOlder(version: str, oldest: str) -> bool:
    """Whether a version is lower than another by its release numbers; False for an invalid version.

    Suffixes are ignored: `2.2.0a0+git`, as some vendors name their 2.2, is not older than 2.2.
    """
    try:
        return Version(Version(version).base_version) < Version(oldest)
    except InvalidVersion:
        return False


def read(file: Path) -> tuple[Requirement, ...]:
    """The requirements of a file that apply to this computer, one per line; comments start with `#`.

    Raises:
        ValueError: a line is not a requirement.
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
    """The requirements of MAESIL other than PyTorch and the packages of Slicer."""
    return read(paths.resource("requirements.txt"))


def unmetForTraining() -> tuple[Requirement, ...]:
    """The further requirements of pre-training that the current Python does not meet; needs no process of its own."""
    return tuple(
        need
        for need in read(paths.resource("requirements-train.txt"))
        if not isMet(need, _installed(need.name))
    )


def unmet(versions: Mapping[str, str | None]) -> list[Requirement]:
    """The requirements of `needed` that these installed versions (None: not installed) do not meet."""
    return [need for need in needed() if not isMet(need, versions.get(need.name))]


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def constraints(without: tuple[str, ...] = ()) -> list[str]:
    """Constraints that keep pip from replacing packages of Slicer and other extensions.

    Args:
        without: distributions to leave out, because they are being installed.
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
    """A temporary file of `constraints`, deleted after the block."""
    with TemporaryDirectory(prefix="MAESIL-") as folder:
        file = Path(folder) / "constraints.txt"
        file.write_text("\n".join(constraints(without)) + "\n", encoding="utf-8")
        yield file
