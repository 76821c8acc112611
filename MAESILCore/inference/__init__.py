"""Passes over whole volumes: predict hidden patches, map errors, compute features, save results."""

from MAESILCore.inference.featurefiles import save_features
from MAESILCore.inference.features import LevelFeatures, encode, encode_levels
from MAESILCore.inference.network import Reconstructor
from MAESILCore.inference.result import Reconstruction, hidden_shares
from MAESILCore.inference.saving import save_reconstruction
from MAESILCore.inference.whole_volume import reconstruct

__all__ = [
    "LevelFeatures",
    "Reconstruction",
    "Reconstructor",
    "encode",
    "encode_levels",
    "hidden_shares",
    "reconstruct",
    "save_features",
    "save_reconstruction",
]
