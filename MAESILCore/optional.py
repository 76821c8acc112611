"""The one place that asks for packages which are not part of the base installation."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from MAESILCore.errors import MissingPackageError

if TYPE_CHECKING:
    from types import ModuleType

#: What pip calls a package whose import name is another.
_PIP_NAMES = {
    "PIL": "pillow",
    "lightning_fabric": "lightning-fabric",
    "trame_slicer": "trame-slicer[standalone]",
    "yaml": "pyyaml",
}


def require(module: str, purpose: str) -> ModuleType:
    """Import an optional module, or say how to get it.

    Args:
        module: Dotted import name, for example `lightning_fabric` or `matplotlib.figure`.
        purpose: What it is needed for; begins the message, for example "The harmonic control".

    Raises:
        MissingPackageError: The package that holds the module is not installed.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        # A package that is there but lacks one of its own dependencies is broken in another way.
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        name = _PIP_NAMES.get(package, package)
        # Shells take brackets for a pattern.
        quoted = f"'{name}'" if "[" in name else name
        message = f"{purpose} needs the package {name}; install it with: python -m pip install {quoted}"
        raise MissingPackageError(message) from error
