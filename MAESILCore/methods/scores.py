"""Validation scores of a batch: hidden PSNR, full PSNR, and feature collapse."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from MAESILCore.losses.variance_covariance import off_diagonal_energy
from MAESILCore.nn.fill import smooth_fill
from MAESILCore.nn.tokens import expand_patches


def hidden_psnr(
    predicted: torch.Tensor, target: torch.Tensor, hidden: torch.Tensor, patch_size: tuple[int, int, int]
) -> dict[str, float]:
    """PSNR in dB over hidden voxels, of a prediction and of the smooth fill.

    Args:
        predicted: (B, 1, K, J, I).
        target: (B, 1, K, J, I) in [0, 1].
        hidden: (B, Dk, Dj, Di) bool.
        patch_size: voxels along k, j, i.
    """
    inside = expand_patches(hidden[:, None], patch_size)
    filled = smooth_fill(target, hidden, patch_size)
    truth = target[inside]
    return {"psnr_hidden": psnr(predicted[inside], truth), "psnr_hidden_fill": psnr(filled[inside], truth)}


def feature_scores(features: torch.Tensor) -> dict[str, float]:
    """Scores of feature collapse (docs/decisions/0021-scores-without-voxels.md).

    Args:
        features: (B, C, k, j, i).

    Returns:
        `feature_rank`: effective rank, the exponential of the entropy of the normalised singular values (Roy and
        Vetterli 2007), 1 to C. `feature_spread`: channel mean of the standard deviation over all positions. Both fall
        when features collapse. `feature_covariance`: `losses.variance_covariance.off_diagonal_energy` over all
        positions, which rises when channels say the same.
    """
    vectors = features.float().transpose(0, 1).flatten(1).T  # (B*k*j*i, C)
    centred = vectors - vectors.mean(dim=0)
    values = torch.linalg.svdvals(centred)
    shares = values / values.sum().clamp_min(1e-12)
    covariance = centred.mT @ centred / max(len(centred) - 1, 1)
    entropy = -(shares * shares.clamp_min(1e-12).log()).sum()
    return {
        "feature_rank": float(entropy.exp()),
        "feature_spread": float(centred.std(dim=0, unbiased=False).mean()),
        "feature_covariance": float(off_diagonal_energy(covariance)),
    }


def deciding_score(scores: Mapping[str, float]) -> float:
    """The first score, which decides the best checkpoint of a run; minus infinity without one.

    Scores of features (`feature_...`) decide nothing (docs/decisions/0021-scores-without-voxels.md).
    """
    name, value = next(iter(scores.items()), ("", -math.inf))
    return -math.inf if name.startswith("feature_") else float(value)


def psnr(predicted: torch.Tensor, target: torch.Tensor) -> float:
    """PSNR in dB of two tensors of equal shape; the target is in [0, 1]."""
    error = (predicted.float().clamp(0, 1) - target).square().mean()
    return -10.0 * math.log10(max(float(error), 1e-10))
