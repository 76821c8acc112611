"""The encoder that all token-based methods share: it embeds and encodes the visible patches of superpatches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn
from torch.nn.functional import pad

from MAESILCore.methods.abilities import Abilities, masked_transformer
from MAESILCore.methods.base import Features, Method, MethodConfig
from MAESILCore.nn.positions import sincos_positions
from MAESILCore.nn.tokens import TokenSplit, lattice_of, patchify, take
from MAESILCore.nn.transformer import Transformer, initialise


class TransformerSize(BaseModel):
    """Width, depth and heads of one transformer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(ge=6)
    depth: int = Field(ge=1)
    heads: int = Field(ge=1)

    @model_validator(mode="after")
    def _heads_divide(self) -> TransformerSize:
        if self.width % self.heads:
            message = f"a width of {self.width} cannot be split over {self.heads} heads"
            raise ValueError(message)
        return self


class EncoderConfig(MethodConfig):
    """Sizes of a method with an encoder.

    Attributes:
        encoder: transformer over the visible tokens.
    """

    encoder: TransformerSize = TransformerSize(width=256, depth=6, heads=4)


class PatchEncoder(nn.Module):
    """Tokens of the visible patches, through a transformer (He et al. 2022; docs/methods.md, MAESIL).

    In the comments, B is the batch, N the patches of a superpatch, V the visible ones, p^3 the voxels of a patch and E
    the width of the encoder. Each sequence starts with a summary token. The owner draws the weights.
    """

    config: EncoderConfig

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        # A linear map equals a convolution with kernel = stride, and can skip hidden patches.
        self.embed = nn.Linear(math.prod(config.patch_size), config.encoder.width)
        self.summary_token = nn.Parameter(torch.zeros(1, 1, config.encoder.width))
        self.encoder = Transformer(config.encoder.width, config.encoder.depth, config.encoder.heads)

    def embedded(
        self, superpatches: torch.Tensor, split: TokenSplit, start: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Tokens of the visible patches, (B, 1 + V, E), and a bool mask, (B, 1 + V), False at padding; None is all."""
        patches = take(patchify(superpatches, self.config.patch_size), split.visible)  # (B, V, p^3)
        positions = sincos_positions(
            lattice_of(superpatches, self.config.patch_size),
            self.config.encoder.width,
            start,
            superpatches.device,
        )  # (1 or B, N, E)
        # Centred inputs have both signs.
        tokens = self.embed(patches * 2.0 - 1.0) + take(positions, split.visible)  # (B, V, E)
        tokens = torch.cat([self.summary_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        return tokens, None if split.valid is None else pad(split.valid, (1, 0), value=True)

    def encode(
        self, superpatches: torch.Tensor, split: TokenSplit, start: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Encode the visible patches of (B, 1, K, J, I) as (B, 1 + V, E)."""
        return self.encoder(*self.embedded(superpatches, split, start))

    def features(self, superpatches: torch.Tensor, levels: Sequence[int] = (-1,)) -> list[Features]:
        """The encoder's tokens on the patch lattice; see `Method.features`."""
        lattice = lattice_of(superpatches, self.config.patch_size)
        nothing = superpatches.new_zeros((len(superpatches), *lattice), dtype=torch.bool)
        tokens, allowed = self.embedded(superpatches, TokenSplit.of(nothing), None)
        stride, found = self.config.patch_size, self.encoder.intermediates(tokens, levels, allowed)
        return [Features(x[:, 1:].mT.reshape(len(x), -1, *lattice), stride, x[:, 0]) for x in found]


class MaskedEncoder(PatchEncoder, Method):
    """A method that is such an encoder and more: a subclass makes its own layers and then calls `_initialise`."""

    config: EncoderConfig

    def _initialise(self, *tokens: nn.Parameter) -> None:
        """Draw all linear maps, the summary token and further tokens."""
        self.apply(initialise)
        for token in (self.summary_token, *tokens):
            nn.init.normal_(token, std=0.02)

    @property
    def abilities(self) -> Abilities:
        """See `Method.abilities`."""
        return masked_transformer(self.config.model_dump())
