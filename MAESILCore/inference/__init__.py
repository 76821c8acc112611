"""Masked reconstruction of whole volumes: predict hidden patches, map errors, save results."""

from MAESILCore.inference.features import encode
from MAESILCore.inference.network import Reconstructor
from MAESILCore.inference.result import Reconstruction, hidden_shares
from MAESILCore.inference.saving import save_reconstruction
from MAESILCore.inference.whole_volume import reconstruct

__all__ = [
    "Reconstruction",
    "Reconstructor",
    "encode",
    "hidden_shares",
    "reconstruct",
    "save_reconstruction",
]
