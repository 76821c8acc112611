"""MAESIL: masked autoencoding of 3D CT, from a scan on disk to a reconstruction with its error map.

The public names are imported lazily, so importing this package loads neither numpy nor torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from MAESILCore.data.labels import read_segmentation, write_segmentation
    from MAESILCore.data.segmentation import Segment, Segmentation
    from MAESILCore.data.volume import Volume, find_scans, list_series, read_volume, write_volume
    from MAESILCore.data.window import LUNG_TO_BONE, SOFT_TISSUE, Window
    from MAESILCore.downstream.classification import classify, load_classifier, train_classifier
    from MAESILCore.downstream.segmentation.cases import read_cases
    from MAESILCore.downstream.segmentation.evaluate import evaluate_segmentation
    from MAESILCore.downstream.segmentation.inference import segment
    from MAESILCore.downstream.segmentation.model import load_segmentation_model
    from MAESILCore.downstream.segmentation.trainer import train_segmentation
    from MAESILCore.errors import (
        Cancelled,
        CheckpointError,
        ConfigError,
        MaesilError,
        MissingPackageError,
        OutOfMemoryError,
        VolumeError,
    )
    from MAESILCore.inference import (
        LevelFeatures,
        Reconstruction,
        encode,
        encode_levels,
        reconstruct,
        save_features,
        save_reconstruction,
    )
    from MAESILCore.lattice import (
        FeatureMap,
        Mask,
        MaskStrategy,
        SuperpatchGrid,
        roi_mask_from_box,
        roi_mask_from_label,
    )
    from MAESILCore.models.card import Card
    from MAESILCore.models.checkpoint import LoadedModel, load_checkpoint, save_checkpoint
    from MAESILCore.phantom import Phantom, make_phantom
    from MAESILCore.scoring.evaluate import evaluate
    from MAESILCore.training import pretrain

__version__ = "0.1.0"

_HOMES = {
    "data.labels": ("read_segmentation", "write_segmentation"),
    "data.segmentation": ("Segment", "Segmentation"),
    "data.volume": ("Volume", "find_scans", "list_series", "read_volume", "write_volume"),
    "data.window": ("LUNG_TO_BONE", "SOFT_TISSUE", "Window"),
    "downstream.classification": ("classify", "load_classifier", "train_classifier"),
    "downstream.segmentation.cases": ("read_cases",),
    "downstream.segmentation.evaluate": ("evaluate_segmentation",),
    "downstream.segmentation.inference": ("segment",),
    "downstream.segmentation.model": ("load_segmentation_model",),
    "downstream.segmentation.trainer": ("train_segmentation",),
    "errors": (
        "Cancelled",
        "CheckpointError",
        "ConfigError",
        "MaesilError",
        "MissingPackageError",
        "OutOfMemoryError",
        "VolumeError",
    ),
    "inference": (
        "LevelFeatures",
        "Reconstruction",
        "encode",
        "encode_levels",
        "reconstruct",
        "save_features",
        "save_reconstruction",
    ),
    "lattice": (
        "FeatureMap",
        "Mask",
        "MaskStrategy",
        "SuperpatchGrid",
        "roi_mask_from_box",
        "roi_mask_from_label",
    ),
    "models.card": ("Card",),
    "models.checkpoint": ("LoadedModel", "load_checkpoint", "save_checkpoint"),
    "phantom": ("Phantom", "make_phantom"),
    "scoring.evaluate": ("evaluate",),
    "training": ("pretrain",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "LUNG_TO_BONE",
    "SOFT_TISSUE",
    "Cancelled",
    "Card",
    "CheckpointError",
    "ConfigError",
    "FeatureMap",
    "LevelFeatures",
    "LoadedModel",
    "MaesilError",
    "Mask",
    "MaskStrategy",
    "MissingPackageError",
    "OutOfMemoryError",
    "Phantom",
    "Reconstruction",
    "Segment",
    "Segmentation",
    "SuperpatchGrid",
    "Volume",
    "VolumeError",
    "Window",
    "classify",
    "encode",
    "encode_levels",
    "evaluate",
    "evaluate_segmentation",
    "find_scans",
    "list_series",
    "load_checkpoint",
    "load_classifier",
    "load_segmentation_model",
    "make_phantom",
    "pretrain",
    "read_cases",
    "read_segmentation",
    "read_volume",
    "reconstruct",
    "roi_mask_from_box",
    "roi_mask_from_label",
    "save_checkpoint",
    "save_features",
    "save_reconstruction",
    "segment",
    "train_classifier",
    "train_segmentation",
    "write_segmentation",
    "write_volume",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
