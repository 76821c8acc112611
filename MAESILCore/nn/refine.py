"""A convolutional output head that removes patch borders."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from MAESILCore.nn.convolution import Conv3d
from MAESILCore.nn.tokens import expand_patches


class ResidualUnit(nn.Module):
    """Two 3x3x3 convolutions with a skip; without normalisation, so samples of a batch stay independent."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Conv3d(channels, channels, 3, padding=1)
        self.conv2 = zero_initialised(Conv3d(channels, channels, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, K, J, I) -> the same shape."""
        return x + self.conv2(F.gelu(self.conv1(F.gelu(x))))


class RefinementHead(nn.Module):
    """A small U-Net from half the voxel grid down to the patch lattice, where the decoder's tokens join.

    Linear heads leave steps at patch borders, which MAESIL's authors report (docs/methods.md, What is known of MAESIL).
    Convolutions across the borders remove them. Space-to-depth moves the voxels to the half grid, which avoids
    convolutions at full resolution.

    Args:
        token_width: channels of a decoder token.
        patch_size: voxels of a patch along k, j, i; each a power of two, at least 4.
        channels: channels on the half grid; they double with every coarser grid.
        depth: residual units per grid, each way.
    """

    def __init__(
        self, token_width: int, patch_size: tuple[int, int, int], channels: int, depth: int = 1
    ) -> None:
        super().__init__()
        levels = patch_size[0].bit_length() - 1  # grids of stride 2, 4, ..., patch
        widths = [channels * 2**level for level in range(levels)]
        self.patch_size = patch_size
        self.stem = Conv3d(8 + 1, widths[0], 3, padding=1)
        self.down = nn.ModuleList(Conv3d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.encode = nn.ModuleList(self._units(width, depth) for width in widths[:-1])
        self.join = Conv3d(widths[-1] + token_width, widths[-1], 1)
        self.bottom = self._units(widths[-1], depth + 1)
        self.up = nn.ModuleList(Conv3d(b, 8 * a, 1) for a, b in pairwise(widths))
        self.decode = nn.ModuleList(self._units(width, depth) for width in widths[:-1])
        self.out = zero_initialised(Conv3d(widths[0], 8, 3, padding=1))

    @staticmethod
    def _units(width: int, depth: int) -> nn.Sequential:
        return nn.Sequential(*(ResidualUnit(width) for _ in range(depth)))

    def forward(self, fill: torch.Tensor, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Predict a correction of the fill.

        Args:
            fill: (B, 1, K, J, I), visible voxels and the smooth fill of the hidden ones.
            hidden: (B, Dk, Dj, Di) bool.
            tokens: (B, Dk*Dj*Di, D) decoder tokens.

        Returns:
            (B, 1, K, J, I), to be added to the fill.
        """
        half = self.patch_size[0] // 2
        where = expand_patches(hidden.unsqueeze(1).to(fill.dtype), (half, half, half))
        x = torch.cat([space_to_depth(fill) - 0.5, where], dim=1)
        # oneDNN and cuDNN are fastest with channels last.
        x = self.stem(x.contiguous(memory_format=torch.channels_last_3d))
        skips = []
        for encode, down in zip(self.encode, self.down, strict=True):
            x = encode(x)
            skips.append(x)
            x = down(x)
        lattice = tokens.transpose(1, 2).reshape(x.shape[0], -1, *x.shape[2:])
        x = self.bottom(self.join(torch.cat([x, lattice], dim=1)))
        for decode, up in zip(reversed(self.decode), reversed(self.up), strict=True):
            x = decode(skips.pop() + depth_to_space(up(x)))
        return depth_to_space(self.out(x))


def zero_initialised(conv: nn.Conv3d) -> nn.Conv3d:
    """Set the weights to 0, so that the initial output is 0; returns the same convolution."""
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
    return conv


def space_to_depth(x: torch.Tensor, by: tuple[int, int, int] = (2, 2, 2)) -> torch.Tensor:
    """(B, C, K, J, I) -> (B, C * prod(by), K / by[0], J / by[1], I / by[2])."""
    batch, channels, *sizes = x.shape
    (a, b, c), (k, j, i) = by, (size // part for size, part in zip(sizes, by, strict=True))
    x = x.reshape(batch, channels, k, a, j, b, i, c).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(batch, channels * a * b * c, k, j, i)


def depth_to_space(x: torch.Tensor, by: tuple[int, int, int] = (2, 2, 2)) -> torch.Tensor:
    """(B, C * prod(by), K, J, I) -> (B, C, by[0] * K, by[1] * J, by[2] * I), the inverse of `space_to_depth`."""
    batch, channels, k, j, i = x.shape
    a, b, c = by
    x = x.reshape(batch, channels // (a * b * c), a, b, c, k, j, i).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(batch, channels // (a * b * c), k * a, j * b, i * c)
