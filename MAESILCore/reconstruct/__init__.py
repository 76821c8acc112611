"""Masked reconstruction of whole volumes: hidden parts filled in, errors mapped, results saved."""

from MAESILCore.reconstruct.network import Reconstructor
from MAESILCore.reconstruct.result import Reconstruction, hidden_shares
from MAESILCore.reconstruct.saving import save_reconstruction
from MAESILCore.reconstruct.scoring import check_controls, describe_metrics, score_reconstruction
from MAESILCore.reconstruct.whole_volume import reconstruct

__all__ = [
    "Reconstruction",
    "Reconstructor",
    "check_controls",
    "describe_metrics",
    "hidden_shares",
    "reconstruct",
    "save_reconstruction",
    "score_reconstruction",
]
