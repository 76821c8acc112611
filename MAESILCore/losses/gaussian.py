"""The divergence of a normal distribution from the standard one."""

from __future__ import annotations

import torch


def standard_normal_divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL = -1/2 mean(1 + ln var - mean^2 - var) (Kingma and Welling 2013, appendix B).

    The paper sums over the values of a latent; this is their mean, so that its weight does not depend on the extents
    of a crop.

    Args:
        mean: (B, c, k, j, i).
        log_variance: (B, c, k, j, i), the natural logarithm.

    Returns:
        Scalar, not negative, in nats per value.
    """
    return -0.5 * (1.0 + log_variance - mean.square() - log_variance.exp()).mean()
