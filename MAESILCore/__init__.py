"""MAESIL: masked autoencoding of 3D CT, from a scan on disk to a reconstruction with its error map.

The names below are the nouns that every program needs; each is loaded when it is first used, so that importing this
package loads neither numpy nor torch. The verbs are called like the rooms that they live in:

    from MAESILCore.reconstruct import reconstruct
    from MAESILCore.evaluate import evaluate
    from MAESILCore.pretrain import pretrain
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from MAESILCore.checkpoint import Card, LoadedModel, load_checkpoint, save_checkpoint
    from MAESILCore.errors import (
        Cancelled,
        CheckpointError,
        ConfigError,
        MaesilError,
        MissingPackageError,
        OutOfMemoryError,
        VolumeError,
    )
    from MAESILCore.masking import Mask, MaskStrategy, roi_mask_from_box, roi_mask_from_label
    from MAESILCore.phantom import Phantom, make_phantom
    from MAESILCore.reconstruct import Reconstruction, save_reconstruction
    from MAESILCore.superpatch import SuperpatchGrid
    from MAESILCore.volume import Volume, find_scans, list_series, read_volume, write_volume
    from MAESILCore.window import LUNG_TO_BONE, SOFT_TISSUE, Window

__version__ = "0.1.0"

_HOMES = {
    "checkpoint": ("Card", "LoadedModel", "load_checkpoint", "save_checkpoint"),
    "errors": (
        "Cancelled",
        "CheckpointError",
        "ConfigError",
        "MaesilError",
        "MissingPackageError",
        "OutOfMemoryError",
        "VolumeError",
    ),
    "masking": ("Mask", "MaskStrategy", "roi_mask_from_box", "roi_mask_from_label"),
    "phantom": ("Phantom", "make_phantom"),
    "reconstruct": ("Reconstruction", "save_reconstruction"),
    "superpatch": ("SuperpatchGrid",),
    "volume": ("Volume", "find_scans", "list_series", "read_volume", "write_volume"),
    "window": ("LUNG_TO_BONE", "SOFT_TISSUE", "Window"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "LUNG_TO_BONE",
    "SOFT_TISSUE",
    "Cancelled",
    "Card",
    "CheckpointError",
    "ConfigError",
    "LoadedModel",
    "MaesilError",
    "Mask",
    "MaskStrategy",
    "MissingPackageError",
    "OutOfMemoryError",
    "Phantom",
    "Reconstruction",
    "SuperpatchGrid",
    "Volume",
    "VolumeError",
    "Window",
    "find_scans",
    "list_series",
    "load_checkpoint",
    "make_phantom",
    "read_volume",
    "roi_mask_from_box",
    "roi_mask_from_label",
    "save_checkpoint",
    "save_reconstruction",
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
