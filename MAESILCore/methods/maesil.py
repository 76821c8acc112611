"""MAESIL: a masked autoencoder over superpatches (arXiv:2604.00514; docs/methods.md, MAESIL)."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

from MAESILCore.losses.masked import masked_mse
from MAESILCore.losses.picture import picture_losses
from MAESILCore.methods.base import Batch, Losses, Step
from MAESILCore.methods.masked import FillHint, MaskedAutoencoder, MaskedConfig, draw_hidden
from MAESILCore.methods.presets import PRESETS
from MAESILCore.methods.targets import FillResidual, NormalisedVoxels, Voxels, mid_grey
from MAESILCore.nn.fill import smooth_fill
from MAESILCore.nn.refine import RefinementHead
from MAESILCore.nn.tokens import TokenSplit, expand_patches, patchify, take, unpatchify


class PictureLoss(BaseModel):
    """A loss for visual quality; it replaces the published masked MSE.

    ln MSE + `focus_weight` * ln MSE in the focus window + `similarity_weight` * (1 - SSIM), each over the hidden voxels
    of a superpatch.

    Attributes:
        focus: lower and upper end of the focus window, in [0, 1]; null leaves out the second term.
        focus_weight: weight of the second term.
        similarity_weight: weight of the third.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    focus: tuple[float, float] | None = None
    focus_weight: float = Field(default=0.5, ge=0.0)
    similarity_weight: float = Field(default=1.0, ge=0.0)

    @model_validator(mode="after")
    def _focus_rises(self) -> PictureLoss:
        if self.focus is not None and not 0.0 <= self.focus[0] < self.focus[1] <= 1.0:
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
        head, patch = "the convolutional head (refine_channels > 0)", self.patch_size[0]
        refines, decodes_some = self.refine_channels > 0, self.decode_fraction < 1.0
        is_power = patch >= 4 and patch & (patch - 1) == 0
        rules = {
            f"{head} needs patches with three equal sides": refines and len(set(self.patch_size)) > 1,
            f"{head} needs a patch size of 4, 8, 16, ...": refines and not is_power,
            f"{head} needs all tokens: use decode_fraction 1 or refine_channels 0": refines and decodes_some,
            "normalise_targets needs residual_fill false and refine_channels 0": (
                self.normalise_targets and (self.residual_fill or refines)
            ),
            "picture_loss needs whole pictures: use decode_fraction 1 and normalise_targets false": (
                self.picture_loss is not None and (self.normalise_targets or decodes_some)
            ),
        }
        for rule, is_broken in rules.items():
            if is_broken:
                raise ValueError(rule)
        return self


class Maesil(MaskedAutoencoder):
    """encode -> place -> decode -> head, and the mean squared error over hidden patches.

    Exchangeable parts: `fill` estimates hidden voxels without learning, `target` converts the head's output to voxels,
    and `refine`, if any, removes patch borders. The letters in the comments are those of `MaskedAutoencoder`.
    """

    name = "maesil"
    config_type = MaesilConfig
    presets = PRESETS["maesil"]
    default_recipe = Path(__file__).parent / "recipes" / "maesil.yaml"
    config: MaesilConfig

    def __init__(self, config: MaesilConfig) -> None:
        super().__init__(config, FillHint if config.residual_fill else None)
        self.fill = smooth_fill if config.residual_fill or config.refine_channels else mid_grey
        self.target = Voxels()
        if config.residual_fill:
            self.target = FillResidual()
        elif config.normalise_targets:
            self.target = NormalisedVoxels()
        # The first prediction is the fill (or mid-window).
        if type(self.target) is Voxels:
            nn.init.constant_(self.head.bias, 0.5)
        self.refine: RefinementHead | None = None
        if config.refine_channels:
            self.refine = RefinementHead(
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
        if self.refine is None:
            return picture
        # fmt: on
        mosaic = torch.lerp(fill.to(picture.dtype), picture, inside.to(picture.dtype))
        return self.target.corrected(picture, self.refine(mosaic, hidden, decoded), inside)

    def training_losses(self, batch: Batch, step: Step) -> Losses:
        """L = 1/|M| sum over hidden patches i in M of 1/p^3 |x_i - y_i|^2, and its mean over the superpatches.

        The configuration may replace it by a `PictureLoss`, or restrict it to a share of the hidden patches.
        """
        if self.config.decode_fraction < 1.0:
            return self._loss_of_some(batch)
        patch, terms = self.config.patch_size, self.config.picture_loss
        # fmt: off
        predicted = self(batch.superpatches, batch.hidden, batch.start)             # (B, 1, K, J, I)
        if terms is not None:
            parts = picture_losses(predicted, batch.superpatches, batch.hidden, patch, terms.focus)
            total = parts["log_mse"]
            if terms.focus is not None:
                total = total + terms.focus_weight * parts["log_mse_focus"]
            return Losses(total + terms.similarity_weight * parts["dissimilarity"], parts)
        x = patchify(batch.superpatches, patch)                                     # (B, N, p^3)
        y = patchify(predicted, patch)                                              # (B, N, p^3)
        # fmt: on
        return Losses(masked_mse(y, self.target.standardised(x), batch.hidden.flatten(1)))

    def reconstruct(self, superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """See `Method.reconstruct`."""
        return self.target.voxels(self(superpatches, hidden), superpatches, hidden, self.config.patch_size)

    def _placed(
        self, superpatches: torch.Tensor, hidden: torch.Tensor, start: torch.Tensor | None
    ) -> tuple[torch.Tensor, TokenSplit, torch.Tensor]:
        """The fill, the token split and the decoder's input."""
        fill = self.fill(superpatches, hidden, self.config.patch_size)  # (B, 1, K, J, I)
        hint = self.fill_embed(fill) if self.fill_embed else 0.0  # (B, N, D)
        return fill, *self.placed(superpatches, hidden, start, hint)

    def _loss_of_some(self, batch: Batch) -> Losses:
        """Mean squared error over a random `decode_fraction` of the hidden patches."""
        patch = self.config.patch_size
        fill, split, tokens = self._placed(batch.superpatches, batch.hidden, batch.start)
        # fmt: off
        chosen = draw_hidden(batch.hidden, self.config.decode_fraction, batch.seeds)  # C
        y, weight = self.predict_some(tokens, split, chosen, batch.hidden)          # (B, C, p^3), (B, C)
        # fmt: on
        x, known = (take(patchify(each, patch), chosen.visible) for each in (batch.superpatches, fill))
        return Losses(masked_mse(y, self.target.of(x, known), weight))
