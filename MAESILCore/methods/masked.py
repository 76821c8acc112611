"""The shared base of masked autoencoders: embed, encode the visible tokens, decode all tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn
from torch.nn.functional import pad

from MAESILCore.methods.abilities import Abilities, Triple, masked_transformer
from MAESILCore.methods.base import Features, Method, MethodConfig
from MAESILCore.nn.draws import draw_words
from MAESILCore.nn.positions import sincos_positions
from MAESILCore.nn.tokens import TokenSplit, patchify, take
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


class MaskedConfig(MethodConfig):
    """Sizes of a masked autoencoder.

    Attributes:
        encoder: transformer over the visible tokens.
        decoder: transformer over all tokens.
    """

    encoder: TransformerSize = TransformerSize(width=256, depth=6, heads=4)
    decoder: TransformerSize = TransformerSize(width=192, depth=2, heads=3)


class FillHint(nn.Linear):
    """Embeds the smooth fill of each patch as a hint for its mask token."""

    def __init__(self, patch_size: Triple, width: int) -> None:
        super().__init__(math.prod(patch_size), width)
        self.patch_size = patch_size

    def forward(self, fill: torch.Tensor) -> torch.Tensor:
        """(B, 1, K, J, I) in [0, 1] -> (B, N, D)."""
        return super().forward(patchify(fill, self.patch_size) * 2.0 - 1.0)


class MaskedAutoencoder(Method):
    """Encoder on the visible tokens, decoder on all, a linear head (He et al. 2022; docs/methods.md, MAESIL).

    In the comments, B is the batch, N the patches of a superpatch, V the visible ones, p^3 the voxels of a patch, E and
    D the widths of encoder and decoder. Each sequence starts with a summary token.

    Args:
        config: sizes.
        hint: makes the module whose output is added to the mask tokens; None for published mask tokens, which differ
            only by position.
    """

    config: MaskedConfig
    fill_embed: nn.Module | None

    def __init__(self, config: MaskedConfig, hint: Callable[[Triple, int], nn.Module] | None = None) -> None:
        super().__init__()
        self.config = config
        voxels = math.prod(config.patch_size)
        encoder, decoder = config.encoder, config.decoder
        # A linear map equals a convolution with kernel = stride, and can skip hidden patches.
        self.embed = nn.Linear(voxels, encoder.width)
        self.summary_token = nn.Parameter(torch.zeros(1, 1, encoder.width))
        self.encoder = Transformer(encoder.width, encoder.depth, encoder.heads)
        self.bridge = nn.Linear(encoder.width, decoder.width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder.width))
        self.fill_embed = hint(config.patch_size, decoder.width) if hint else None
        self.decoder = Transformer(decoder.width, decoder.depth, decoder.heads)
        self.head = nn.Linear(decoder.width, voxels)
        self.apply(initialise)
        for token in (self.summary_token, self.mask_token):
            nn.init.normal_(token, std=0.02)

    @property
    def abilities(self) -> Abilities:
        """See `Method.abilities`."""
        return masked_transformer(self.config.model_dump())

    def embedded(
        self, superpatches: torch.Tensor, split: TokenSplit, start: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Tokens of the visible patches, (B, 1 + V, E), and a bool mask, (B, 1 + V), False at padding; None is all."""
        patches = take(patchify(superpatches, self.config.patch_size), split.visible)  # (B, V, p^3)
        positions = sincos_positions(
            self._lattice(superpatches), self.config.encoder.width, start, superpatches.device
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

    def place(
        self,
        latent: torch.Tensor,
        split: TokenSplit,
        lattice: Triple,
        start: torch.Tensor | None = None,
        hint: torch.Tensor | float = 0.0,
    ) -> torch.Tensor:
        """The decoder's input: encoded tokens at visible positions, mask tokens at all others.

        Args:
            latent: (B, 1 + V, E) from `encode`.
            split: which tokens are visible.
            lattice: patches along k, j, i.
            start: (B, 3), see `Batch`.
            hint: (B, N, D), or a scalar, added to the mask tokens.

        Returns:
            (B, 1 + N, D).
        """
        encoded = self.bridge(latent)  # (B, 1 + V, D)
        summary, visible = encoded[:, :1], encoded[:, 1:]
        positions = sincos_positions(lattice, self.config.decoder.width, start, latent.device)
        masked = self.mask_token.to(visible.dtype).expand(visible.shape[0], math.prod(lattice), -1) + hint
        if split.valid is not None:  # padding points at hidden positions, which keep their mask token
            visible = torch.where(split.valid[..., None], visible, take(masked, split.visible))
        tokens = masked.scatter(1, split.visible[..., None].expand_as(visible), visible.to(masked.dtype))
        return torch.cat([summary, tokens + positions], dim=1)

    def decode(self, tokens: torch.Tensor) -> torch.Tensor:
        """Decode all tokens: (B, 1 + N, D) -> (B, N, D)."""
        return self.decoder(tokens)[:, 1:]

    def decode_some(self, tokens: torch.Tensor, split: TokenSplit, chosen: TokenSplit) -> torch.Tensor:
        """Decode the visible tokens and some hidden ones; the decoder skips the rest.

        Args:
            tokens: (B, 1 + N, D) from `place`.
            split: which tokens are visible.
            chosen: C hidden tokens of each sample, from `draw_hidden`.

        Returns:
            (B, C, D), the hidden ones.
        """
        summary, lattice, count = tokens[:, :1], tokens[:, 1:], chosen.visible.shape[1]
        sequence = torch.cat([summary, take(lattice, split.visible), take(lattice, chosen.visible)], dim=1)
        allowed = None
        if split.valid is not None or chosen.valid is not None:
            everything = sequence.new_ones(sequence.shape[:2], dtype=torch.bool)
            if split.valid is not None:
                everything[:, 1:-count] = split.valid
            if chosen.valid is not None:
                everything[:, -count:] = chosen.valid
            allowed = everything
        return self.decoder(sequence, allowed)[:, -count:]

    def features(self, superpatches: torch.Tensor, levels: Sequence[int] = (-1,)) -> list[Features]:
        """The encoder's tokens on the patch lattice; see `Method.features`."""
        lattice = self._lattice(superpatches)
        tokens, allowed = self.embedded(superpatches, TokenSplit.of(self._nothing_hidden(superpatches)), None)
        stride, found = self.config.patch_size, self.encoder.intermediates(tokens, levels, allowed)
        return [Features(x[:, 1:].mT.reshape(len(x), -1, *lattice), stride, x[:, 0]) for x in found]


def draw_hidden(hidden: torch.Tensor, share: float, seeds: torch.Tensor | None) -> TokenSplit:
    """Draw a share of the hidden patches of each sample (the decoder mask of VideoMAE V2).

    Args:
        hidden: (B, Dk, Dj, Di) bool.
        share: share of the hidden patches; at least one patch is drawn.
        seeds: (B,) see `Batch.seeds`; None draws them from PyTorch's global generator.

    Returns:
        The drawn patches in place of the visible ones.
    """
    if seeds is None:
        seeds = torch.randint(2**62, (len(hidden),), device=hidden.device)
    flat = hidden.flatten(1)
    keys = draw_words(seeds, flat.shape[1]).masked_fill(~flat, 1 << 32)
    counts = (flat.sum(dim=1) * share).round().long().clamp_min(1)
    most, least = int(counts.max()), int(counts.min())
    chosen = keys.argsort(dim=1)[:, :most]
    if most == least:
        return TokenSplit(chosen.sort(dim=1).values, None)
    valid = torch.arange(most, device=flat.device)[None] < counts[:, None]
    # Padding sorts last, so that `valid` still holds, and then points at the last patch.
    last = flat.shape[1] - 1
    return TokenSplit(chosen.masked_fill(~valid, last + 1).sort(dim=1).values.clamp_max(last), valid)
