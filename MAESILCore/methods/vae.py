"""The variational auto-encoder (Kingma and Welling 2013, arXiv:1312.6114; docs/methods.md, AE, VAE and VQ-VAE)."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field

from MAESILCore.losses.gaussian import standard_normal_divergence
from MAESILCore.methods.autoencoder import Autoencoder, AutoencoderConfig
from MAESILCore.methods.base import Batch, Losses, Step
from MAESILCore.methods.presets import PRESETS
from MAESILCore.nn.draws import draw_normals

#: Limits of the logarithm of the variance, whose exponential must not overflow.
LOG_VARIANCE = (-30.0, 20.0)


class VaeConfig(AutoencoderConfig):
    """Sizes of the trunk, and the weight of the divergence.

    Attributes:
        beta: weight of the divergence. For voxels with normal errors of deviation s, the bound of the paper has
            beta = 2 s^2 c / p^3, as error and divergence are means over voxels and over values of the latent: 1e-5 for
            s = 0.02, which is 40 HU in a window of 2000 HU, and 8 values per patch of 512 voxels.
    """

    beta: float = Field(default=1e-5, ge=0.0)


class Vae(Autoencoder):
    """The bottleneck is a mean and a variance of c values at each patch.

    The paper weighs both terms by the likelihood of the voxels; `beta` makes that a choice (Higgins et al. 2017).
    """

    name = "vae"
    config_type = VaeConfig
    presets = PRESETS["vae"]
    default_recipe = Path(__file__).parent / "recipes" / "vae.yaml"
    config: VaeConfig

    def __init__(self, config: VaeConfig) -> None:
        super().__init__(config, 2 * config.latent_channels)

    def latent(self, encoded: torch.Tensor) -> torch.Tensor:
        """The mean, without noise; see `Autoencoder.latent`."""
        return encoded.chunk(2, dim=1)[0]

    def training_losses(self, batch: Batch, step: Step) -> Losses:
        """L = 1/V sum over v of (x_v - y_v)^2 + beta KL, with y decoded from z = mu + sigma e, e ~ N(0, 1)."""
        x = batch.superpatches
        # fmt: off
        mean, log_variance = self.encode(x).chunk(2, dim=1)                         # (B, c, k, j, i) each
        log_variance = log_variance.clamp(*LOG_VARIANCE)
        z = mean + (0.5 * log_variance).exp() * noise_like(mean, batch.seeds)       # (B, c, k, j, i)
        y = self.decode(z)                                                          # (B, 1, K, J, I)
        # fmt: on
        error, divergence = self.pixel_error(y, x), standard_normal_divergence(mean, log_variance)
        total = error + self.config.beta * divergence
        return Losses(total, {self.config.pixel_loss: error, "kl": divergence})


def noise_like(values: torch.Tensor, seeds: torch.Tensor | None) -> torch.Tensor:
    """Standard normal numbers in the shape of `values`, one seed per sample; None is PyTorch's global generator."""
    if seeds is None:
        return torch.randn_like(values)
    return draw_normals(seeds, values[0].numel()).view_as(values)
