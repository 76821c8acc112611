"""MAESIL: a masked autoencoder over superpatches (arXiv:2604.00514; docs/methods.md, MAESIL)."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

from MAESILCore.losses.masked import masked_mse
from MAESILCore.losses.picture import picture_losses
from MAESILCore.methods.base import Batch, Losses, Step
from MAESILCore.methods.masked import FillHint, MaskedAutoencoder, MaskedConfig, NoHint, draw_hidden
from MAESILCore.methods.targets import (
    FillResidual,
    NoRefinement,
    NormalisedVoxels,
    Refinement,
    Voxels,
    mid_grey,
)
from MAESILCore.nn.fill import smooth_fill
from MAESILCore.nn.tokens import TokenSplit, expand_patches, patchify, take, unpatchify


class PictureLoss(BaseModel):
    """A loss for visual quality; it replaces the published masked MSE.

    ln MSE + `focus_weight` * ln MSE in the focus window + `similarity_weight` * (1 - SSIM), each over the hidden voxels
    of a superpatch.

    Attributes:
        focus: lower and upper end of the focus window, in [0, 1].
        focus_weight: weight of the second term.
        similarity_weight: weight of the third.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    focus: tuple[float, float]
    focus_weight: float = Field(default=0.5, ge=0.0)
    similarity_weight: float = Field(default=1.0, ge=0.0)

    @model_validator(mode="after")
    def _focus_rises(self) -> PictureLoss:
        if not 0.0 <= self.focus[0] < self.focus[1] <= 1.0:
            raise ValueError("the focus must be two rising numbers from 0 to 1")
        return self


class MaesilConfig(MaskedConfig):
    """Sizes and switches of `Maesil`.

    Attributes:
        residual_fill: predict the difference to a smooth fill of the visible voxels; the mask tokens receive the fill
            as a hint. Visible voxels are returned unchanged, so an unmasked pass has no score.
        refine_channels: channels of the convolutional output head; 0 is the published linear head.
        refine_depth: residual units per grid of that head, each way.
        normalise_targets: standardise the target patches in the loss. This is for representation learning: a
            reconstruction must estimate the statistics of hidden patches from the fill.
        decode_fraction: share of the hidden tokens that are decoded in training (VideoMAE V2's decoder mask,
            docs/methods.md, MAESIL); reconstruction decodes all.
        picture_loss: replaces the masked MSE.
    """

    residual_fill: bool = False
    refine_channels: int = Field(default=0, ge=0)
    refine_depth: int = Field(default=1, ge=1)
    normalise_targets: bool = False
    decode_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    picture_loss: PictureLoss | None = None

    @model_validator(mode="after")
    def _switches_fit(self) -> MaesilConfig:
        if self.refine_channels and len(set(self.patch_size)) > 1:
            raise ValueError(
                "the convolutional head (refine_channels > 0) needs patches with three equal sides"
            )
        if self.refine_channels and (self.patch_size[0] < 4 or self.patch_size[0] & (self.patch_size[0] - 1)):
            raise ValueError(
                "the convolutional head (refine_channels > 0) needs a patch size of 4, 8, 16, ..."
            )
        if self.refine_channels and self.decode_fraction < 1.0:
            raise ValueError(
                "the convolutional head needs every token: use decode_fraction 1 or refine_channels 0"
            )
        if self.normalise_targets and (self.residual_fill or self.refine_channels):
            raise ValueError("normalise_targets needs residual_fill false and refine_channels 0")
        if self.picture_loss and (self.normalise_targets or self.decode_fraction < 1.0):
            raise ValueError(
                "picture_loss needs whole pictures: decode_fraction 1 and normalise_targets false"
            )
        return self


#: `tiny` is for tests, `small` for a CPU, `base` for one GPU; the last two decode a quarter of the hidden tokens in
#: training, which saves most of the decoder's work. `paper` has the published shape and voxel targets, and decodes all
#: tokens (docs/methods.md, MAESIL).
PRESETS: dict[str, dict[str, object]] = {
    "tiny": {
        "encoder": {"width": 48, "depth": 2, "heads": 3},
        "decoder": {"width": 48, "depth": 1, "heads": 3},
    },
    "small": {
        "encoder": {"width": 256, "depth": 6, "heads": 4},
        "decoder": {"width": 192, "depth": 2, "heads": 3},
        "decode_fraction": 0.25,
    },
    "base": {
        "encoder": {"width": 512, "depth": 8, "heads": 8},
        "decoder": {"width": 256, "depth": 3, "heads": 4},
        "decode_fraction": 0.25,
    },
    "paper": {
        "encoder": {"width": 768, "depth": 6, "heads": 12},
        "decoder": {"width": 384, "depth": 3, "heads": 6},
    },
}


class Maesil(MaskedAutoencoder):
    """encode -> place -> decode -> head, and the mean squared error over hidden patches.

    Exchangeable parts: `fill` estimates hidden voxels without learning, `target` converts the head's output to voxels,
    and `refine` removes patch borders. The letters in the comments are those of `MaskedAutoencoder`.
    """

    name = "maesil"
    config_type = MaesilConfig
    presets = PRESETS
    default_recipe = Path(__file__).parent / "recipes" / "maesil.yaml"
    config: MaesilConfig

    def __init__(self, config: MaesilConfig) -> None:
        super().__init__(config, FillHint if config.residual_fill else NoHint)
        self.fill = smooth_fill if config.residual_fill or config.refine_channels else mid_grey
        self.target = Voxels()
        if config.residual_fill:
            self.target = FillResidual()
        elif config.normalise_targets:
            self.target = NormalisedVoxels()
        # The first prediction is the fill (or mid-window) without noise.
        nn.init.normal_(self.head.weight, std=0.002)
        if type(self.target) is Voxels:
            nn.init.constant_(self.head.bias, 0.5)
        self.refine: Refinement | NoRefinement = NoRefinement()
        if config.refine_channels:
            self.refine = Refinement(
                config.decoder.width, config.patch_size, config.refine_channels, config.refine_depth
            )

    def forward(
        self, superpatches: torch.Tensor, hidden: torch.Tensor, start: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Predict all voxels, (B, 1, K, J, I), in units of the target; see `Batch` for the arguments."""
        patch = self.config.patch_size
        # fmt: off
        fill, _, tokens = self._placed(superpatches, hidden, start)                 # (B, 1 + N, D)
        decoded = self.decode(tokens)                                               # (B, N, D)
        patches = self.head(decoded)                                                # (B, N, p^3)
        prediction = unpatchify(patches, self._lattice(superpatches), patch)        # (B, 1, K, J, I)
        inside = expand_patches(hidden.unsqueeze(1).to(prediction.dtype), patch)    # (B, 1, K, J, I)
        picture = self.target.picture(prediction, fill, inside)                     # (B, 1, K, J, I)
        # fmt: on
        return self.refine.refined(picture, fill, hidden, inside, decoded, self.target)

    def training_losses(self, batch: Batch, step: Step) -> Losses:
        """L = 1/|M| sum over hidden patches i in M of 1/p^3 |x_i - y_i|^2.

        The configuration may replace it by a `PictureLoss`, or restrict it to a share of the hidden patches.
        """
        if self.config.decode_fraction < 1.0:
            return self._loss_of_some(batch, step)
        # fmt: off
        predicted = self(batch.superpatches, batch.hidden, batch.start)             # (B, 1, K, J, I)
        if self.config.picture_loss is not None:
            return self._picture_loss(self.config.picture_loss, predicted, batch)
        x = patchify(batch.superpatches, self.config.patch_size)                    # (B, N, p^3)
        y = patchify(predicted, self.config.patch_size)                             # (B, N, p^3)
        # fmt: on
        return Losses(masked_mse(y, self.target.standardised(x), batch.hidden.flatten(1)))

    def reconstruct(self, superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """See `Method.reconstruct`."""
        return self.target.voxels(self(superpatches, hidden), superpatches, hidden, self.config.patch_size)

    def _placed(
        self, superpatches: torch.Tensor, hidden: torch.Tensor, start: torch.Tensor | None
    ) -> tuple[torch.Tensor, TokenSplit, torch.Tensor]:
        """The fill, the token split and the decoder's input."""
        # fmt: off
        fill = self.fill(superpatches, hidden, self.config.patch_size)              # (B, 1, K, J, I)
        split = TokenSplit.of(hidden)                                               # (B, V)
        latent = self.encode(superpatches, split, start)                            # (B, 1 + V, E)
        hint = self.fill_embed(fill)                                                # (B, N, D)
        lattice = self._lattice(superpatches)
        tokens = self.place(latent, split, lattice, start, hint)                    # (B, 1 + N, D)
        # fmt: on
        return fill, split, tokens

    def _loss_of_some(self, batch: Batch, step: Step) -> Losses:
        """Mean squared error over a random `decode_fraction` of the hidden patches."""
        patch = self.config.patch_size
        fill, split, tokens = self._placed(batch.superpatches, batch.hidden, batch.start)
        # fmt: off
        chosen = draw_hidden(batch.hidden, self.config.decode_fraction, step.generator)  # (B, C)
        decoded = self.decode_some(tokens, split, chosen)                           # (B, C, D)
        y = self.head(decoded)                                                      # (B, C, p^3)
        # fmt: on
        x, known = (take(patchify(each, patch), chosen) for each in (batch.superpatches, fill))
        return Losses(masked_mse(y, self.target.of(x, known), batch.hidden.flatten(1).gather(1, chosen)))

    def _picture_loss(self, terms: PictureLoss, predicted: torch.Tensor, batch: Batch) -> Losses:
        """See `PictureLoss`."""
        log_mse, focus, dissimilarity = picture_losses(
            predicted, batch.superpatches, batch.hidden, self.config.patch_size, terms.focus
        )
        total = log_mse + terms.focus_weight * focus + terms.similarity_weight * dissimilarity
        return Losses(total, {"log_mse": log_mse, "log_mse_focus": focus, "dissimilarity": dissimilarity})
