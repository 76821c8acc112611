"""Import of packages that are not part of the base installation."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from MAESILCore.errors import MissingPackageError

if TYPE_CHECKING:
    from types import ModuleType

#: pip names of packages with a different import name.
_PIP_NAMES = {
    "PIL": "pillow",
    "google_crc32c": "google-crc32c",
    "lightning_fabric": "lightning-fabric",
    "sklearn": "scikit-learn",
    "trame_slicer": "trame-slicer[standalone]",
    "yaml": "pyyaml",
}


def require(module: str, purpose: str) -> ModuleType:
    """Import an optional module.

    Args:
        module: dotted import name, for example `lightning_fabric` or `matplotlib.figure`.
        purpose: start of the error message, for example "The harmonic control".

    Raises:
        MissingPackageError: the package is not installed; the message gives the command that installs it.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        # An installed package with a missing dependency is a different error.
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        name = _PIP_NAMES.get(package, package)
        # Shells interpret brackets as a pattern.
        quoted = f"'{name}'" if "[" in name else name
        raise MissingPackageError(
            f"{purpose} needs the package {name}; install it with: python -m pip install {quoted}"
        ) from error
