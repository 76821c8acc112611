"""Variance and covariance of features as losses against their collapse."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

from MAESILCore.errors import ConfigError
from MAESILCore.nn.sums import sum_over_processes


class VarianceCovariance(NamedTuple):
    """Two scalars.

    Attributes:
        variance: 0 if every feature varies by at least 1.
        covariance: 0 if no two features are correlated.
    """

    variance: torch.Tensor
    covariance: torch.Tensor


def variance_covariance(
    features: torch.Tensor, over: Literal["tokens", "batch"], eps: float = 1e-4
) -> VarianceCovariance:
    """The two regularisers of VICReg (Bardes et al. 2021, equations 1 and 3; docs/methods.md, JEPA-VCR).

        V = mean over features of max(0, 1 - sqrt(Var + eps))
        C = 1/D sum over i != j of Cov_ij^2

    Both are unbiased, and float32 under autocast. Under a training of several processes the samples are those of all
    processes, which must call this with equal T and D.

    Args:
        features: (B, T, D). B may differ between processes.
        over: `tokens` takes the variance over all B*T tokens. `batch` takes it over the samples at every place, and
            the mean over the places, as the paper does. Covariances are always over all tokens.
        eps: keeps the root differentiable.

    Raises:
        ConfigError: `over` is `batch`, and there is one sample.
    """
    with torch.autocast(features.device.type, enabled=False):
        features = features.float()
        covariance, samples = _over_tokens(features), _count(features, len(features))
        variances = covariance.diagonal()
        if over == "batch":
            if int(samples) < 2:
                raise ConfigError(
                    "A variance over the batch needs at least two crops: give a larger batch_size, or set "
                    "variance_over to tokens."
                )
            centred = features - sum_over_processes(features.detach().sum(dim=0)) / samples
            variances = sum_over_processes(centred.square().sum(dim=0)) / (samples - 1)  # (T, D)
        variance = (1.0 - (variances + eps).sqrt()).clamp_min(0.0).mean()
        return VarianceCovariance(variance, off_diagonal_energy(covariance))


def off_diagonal_energy(covariance: torch.Tensor) -> torch.Tensor:
    """1/D times the sum of the squares beside the diagonal of (D, D)."""
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / len(covariance)


def _over_tokens(features: torch.Tensor) -> torch.Tensor:
    """The covariance, (D, D), of all tokens of all processes."""
    tokens = features.flatten(0, 1)
    count = _count(features, len(tokens))
    # Without gradient: the deviations sum to 0, so the mean's own gradient is 0.
    centred = tokens - sum_over_processes(tokens.detach().sum(dim=0)) / count
    return sum_over_processes(centred.mT @ centred) / (count - 1).clamp_min(1.0)


def _count(features: torch.Tensor, mine: int) -> torch.Tensor:
    return sum_over_processes(features.new_tensor(float(mine)))
