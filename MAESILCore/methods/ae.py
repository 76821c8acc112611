"""The plain auto-encoder, a baseline (docs/methods.md, AE, VAE and VQ-VAE)."""

from __future__ import annotations

from pathlib import Path

import torch

from MAESILCore.methods.autoencoder import Autoencoder, AutoencoderConfig
from MAESILCore.methods.base import Batch, Losses, Step
from MAESILCore.methods.presets import PRESETS


class Ae(Autoencoder):
    """The bottleneck is z in R^c at each patch, and the loss the error of the voxels.

    The sizes of the auto-encoder that MAESIL's paper compares with are unknown, so they are ours.
    """

    name = "ae"
    config_type = AutoencoderConfig
    presets = PRESETS["ae"]
    default_recipe = Path(__file__).parent / "recipes" / "ae.yaml"

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__(config, config.latent_channels)

    def latent(self, encoded: torch.Tensor) -> torch.Tensor:
        """See `Autoencoder.latent`."""
        return encoded

    def training_losses(self, batch: Batch, step: Step) -> Losses:
        """L = 1/V sum over the voxels v of (x_v - y_v)^2."""
        x = batch.superpatches
        # fmt: off
        z = self.encode(x)                                                          # (B, c, k, j, i)
        y = self.decode(z)                                                          # (B, 1, K, J, I)
        # fmt: on
        error = self.pixel_error(y, x)
        return Losses(error, {self.config.pixel_loss: error})
