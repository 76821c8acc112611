"""MAE: the plain masked autoencoder, the control of all other masked methods (docs/methods.md, MAE)."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field
from torch import nn

from MAESILCore.losses.masked import masked_mse
from MAESILCore.methods.base import Batch, Losses, Step
from MAESILCore.methods.masked import MaskedAutoencoder, MaskedConfig, draw_hidden
from MAESILCore.methods.presets import PRESETS
from MAESILCore.methods.targets import NormalisedVoxels, Voxels
from MAESILCore.nn.tokens import patchify, take, unpatchify


class MaeConfig(MaskedConfig):
    """Sizes and switches of `Mae`.

    Attributes:
        normalise_targets: standardise the target patches in the loss, for features (He et al. 2022, section 4.1).
            A reconstruction then estimates the statistics of hidden patches from the smooth fill.
        decode_fraction: share of the hidden tokens that are decoded in training; 1 is the published method. The presets
            `small` and `base` have that of `maesil`, so that both cost the same.
    """

    normalise_targets: bool = False
    decode_fraction: float = Field(default=1.0, gt=0.0, le=1.0)


class Mae(MaskedAutoencoder):
    """Masked autoencoder in 3D (He et al. 2022, arXiv:2111.06377, section 3).

    Differs from paper and released code: patches and positions are 3D; the target is the raw voxel unless
    `normalise_targets`, as pictures are scored; and of the hidden tokens only a `decode_fraction` may be decoded in
    training. The recipe draws random masks; of other masks, too, the loss counts each hidden patch once.
    """

    name = "mae"
    config_type = MaeConfig
    presets = PRESETS["mae"]
    default_recipe = Path(__file__).parent / "recipes" / "mae.yaml"
    config: MaeConfig

    def __init__(self, config: MaeConfig) -> None:
        super().__init__(config)
        self.target = NormalisedVoxels() if config.normalise_targets else Voxels()
        if not config.normalise_targets:
            nn.init.constant_(self.head.bias, 0.5)  # mid-window

    def forward(
        self, superpatches: torch.Tensor, hidden: torch.Tensor, start: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Predict all patches, (B, N, p^3), in units of the target; see `Batch` for the arguments."""
        _, tokens = self.placed(superpatches, hidden, start)  # (B, 1 + N, D)
        return self.head(self.decode(tokens))

    def training_losses(self, batch: Batch, step: Step) -> Losses:
        """L = 1/|M| sum over hidden patches i in M of 1/p^3 |x_i - y_i|^2, and its mean over the superpatches."""
        x = self.target.standardised(patchify(batch.superpatches, self.config.patch_size))  # (B, N, p^3)
        if self.config.decode_fraction == 1.0:
            y = self(batch.superpatches, batch.hidden, batch.start)  # (B, N, p^3)
            return Losses(masked_mse(y, x, batch.hidden.flatten(1)))
        split, tokens = self.placed(batch.superpatches, batch.hidden, batch.start)
        chosen = draw_hidden(batch.hidden, self.config.decode_fraction, batch.seeds)
        y, weight = self.predict_some(tokens, split, chosen, batch.hidden)  # (B, C, p^3), (B, C)
        return Losses(masked_mse(y, take(x, chosen.visible), weight))

    def reconstruct(self, superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """See `Method.reconstruct`."""
        patch = self.config.patch_size
        picture = unpatchify(self(superpatches, hidden), self._lattice(superpatches), patch)
        return self.target.voxels(picture, superpatches, hidden, patch)
