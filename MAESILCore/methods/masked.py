"""The shared base of masked autoencoders: encode the visible tokens, decode all tokens, a linear head."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from MAESILCore.methods.abilities import Triple
from MAESILCore.methods.encoder import EncoderConfig, MaskedEncoder, TransformerSize
from MAESILCore.nn.draws import draw_words
from MAESILCore.nn.positions import sincos_positions
from MAESILCore.nn.tokens import TokenSplit, patchify, put_back, take
from MAESILCore.nn.transformer import Transformer


class MaskedConfig(EncoderConfig):
    """Sizes of a masked autoencoder.

    Attributes:
        decoder: transformer over all tokens.
    """

    decoder: TransformerSize = TransformerSize(width=192, depth=2, heads=3)


class FillHint(nn.Linear):
    """Embeds the smooth fill of each patch as a hint for its mask token."""

    def __init__(self, patch_size: Triple, width: int) -> None:
        super().__init__(math.prod(patch_size), width)
        self.patch_size = patch_size

    def forward(self, fill: torch.Tensor) -> torch.Tensor:
        """(B, 1, K, J, I) in [0, 1] -> (B, N, D)."""
        return super().forward(patchify(fill, self.patch_size) * 2.0 - 1.0)


class MaskedAutoencoder(MaskedEncoder):
    """Encoder on the visible tokens, decoder on all, a linear head (He et al. 2022; docs/methods.md, MAE).

    In the comments, D is the width of the decoder; the other letters are those of `MaskedEncoder`.

    Args:
        config: sizes.
        hint: makes the module whose output is added to the mask tokens; None for published mask tokens, which differ
            only by position.
    """

    config: MaskedConfig
    fill_embed: nn.Module | None

    def __init__(self, config: MaskedConfig, hint: Callable[[Triple, int], nn.Module] | None = None) -> None:
        super().__init__(config)
        decoder = config.decoder
        self.bridge = nn.Linear(config.encoder.width, decoder.width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder.width))
        self.fill_embed = hint(config.patch_size, decoder.width) if hint else None
        self.decoder = Transformer(decoder.width, decoder.depth, decoder.heads)
        self.head = nn.Linear(decoder.width, math.prod(config.patch_size))
        self._initialise(self.mask_token)
        # The first prediction has almost no noise: it is the head's bias.
        nn.init.normal_(self.head.weight, std=0.002)

    def placed(
        self,
        superpatches: torch.Tensor,
        hidden: torch.Tensor,
        start: torch.Tensor | None,
        hint: torch.Tensor | float = 0.0,
    ) -> tuple[TokenSplit, torch.Tensor]:
        """The token split and the decoder's input, (B, 1 + N, D); see `Batch` and `place` for the arguments."""
        split = TokenSplit.of(hidden)
        encoded = self.bridge(self.encode(superpatches, split, start))  # (B, 1 + V, D)
        return split, place(encoded, self.mask_token, split, self._lattice(superpatches), start, hint)

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

    def predict_some(
        self, tokens: torch.Tensor, split: TokenSplit, chosen: TokenSplit, hidden: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict some hidden patches.

        Args:
            tokens: (B, 1 + N, D) from `place`.
            split: which tokens are visible.
            chosen: C hidden tokens of each sample, from `draw_hidden`.
            hidden: (B, Dk, Dj, Di) bool.

        Returns:
            The head's output, (B, C, p^3), and where it counts, (B, C) bool: a sample may have fewer than C.
        """
        patches = self.head(self.decode_some(tokens, split, chosen))
        counts = hidden.flatten(1).gather(1, chosen.visible)
        return patches, counts if chosen.valid is None else counts & chosen.valid


def place(
    encoded: torch.Tensor,
    mask_token: torch.Tensor,
    split: TokenSplit,
    lattice: Triple,
    start: torch.Tensor | None,
    hint: torch.Tensor | float = 0.0,
) -> torch.Tensor:
    """Put tokens at their places, mask tokens at all others, and add the decoder's positions.

    Args:
        encoded: (B, 1 + V, D), the summary token and the visible ones.
        mask_token: (1, 1, D).
        split: which tokens are visible.
        lattice: patches along k, j, i.
        start: (B, 3), see `Batch`.
        hint: (B, N, D), or a scalar, added to the mask tokens.

    Returns:
        (B, 1 + N, D).
    """
    summary, visible = encoded[:, :1], encoded[:, 1:]
    positions = sincos_positions(lattice, visible.shape[-1], start, encoded.device)
    masked = mask_token.to(visible.dtype).expand(visible.shape[0], math.prod(lattice), -1) + hint
    return torch.cat([summary, put_back(visible, split, masked) + positions], dim=1)


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
