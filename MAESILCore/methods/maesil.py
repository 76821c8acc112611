"""MAESIL: a masked autoencoder over superpatches (arXiv:2604.00514)."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

from MAESILCore.losses.masked import hidden_dissimilarity, hidden_log_mse, masked_mse, normalise_patches
from MAESILCore.methods.base import Method, MethodConfig, TransformerSize
from MAESILCore.nn.fill import smooth_fill
from MAESILCore.nn.positions import sincos_positions
from MAESILCore.nn.refine import RefinementHead
from MAESILCore.nn.tokens import TokenSplit, expand_patches, patchify, take, unpatchify
from MAESILCore.nn.transformer import Transformer, initialise


class PictureLoss(BaseModel):
    """A loss for models whose pictures are looked at, in place of the published masked MSE.

    ln MSE + `focus_weight` * ln MSE in the focus window + `similarity_weight` * (1 - SSIM), each over hidden voxels and
    superpatch by superpatch.

    Attributes:
        focus: window inside the model's, in its units from 0 to 1, whose contrast counts by itself.
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


class MaesilConfig(MethodConfig):
    """Sizes and switches of `Maesil`.

    Attributes:
        encoder: transformer over the visible tokens.
        decoder: transformer over all tokens.
        residual_fill: predict the difference to a smooth fill of the visible voxels instead of the voxels; the
            decoder's mask tokens are told what the fill is at their place. Visible voxels then come back as they are,
            so an unmasked pass says nothing about such a model.
        refine_channels: channels of the convolutional output head; 0 keeps the published linear head alone.
        refine_depth: residual units on every grid of that head, each way.
        normalise_targets: standardise every target patch in the loss; reconstruction then needs the fill or the
            patch's own statistics, so it is for representation learning, not for pictures.
        decode_fraction: share of the hidden tokens that the decoder sees in training (VideoMAE V2's decoder mask,
            reading R4 of methods.md 1.4); reconstruction always decodes all.
        picture_loss: replaces the masked MSE.
    """

    encoder: TransformerSize = TransformerSize(width=256, depth=6, heads=4)
    decoder: TransformerSize = TransformerSize(width=192, depth=2, heads=3)
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


#: `tiny` is for tests, `small` for a CPU or a first look, `base` for one GPU; both decode a quarter of the hidden
#: tokens in training, which saves most of the decoder. `paper` follows methods.md 1.3 and 1.5: the published
#: shape, raw voxel targets, every token decoded.
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


class Maesil(Method):
    """Encoder on visible tokens, light decoder on all, masked MSE (methods.md 1.5)."""

    name: ClassVar[str] = "maesil"
    config: MaesilConfig

    def __init__(self, config: MaesilConfig) -> None:
        super().__init__()
        self.config = config
        patch = config.patch_size
        voxels = patch[0] * patch[1] * patch[2]
        encoder, decoder = config.encoder, config.decoder
        # A convolution with kernel = stride is one linear map a patch; as such only visible patches are embedded.
        self.embed = nn.Linear(voxels, encoder.width)
        self.summary_token = nn.Parameter(torch.zeros(1, 1, encoder.width))
        self.encoder = Transformer(encoder.width, encoder.depth, encoder.heads)
        self.bridge = nn.Linear(encoder.width, decoder.width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder.width))
        self.fill_embed = nn.Linear(voxels, decoder.width) if config.residual_fill else None
        self.decoder = Transformer(decoder.width, decoder.depth, decoder.heads)
        self.head = nn.Linear(decoder.width, voxels)
        self.apply(initialise)
        for token in (self.summary_token, self.mask_token):
            nn.init.normal_(token, std=0.02)
        # Starting at the fill (or at mid-window), not at noise around it.
        nn.init.normal_(self.head.weight, std=0.002)
        if not config.residual_fill and not config.normalise_targets:
            nn.init.constant_(self.head.bias, 0.5)
        self.refine = None
        if config.refine_channels:
            self.refine = RefinementHead(decoder.width, patch, config.refine_channels, config.refine_depth)

    def losses(
        self,
        superpatches: torch.Tensor,
        hidden: torch.Tensor,
        generator: torch.Generator | None = None,
        start: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Masked MSE; shapes as in `Method.losses`."""
        if self.config.decode_fraction < 1.0:
            return {"loss": self._partial_loss(superpatches, hidden, generator, start)}
        predicted = self._predict(superpatches, hidden, start)
        if self.config.picture_loss is not None:
            return {"loss": self._picture_loss(self.config.picture_loss, predicted, superpatches, hidden)}
        target = patchify(superpatches, self.config.patch_size)
        prediction = patchify(predicted, self.config.patch_size)
        if self.config.normalise_targets:
            target, _, _ = normalise_patches(target)
        return {"loss": masked_mse(prediction, target, hidden.flatten(1))}

    def reconstruct(self, superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Predict every voxel; shapes as in `Method.reconstruct`.

        With `normalise_targets` a predicted patch takes mean and spread from the smooth fill of its place, since
        nothing else is known of a hidden patch.
        """
        prediction = self._predict(superpatches, hidden, None)
        if not self.config.normalise_targets:
            return prediction
        patch = self.config.patch_size
        _, mean, deviation = normalise_patches(patchify(smooth_fill(superpatches, hidden, patch), patch))
        tokens = patchify(prediction, patch) * deviation + mean
        return unpatchify(tokens, self._lattice(superpatches), patch)

    def encode(self, superpatches: torch.Tensor) -> torch.Tensor:
        """Token features of whole superpatches; shapes as in `Method.encode`."""
        hidden = torch.zeros(
            (superpatches.shape[0], *self._lattice(superpatches)),
            dtype=torch.bool,
            device=superpatches.device,
        )
        return self._encode_visible(superpatches, TokenSplit.of(hidden), None)[:, 1:]

    def _lattice(self, superpatches: torch.Tensor) -> tuple[int, int, int]:
        k, j, i = (
            size // patch for size, patch in zip(superpatches.shape[2:], self.config.patch_size, strict=True)
        )
        return k, j, i

    def _encode_visible(
        self, superpatches: torch.Tensor, split: TokenSplit, start: torch.Tensor | None
    ) -> torch.Tensor:
        """(B, 1, K, J, I) -> (B, 1 + V, D): the summary token, then the visible tokens."""
        patches = take(patchify(superpatches, self.config.patch_size), split.visible)
        positions = sincos_positions(
            self._lattice(superpatches), self.config.encoder.width, start, superpatches.device
        )
        # [0, 1] is centred so that the embedding starts with inputs of both signs.
        tokens = self.embed(patches * 2.0 - 1.0) + take(positions, split.visible)
        tokens = torch.cat([self.summary_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        allowed = None if split.valid is None else nn.functional.pad(split.valid, (1, 0), value=True)
        return self.encoder(tokens, allowed)

    def _decoder_input(
        self,
        superpatches: torch.Tensor,
        split: TokenSplit,
        fill: torch.Tensor | None,
        start: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The summary token (B, 1, D) and all lattice tokens (B, N, D): mask tokens, encoded ones in their places."""
        encoded = self.bridge(self._encode_visible(superpatches, split, start))
        summary, visible = encoded[:, :1], encoded[:, 1:]
        lattice = self._lattice(superpatches)
        positions = sincos_positions(lattice, self.config.decoder.width, start, superpatches.device)
        count = lattice[0] * lattice[1] * lattice[2]
        masked = self.mask_token.to(visible.dtype).expand(visible.shape[0], count, -1)
        if self.fill_embed is not None and fill is not None:
            masked = masked + self.fill_embed(patchify(fill, self.config.patch_size) * 2.0 - 1.0)
        if split.valid is not None:  # padding repeats hidden places: they keep their mask token
            visible = torch.where(split.valid[..., None], visible, take(masked, split.visible))
        tokens = masked.scatter(1, split.visible[..., None].expand_as(visible), visible.to(masked.dtype))
        return summary, tokens + positions

    def _fill(self, superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor | None:
        """The smooth fill (B, 1, K, J, I) when the configuration uses it."""
        if not self.config.residual_fill and self.refine is None:
            return None
        return smooth_fill(superpatches, hidden, self.config.patch_size)

    def _predict(
        self, superpatches: torch.Tensor, hidden: torch.Tensor, start: torch.Tensor | None
    ) -> torch.Tensor:
        """Predict every voxel, (B, 1, K, J, I), in units of the target."""
        patch, fill = self.config.patch_size, self._fill(superpatches, hidden)
        summary, tokens = self._decoder_input(superpatches, TokenSplit.of(hidden), fill, start)
        decoded = self.decoder(torch.cat([summary, tokens], dim=1))[:, 1:]
        prediction = unpatchify(self.head(decoded), self._lattice(superpatches), patch)
        if fill is None:
            return prediction
        inside = expand_patches(hidden.unsqueeze(1).to(prediction.dtype), patch)
        if self.config.residual_fill:  # a difference to what is known: none at visible voxels
            prediction = fill + inside * prediction
        if self.refine is not None:
            mosaic = torch.lerp(fill.to(prediction.dtype), prediction, inside.to(prediction.dtype))
            correction = self.refine(mosaic, hidden, decoded)
            prediction = prediction + (inside * correction if self.config.residual_fill else correction)
        return prediction

    def _picture_loss(
        self, terms: PictureLoss, predicted: torch.Tensor, superpatches: torch.Tensor, hidden: torch.Tensor
    ) -> torch.Tensor:
        """See `PictureLoss`."""
        predicted = predicted.float()
        inside = expand_patches(hidden.unsqueeze(1).to(predicted.dtype), self.config.patch_size)
        low, high = terms.focus
        near = [((image - low) / (high - low)).clamp(0.0, 1.0) for image in (predicted, superpatches)]
        return (
            hidden_log_mse(predicted, superpatches, inside)
            + terms.focus_weight * hidden_log_mse(near[0], near[1], inside, floor=1e-3)
            + terms.similarity_weight * hidden_dissimilarity(predicted, superpatches, inside)
        )

    def _partial_loss(
        self,
        superpatches: torch.Tensor,
        hidden: torch.Tensor,
        generator: torch.Generator | None,
        start: torch.Tensor | None,
    ) -> torch.Tensor:
        """Masked MSE over a random `decode_fraction` of the hidden tokens; the other ones never enter the decoder."""
        patch, flat = self.config.patch_size, hidden.flatten(1)
        fill, split = self._fill(superpatches, hidden), TokenSplit.of(hidden)
        summary, tokens = self._decoder_input(superpatches, split, fill, start)
        count = max(1, round(float(flat.sum(dim=1).min()) * self.config.decode_fraction))
        keys = torch.rand(flat.shape, generator=generator, device=flat.device).masked_fill(~flat, 2.0)
        chosen = keys.argsort(dim=1)[:, :count].sort(dim=1).values
        allowed = None
        if split.valid is not None:
            allowed = nn.functional.pad(split.valid, (1, count), value=True)
        sequence = torch.cat([summary, take(tokens, split.visible), take(tokens, chosen)], dim=1)
        prediction = self.head(self.decoder(sequence, allowed)[:, -count:])
        target = take(patchify(superpatches, patch), chosen)
        if self.config.normalise_targets:
            target, _, _ = normalise_patches(target)
        if self.config.residual_fill and fill is not None:
            target = target - take(patchify(fill, patch), chosen)
        return masked_mse(prediction, target, flat.gather(1, chosen))
