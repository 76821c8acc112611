"""The pre-norm transformer that all token-based methods use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


class Attention(nn.Module):
    """Multi-head self-attention with the fused kernel of the device."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, allowed: torch.Tensor | None = None) -> torch.Tensor:
        """(B, N, D) -> (B, N, D); `allowed` (B, N) bool marks the tokens that may be attended to, None is all."""
        batch, count, width = x.shape
        qkv = self.qkv(x).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, N, D/H)
        mask = None if allowed is None else allowed[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.proj(mixed.transpose(1, 2).reshape(batch, count, width))


class Mlp(nn.Module):
    """Two linear maps with a GELU between them."""

    def __init__(self, width: int, ratio: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, int(width * ratio))
        self.fc2 = nn.Linear(int(width * ratio), width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, N, D) -> (B, N, D)."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """x + Attention(LN x), then x + Mlp(LN x)."""

    def __init__(self, width: int, heads: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, mlp_ratio)

    def forward(self, x: torch.Tensor, allowed: torch.Tensor | None = None) -> torch.Tensor:
        """(B, N, D) -> (B, N, D); `allowed` (B, N) bool, None is all tokens."""
        x = x + self.attention(self.norm1(x), allowed)
        return x + self.mlp(self.norm2(x))


class Blocks(nn.Module):
    """A stack of blocks and a final LayerNorm; a training shards, compiles and recomputes each block by itself.

    Attributes:
        blocks: the blocks; a subclass calls them by `_run`.
        keeps_activations: whether the backward pass finds the blocks' inner activations in memory. False computes them
            again, for less memory and more time (Chen et al. 2016); the gradients are the same.
    """

    def __init__(self, width: int, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.keeps_activations = True

    def _run(self, block: nn.Module, *inputs: torch.Tensor | None) -> torch.Tensor:
        if self.keeps_activations:
            return block(*inputs)
        return checkpoint(block, *inputs, use_reentrant=False)


class Transformer(Blocks):
    """`depth` blocks and a final LayerNorm.

    Args:
        width: channels of a token.
        depth: number of blocks.
        heads: number of attention heads.
        mlp_ratio: hidden width of the MLPs as a multiple of `width`.
        block: factory of a block from width, heads and ratio.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float = 4.0,
        block: Callable[[int, int, float], nn.Module] = Block,
    ) -> None:
        super().__init__(width, (block(width, heads, mlp_ratio) for _ in range(depth)))

    def forward(self, x: torch.Tensor, allowed: torch.Tensor | None = None) -> torch.Tensor:
        """(B, N, D) -> (B, N, D); `allowed` (B, N) bool, None is all tokens."""
        for block in self.blocks:
            x = self._run(block, x, allowed)
        return self.norm(x)

    def intermediates(
        self, x: torch.Tensor, levels: Sequence[int], allowed: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        """The tokens after some of the blocks, (B, N, D) each, in the order of `levels`.

        Args:
            x: (B, N, D).
            levels: indices of blocks; negative ones count from the last. Only the last block's tokens pass the final
                LayerNorm.
            allowed: (B, N) bool, None is all tokens.
        """
        depth = len(self.blocks)
        wanted = [range(depth)[level] for level in levels]
        found: dict[int, torch.Tensor] = {}
        for number, block in enumerate(self.blocks[: max(wanted) + 1]):
            x = self._run(block, x, allowed)
            if number in wanted:
                found[number] = self.norm(x) if number == depth - 1 else x
        return [found[number] for number in wanted]


def initialise(module: nn.Module) -> None:
    """Initialise linear maps as MAE does: Xavier-uniform weights, zero bias (He et al. 2022)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
