"""Where MAESIL's own files lie: after a build, after an installation, and in a plain checkout."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_LIBRARY = Path(__file__).resolve().parent


def ensureCore() -> None:
    """Make `import MAESILCore` work.

    Built and installed, the package lies beside this one and is found. In a checkout whose `MAESILSlicer` folder was
    added to Slicer's module paths it lies one level up, which nobody else puts on the path.

    Raises:
        ImportError: the package is nowhere to be found.
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
    # Last, so that nothing else in the checkout hides a package of the same name.
    sys.path.append(str(checkout))


def moduleFolder() -> Path:
    """The folder that holds `MAESILSlicer.py`."""
    return _LIBRARY.parent


def resource(*parts: str) -> Path:
    """A file of the module's `Resources`, for example `resource("Icons", "MAESILSlicer.png")`."""
    return moduleFolder().joinpath("Resources", *parts)
