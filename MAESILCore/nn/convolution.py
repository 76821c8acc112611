"""3D convolutions with the fast kernel on a CPU."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

#: PyTorch takes its native kernel for one sample if the product of channels and the first two sides is not larger.
_SMALL = 20480


class Conv3d(nn.Conv3d):
    """`nn.Conv3d` that always uses oneDNN on a CPU.

    For one sample, PyTorch uses its native kernel if the product of channels and the first two sides is small. That
    kernel is 3 to 10 times slower for superpatches. Inference calls oneDNN itself, which has no gradients of its own; a
    training passes two halves of the sample as a batch of two. Weights and gradients are those of `nn.Conv3d`. Float32
    inputs stay float32 under autocast in inference.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, K, J, I) -> (B, C', K', J', I'), in the memory format of `x`."""
        fast = x.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32
        if not (fast and torch.backends.mkldnn.is_available()):  # type: ignore[no-untyped-call]
            return super().forward(x)
        if torch.is_grad_enabled():
            return self._in_halves(x) if self._is_slow(x) else super().forward(x)
        weight = self.weight
        if x.is_contiguous(memory_format=torch.channels_last_3d):
            weight = weight.contiguous(memory_format=torch.channels_last_3d)
        padding = [int(size) for size in self.padding]
        return torch.mkldnn_convolution(
            x, weight, self.bias, padding, self.stride, self.dilation, self.groups
        )

    def _is_slow(self, x: torch.Tensor) -> bool:
        """Whether PyTorch would take its native kernel, which is slow where the windows overlap."""
        overlaps = self.kernel_size[0] > self.stride[0] and self.groups == self.dilation[0] == 1
        return overlaps and x.shape[0] == 1 and math.prod(x.shape[:4]) <= _SMALL and self._planes(x) > 1

    def _in_halves(self, x: torch.Tensor) -> torch.Tensor:
        """The convolution of (1, C, K, J, I) as of a batch of its lower and upper half along k."""
        before, *beside = (int(size) for size in self.padding)
        planes = self._planes(x)
        half = (planes + 1) // 2
        thickness = (half - 1) * self.stride[0] + self.kernel_size[0]
        first = (planes - half) * self.stride[0]
        x = F.pad(x, (0, 0, 0, 0, before, before))
        halves = torch.cat([x[:, :, :thickness], x[:, :, first : first + thickness]])
        y = F.conv3d(halves, self.weight, self.bias, self.stride, (0, *beside))
        # Of an odd number of planes, both have the one in the middle.
        return torch.cat([y[:1], y[1:, :, 2 * half - planes :]], dim=2)

    def _planes(self, x: torch.Tensor) -> int:
        """Planes of the output along k."""
        return (x.shape[2] + 2 * int(self.padding[0]) - self.kernel_size[0]) // self.stride[0] + 1
