"""A narrow transformer that predicts the tokens of hidden places from encoded visible ones."""

from __future__ import annotations

import math

import torch
from torch import nn

from MAESILCore.nn.positions import sincos_positions
from MAESILCore.nn.tokens import TokenSplit, put_back
from MAESILCore.nn.transformer import Transformer


class Predictor(nn.Module):
    """A linear map to its width, mask tokens at hidden places, positions, a transformer, and a linear map back.

    Mask tokens start at zero, so at first only positions tell them apart (Bardes et al. 2024).

    Args:
        outer: width of the encoded and of the predicted tokens.
        width: its own width.
        depth: number of blocks.
        heads: number of attention heads.
    """

    def __init__(self, outer: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.enter = nn.Linear(outer, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.transformer = Transformer(width, depth, heads)
        self.leave = nn.Linear(width, outer)

    def forward(
        self,
        latent: torch.Tensor,
        split: TokenSplit,
        lattice: tuple[int, int, int],
        start: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Predict all tokens; those of visible places are of no use.

        Args:
            latent: (B, 1 + V, E), a summary token and the visible ones.
            split: which places are visible.
            lattice: patches along k, j, i.
            start: (B, 3), see `methods.base.Batch`.

        Returns:
            (B, N, E).
        """
        encoded = self.enter(latent)  # (B, 1 + V, D)
        masked = self.mask_token.to(encoded.dtype).expand(len(latent), math.prod(lattice), -1)
        tokens = put_back(encoded[:, 1:], split, masked)
        tokens = tokens + sincos_positions(lattice, tokens.shape[-1], start, latent.device)
        predicted: torch.Tensor = self.leave(self.transformer(torch.cat([encoded[:, :1], tokens], dim=1)))
        return predicted[:, 1:]
