"""Locations of MAESIL's own files in a build, an installation and a plain checkout."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_LIBRARY = Path(__file__).resolve().parent


def ensureCore() -> None:
    """Make `import MAESILCore` work.

    A build or installation has the package beside this one. In a checkout whose `MAESILSlicer` folder was added to
    Slicer's module paths, the package is one level up and is added to `sys.path` here.

    Raises:
        ImportError: the package was not found.
    """
    if importlib.util.find_spec("MAESILCore") is not None:
        return
    checkout = _LIBRARY.parent.parent
    if not (checkout / "MAESILCore" / "__init__.py").is_file():
        message = (
            "MAESILCore was found neither on Python's path nor beside the MAESIL module; "
            "install the MAESIL extension again, or clone the whole repository."
        )
        raise ImportError(message)
    # Appended last, so that other folders of the checkout do not shadow packages.
    sys.path.append(str(checkout))


def moduleFolder() -> Path:
    """The folder that holds `MAESILSlicer.py`."""
    return _LIBRARY.parent


def resource(*parts: str) -> Path:
    """A file of the module's `Resources`, for example `resource("Icons", "MAESILSlicer.png")`."""
    return moduleFolder().joinpath("Resources", *parts)
