"""Mean squared error over hidden patches, and patch normalisation."""

from __future__ import annotations

import torch


def masked_mse(prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Mean squared error over hidden patches (He et al. 2022, section 3; docs/methods.md, MAESIL).

    Args:
        prediction: (B, N, p^3) predicted patches.
        target: (B, N, p^3) true patches.
        weight: (B, N), 1 where a patch counts, else 0.

    Returns:
        Scalar: the mean over the counted patches of each sample, and of these the mean over the samples.
    """
    return masked_power(prediction, target, weight, 2.0)


def masked_power(
    prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, exponent: float
) -> torch.Tensor:
    """Mean of |prediction - target|^exponent over hidden patches; see `masked_mse`."""
    error = prediction - target
    per_patch = (error.square() if exponent == 2.0 else error.abs().pow(exponent)).mean(dim=-1)
    weight = weight.to(per_patch.dtype)
    return ((per_patch * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(1.0)).mean()


def normalise_patches(
    patches: torch.Tensor, eps: float = 1e-6
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Standardise each patch by its own mean and standard deviation (He et al. 2022; docs/methods.md, Hi-End-MAE).

    Args:
        patches: (B, N, p^3).
        eps: added to the variance.

    Returns:
        The normalised patches, and their means and standard deviations, (B, N, 1) each.
    """
    mean = patches.mean(dim=-1, keepdim=True)
    deviation = (patches.var(dim=-1, unbiased=False, keepdim=True) + eps).sqrt()
    return (patches - mean) / deviation, mean, deviation
