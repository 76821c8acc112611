"""An auto-encoder with a codebook (van den Oord et al. 2017, arXiv:1711.00937; docs/methods.md, AE, VAE and VQ-VAE)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from MAESILCore.losses.quantisation import codebook_error, commitment
from MAESILCore.methods.abilities import Abilities
from MAESILCore.methods.autoencoder import Autoencoder, AutoencoderConfig
from MAESILCore.methods.base import Batch, Losses, Step
from MAESILCore.methods.presets import PRESETS
from MAESILCore.nn.codebook import Codebook


class VqVaeConfig(AutoencoderConfig):
    """Sizes of the trunk and of the codebook.

    Attributes:
        latent_channels: width of a code.
        codes: number of codes.
        codebook: `average` moves a code towards the mean of its encodings (appendix A.1 of the paper); `gradient` by
            the second term of equation 3.
        decay: decay of these averages and of the codes' use, per step.
        revive_below: a code whose use falls below this share of the mean use is replaced by an encoding; 0 replaces
            none.
        commitment_weight: the paper's beta.
    """

    latent_channels: int = Field(default=64, ge=1)
    codes: int = Field(default=1024, ge=2)
    codebook: Literal["average", "gradient"] = "average"
    decay: float = Field(default=0.99, gt=0.0, lt=1.0)
    revive_below: float = Field(default=0.05, ge=0.0, lt=1.0)
    commitment_weight: float = Field(default=0.25, ge=0.0)


class VqVae(Autoencoder):
    """The bottleneck is the nearest of K codes at each patch.

    Differences to the paper: unused codes are replaced, and the terms are means over channels (`losses.quantisation`).
    """

    name = "vq-vae"
    config_type = VqVaeConfig
    presets = PRESETS["vq-vae"]
    default_recipe = Path(__file__).parent / "recipes" / "vq-vae.yaml"
    config: VqVaeConfig

    def __init__(self, config: VqVaeConfig) -> None:
        super().__init__(config, config.latent_channels)
        self.codebook = Codebook(
            config.codes,
            config.latent_channels,
            config.codebook == "gradient",
            config.decay,
            config.revive_below,
        )

    @property
    def abilities(self) -> Abilities:
        """A patch has log2 K bits."""
        return replace(super().abilities, code_bits=math.log2(self.config.codes))

    def latent(self, encoded: torch.Tensor) -> torch.Tensor:
        """The nearest codes; see `Autoencoder.latent`."""
        return self.codebook(encoded.movedim(1, -1))[0].movedim(-1, 1)

    def begin_step(self, step: Step) -> None:
        """See `Method.begin_step`."""
        self.codebook.begin_step()

    def training_losses(self, batch: Batch, step: Step) -> Losses:
        """L = 1/V sum over v of (x_v - y_v)^2 + || sg[z] - e ||^2 + beta || z - sg[e] ||^2 (equation 3).

        The second term is missing where moving averages take its place. The decoder's gradient passes the codes
        unchanged. `perplexity` is that of the codes' use before this step.
        """
        x = batch.superpatches
        # fmt: off
        encoded = self.encode(x)                                                    # (B, d, k, j, i)
        z = encoded.flatten(2).mT                                                   # (B, N, d)
        e, numbers = self.codebook(z)                                               # (B, N, d), (B, N)
        passed = z + (e - z).detach()                                               # (B, N, d)
        y = self.decode(passed.mT.reshape(encoded.shape))                           # (B, 1, K, J, I)
        # fmt: on
        if batch.counts:
            self.codebook.gather(z, numbers, batch.seeds)
        error, distance = self.pixel_error(y, x), commitment(z, e)
        total = error + self.config.commitment_weight * distance
        parts = {
            self.config.pixel_loss: error,
            "commitment": distance,
            "perplexity": self.codebook.perplexity(),
        }
        if self.codebook.by_gradient:
            parts["codebook"] = codebook_error(z, e)
            total = total + parts["codebook"]
        return Losses(total, parts)

    def after_step(self, step: Step) -> None:
        """Update the codebook from the samples of all processes; see `Method.after_step`."""
        self.codebook.end_step()
