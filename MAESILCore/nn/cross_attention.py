"""Transformer blocks that attend to a second sequence, beside their own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from MAESILCore.nn.transformer import Attention, Block, Blocks, Mlp


class CrossAttention(nn.Module):
    """Multi-head attention of one sequence to another, with the fused kernel of the device."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(
        self, x: torch.Tensor, memory: torch.Tensor, allowed: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(B, N, D) attends to (B, M, D) -> (B, N, D); `allowed` (B, M) bool marks what may be attended to."""
        batch, count, width = x.shape
        each = width // self.heads
        query = self.query(x).view(batch, count, self.heads, each).transpose(1, 2)  # (B, H, N, D/H)
        pairs = self.key_value(memory).view(batch, -1, 2, self.heads, each)
        key, value = pairs.permute(2, 0, 3, 1, 4)  # each (B, H, M, D/H)
        mask = None if allowed is None else allowed[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.proj(mixed.transpose(1, 2).reshape(batch, count, width))


class CrossBlock(nn.Module):
    """x + Attention(LN x), then x + CrossAttention(LN x, memory), then x + Mlp(LN x).

    The memory is not normalised here (arXiv:2502.08347, equation of the decoder; docs/methods.md, Hi-End-MAE).
    """

    def __init__(self, width: int, heads: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm_cross = nn.LayerNorm(width)
        self.cross_attention = CrossAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, mlp_ratio)

    def forward(
        self, x: torch.Tensor, memory: torch.Tensor, allowed: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(B, N, D) and (B, M, D) -> (B, N, D); `allowed` (B, M) bool marks the memory, None is all of it."""
        x = x + self.attention(self.norm1(x))
        x = x + self.cross_attention(self.norm_cross(x), memory, allowed)
        return x + self.mlp(self.norm2(x))


class CrossTransformer(Blocks):
    """Blocks of self-attention, then blocks that attend to one memory each, and a final LayerNorm.

    Args:
        width: channels of a token.
        depth: blocks of self-attention.
        crossings: blocks with a memory.
        heads: number of attention heads.
    """

    def __init__(self, width: int, depth: int, crossings: int, heads: int) -> None:
        alone = [Block(width, heads) for _ in range(depth)]
        super().__init__(width, [*alone, *(CrossBlock(width, heads) for _ in range(crossings))])
        self.depth = depth

    def forward(
        self, x: torch.Tensor, memories: Sequence[torch.Tensor], allowed: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(B, N, D) and a memory (B, M, D) for each crossing -> (B, N, D); `allowed` (B, M) bool, None is all."""
        for block in self.blocks[: self.depth]:
            x = self._run(block, x)
        for block, memory in zip(self.blocks[self.depth :], memories, strict=True):
            x = self._run(block, x, memory, allowed)
        return self.norm(x)
