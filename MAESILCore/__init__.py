"""MAESIL: masked autoencoding of 3D CT, from a scan on disk to a reconstruction with its error map.

Importing this package loads neither numpy nor torch; a name below loads its module when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from MAESILCore.errors import (
        Cancelled,
        CheckpointError,
        ConfigError,
        MaesilError,
        MissingPackageError,
        OutOfMemoryError,
        VolumeError,
    )
    from MAESILCore.volume import Volume, read_volume, write_volume
    from MAESILCore.window import LUNG_TO_BONE, SOFT_TISSUE, Window

__version__ = "0.1.0"

_HOMES = {
    "errors": (
        "Cancelled",
        "CheckpointError",
        "ConfigError",
        "MaesilError",
        "MissingPackageError",
        "OutOfMemoryError",
        "VolumeError",
    ),
    "volume": ("Volume", "read_volume", "write_volume"),
    "window": ("LUNG_TO_BONE", "SOFT_TISSUE", "Window"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "LUNG_TO_BONE",
    "SOFT_TISSUE",
    "Cancelled",
    "CheckpointError",
    "ConfigError",
    "MaesilError",
    "MissingPackageError",
    "OutOfMemoryError",
    "Volume",
    "VolumeError",
    "Window",
    "read_volume",
    "write_volume",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
