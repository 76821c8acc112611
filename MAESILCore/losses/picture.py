"""Losses for visual quality: hidden voxels in decibels, in a focus window, and by structure."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from MAESILCore.nn.tokens import expand_patches

#: All axes of a batch of superpatches but the first.
_SAMPLE = (1, 2, 3, 4)


def picture_losses(
    prediction: torch.Tensor,
    target: torch.Tensor,
    hidden: torch.Tensor,
    patch_size: tuple[int, int, int],
    focus: tuple[float, float] | None,
) -> dict[str, torch.Tensor]:
    """The three terms of the loss, each over the hidden voxels of a superpatch.

    Args:
        prediction: (B, 1, K, J, I).
        target: (B, 1, K, J, I) in [0, 1].
        hidden: (B, Dk, Dj, Di) bool.
        patch_size: voxels along k, j, i.
        focus: lower and upper end of the focus window, in [0, 1], if any.

    Returns:
        Scalars: `log_mse`, ln MSE; with a focus window `log_mse_focus`, the same in it; `dissimilarity`, 1 - SSIM.
    """
    prediction = prediction.float()
    inside = expand_patches(hidden.unsqueeze(1).to(prediction.dtype), patch_size)
    terms = {"log_mse": hidden_log_mse(prediction, target, inside)}
    if focus is not None:
        low, high = focus
        focused, truth = (((image - low) / (high - low)).clamp(0.0, 1.0) for image in (prediction, target))
        terms["log_mse_focus"] = hidden_log_mse(focused, truth, inside, floor=1e-3)
    return {**terms, "dissimilarity": hidden_dissimilarity(prediction, target, inside)}


def hidden_log_mse(
    prediction: torch.Tensor, target: torch.Tensor, inside: torch.Tensor, floor: float = 1e-4
) -> torch.Tensor:
    """Mean over the batch of the logarithm of each superpatch's mean squared error over hidden voxels.

    PSNR is a logarithm, too: a decibel weighs the same in easy and hard superpatches. Without the logarithm, hard ones
    would dominate the gradient.

    Args:
        prediction: (B, 1, K, J, I).
        target: (B, 1, K, J, I).
        inside: (B, 1, K, J, I), 1 at hidden voxels, else 0.
        floor: added to every mean squared error, so that superpatches of pure air do not dominate the gradient.

    Returns:
        Scalar, natural logarithm.
    """
    error = ((prediction - target).square() * inside).sum(dim=_SAMPLE)
    return torch.log(error / inside.sum(dim=_SAMPLE).clamp_min(1.0) + floor).mean()


def hidden_dissimilarity(
    prediction: torch.Tensor, target: torch.Tensor, inside: torch.Tensor, box: int = 8
) -> torch.Tensor:
    """1 - SSIM (Wang et al. 2004) over half-overlapping boxes, weighted by their share of hidden voxels.

    Args:
        prediction: (B, 1, K, J, I) in [0, 1].
        target: (B, 1, K, J, I) in [0, 1].
        inside: (B, 1, K, J, I), 1 at hidden voxels, else 0.
        box: edge of the boxes in voxels; smaller along thin axes.

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
    upper = (2 * mean_p * mean_t + luminance) * (2 * covariance + contrast)
    lower = (mean_p.square() + mean_t.square() + luminance) * (variance_p + variance_t + contrast)
    weight = mean(inside)
    dissimilarity = ((1.0 - upper / lower) * weight).sum(dim=_SAMPLE)
    return (dissimilarity / weight.sum(dim=_SAMPLE).clamp_min(1e-6)).mean()
