"""Losses, each a plain function of tensors."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def masked_mse(
    prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean squared error over hidden patches (He et al. 2022, section 3; methods.md 1.5).

    Args:
        prediction: (B, N, p^3) predicted patches.
        target: (B, N, p^3) true patches.
        weight: (B, N), 1 where a patch counts and 0 where not; None counts all.

    Returns:
        Scalar: the mean over the counted patches of each patch's mean over its voxels.
    """
    per_patch = (prediction - target).square().mean(dim=-1)
    if weight is None:
        return per_patch.mean()
    weight = weight.to(per_patch.dtype)
    return (per_patch * weight).sum() / weight.sum().clamp_min(1.0)


def normalise_patches(
    patches: torch.Tensor, eps: float = 1e-6
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Standardise every patch by its own mean and standard deviation (He et al. 2022, Hi-End-MAE; methods.md 6.4).

    Args:
        patches: (B, N, p^3).
        eps: added to the variance.

    Returns:
        The normalised patches and the mean and standard deviation, (B, N, 1) each, that undo it.
    """
    mean = patches.mean(dim=-1, keepdim=True)
    deviation = (patches.var(dim=-1, unbiased=False, keepdim=True) + eps).sqrt()
    return (patches - mean) / deviation, mean, deviation


def hidden_log_mse(
    prediction: torch.Tensor, target: torch.Tensor, inside: torch.Tensor, floor: float = 1e-4
) -> torch.Tensor:
    """Mean over the batch of the logarithm of each superpatch's mean squared error over hidden voxels.

    PSNR is a logarithm, too: a decibel of an easy superpatch weighs as much as one of a hard one, whose gradient would
    otherwise drown it.

    Args:
        prediction: (B, 1, K, J, I).
        target: (B, 1, K, J, I).
        inside: (B, 1, K, J, I), 1 at hidden voxels, else 0.
        floor: added to every mean squared error, so that no superpatch of pure air rules the gradient.

    Returns:
        Scalar, natural logarithm.
    """
    error = (prediction - target).square() * inside
    return torch.log(error.sum(dim=(1, 2, 3, 4)) / _count(inside) + floor).mean()


def hidden_dissimilarity(
    prediction: torch.Tensor, target: torch.Tensor, inside: torch.Tensor, box: int = 8
) -> torch.Tensor:
    """1 - SSIM (Wang et al. 2004) over boxes that overlap by half, weighted by their share of hidden voxels.

    Args:
        prediction: (B, 1, K, J, I) in [0, 1].
        target: (B, 1, K, J, I) in [0, 1].
        inside: (B, 1, K, J, I), 1 at hidden voxels, else 0.
        box: edge of the boxes, voxels; less where the superpatches are thinner.

    Returns:
        Scalar.
    """

    edges = [min(box, extent) for extent in prediction.shape[2:]]

    def mean(x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool3d(x, edges, stride=[max(1, edge // 2) for edge in edges])

    luminance, contrast = 0.01**2, 0.03**2
    mean_p, mean_t = mean(prediction), mean(target)
    variance_p = mean(prediction.square()) - mean_p.square()
    variance_t = mean(target.square()) - mean_t.square()
    covariance = mean(prediction * target) - mean_p * mean_t
    similarity = (2 * mean_p * mean_t + luminance) * (2 * covariance + contrast)
    similarity = similarity / (
        (mean_p.square() + mean_t.square() + luminance) * (variance_p + variance_t + contrast)
    )
    weight = mean(inside)
    per_sample = ((1.0 - similarity) * weight).sum(dim=(1, 2, 3, 4)) / weight.sum(dim=(1, 2, 3, 4)).clamp_min(
        1e-6
    )
    return per_sample.mean()


def _count(inside: torch.Tensor) -> torch.Tensor:
    return inside.sum(dim=(1, 2, 3, 4)).clamp_min(1.0)
