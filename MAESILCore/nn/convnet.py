"""A convolutional encoder from voxels to a patch lattice, and the decoder that mirrors it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from MAESILCore.nn.convolution import Conv3d
from MAESILCore.nn.refine import depth_to_space, space_to_depth
from MAESILCore.optional import require

Triple = tuple[int, int, int]

#: Groups of every GroupNorm; widths must be multiples of it.
GROUPS = 8


def halvings(patch_size: Triple) -> list[Triple]:
    """The stride of each stage along k, j, i, 1 or 2 each; their product is the patch size.

    Shorter sides are halved in the deeper stages only, so that thick slices are mixed late.

    Args:
        patch_size: powers of two, of which the largest is at least 2.
    """
    counts = [size.bit_length() - 1 for size in patch_size]
    stages = max(counts)
    k, j, i = ([1] * (stages - count) + [2] * count for count in counts)
    return list(zip(k, j, i, strict=True))


class ConvEncoder(nn.Module):
    """Voxels -> one map per stage: a strided convolution, then residual blocks.

    The first stage puts the voxels of a cell into channels, which avoids convolutions at full resolution.

    Args:
        strides: stride of each stage, see `halvings`.
        widths: channels of each stage.
        blocks: residual blocks per stage.
    """

    def __init__(self, strides: Sequence[Triple], widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.first = strides[0]
        self.down = nn.ModuleList([Conv3d(math.prod(self.first), widths[0], 3, padding=1)])
        for stride, (before, width) in zip(strides[1:], pairwise(widths), strict=True):
            self.down.append(Conv3d(before, width, 3, stride=stride, padding=1))
        self.stages = nn.ModuleList(_residual_blocks(width, blocks) for width in widths)
        self.norm = nn.GroupNorm(GROUPS, widths[-1])

    def forward(self, superpatches: torch.Tensor) -> list[torch.Tensor]:
        """(B, 1, K, J, I) in [0, 1] -> the map of each stage, (B, width, k, j, i)."""
        # oneDNN and cuDNN are fastest with channels last.
        x = space_to_depth(superpatches - 0.5, self.first).contiguous(memory_format=torch.channels_last_3d)
        maps = []
        for down, stage in zip(self.down, self.stages, strict=True):
            x = stage(down(x))
            maps.append(x)
        return [*maps[:-1], F.silu(self.norm(maps[-1]))]


class ConvDecoder(nn.Module):
    """The mirror of `ConvEncoder`: residual blocks, then nearest-neighbour upsampling and a convolution, per stage.

    The last step to voxels is a sub-pixel convolution (Shi et al. 2016, arXiv:1609.05158).

    Args:
        strides: those of the encoder.
        widths: those of the encoder.
        blocks: residual blocks per stage.
    """

    def __init__(self, strides: Sequence[Triple], widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.last, self.strides = strides[0], tuple(reversed(strides[1:]))
        self.stages = nn.ModuleList(_residual_blocks(width, blocks) for width in reversed(widths))
        self.up = nn.ModuleList(
            Conv3d(width, above, 3, padding=1) for width, above in pairwise(reversed(widths))
        )
        self.norm = nn.GroupNorm(GROUPS, widths[0])
        self.out = Conv3d(widths[0], math.prod(self.last), 3, padding=1)
        # The first prediction is the middle of the window almost without noise.
        nn.init.normal_(self.out.weight, std=0.002)
        assert self.out.bias is not None
        nn.init.constant_(self.out.bias, 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, width of the deepest stage, k, j, i) -> (B, 1, K, J, I)."""
        x = self.stages[0](x.contiguous(memory_format=torch.channels_last_3d))
        for stride, up, stage in zip(self.strides, self.up, self.stages[1:], strict=True):
            x = stage(up(F.interpolate(x, scale_factor=tuple(map(float, stride)), mode="nearest")))
        return depth_to_space(self.out(F.silu(self.norm(x))), self.last)


def _residual_blocks(width: int, count: int) -> nn.Sequential:
    """MONAI's pre-activation blocks of GroupNorm, SiLU and 3x3x3 convolutions."""
    monai = require("monai.networks.nets.autoencoderkl", "A convolutional auto-encoder")

    def block() -> nn.Module:
        made = monai.AEKLResBlock(3, width, GROUPS, 1e-6, width)
        made.conv1, made.conv2 = (Conv3d(width, width, 3, padding=1) for _ in range(2))  # fast on a CPU
        return made

    return nn.Sequential(*(block() for _ in range(count)))
