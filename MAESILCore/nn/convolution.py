"""3D convolutions with the fast kernel on a CPU."""

from __future__ import annotations

import torch
from torch import nn


class Conv3d(nn.Conv3d):
    """`nn.Conv3d` that always uses oneDNN for inference on a CPU.

    PyTorch uses its native kernel if the product of batch, channels and the first two sides is small. That kernel is 3
    to 10 times slower for superpatches. Weights and gradients are those of `nn.Conv3d`. Float32 inputs stay float32
    under autocast.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, K, J, I) -> (B, C', K', J', I'), in the memory format of `x`."""
        fast = x.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32
        if torch.is_grad_enabled() or not (fast and torch.backends.mkldnn.is_available()):  # type: ignore[no-untyped-call]
            return super().forward(x)
        weight = self.weight
        if x.is_contiguous(memory_format=torch.channels_last_3d):
            weight = weight.contiguous(memory_format=torch.channels_last_3d)
        padding = [int(size) for size in self.padding]
        return torch.mkldnn_convolution(
            x, weight, self.bias, padding, self.stride, self.dilation, self.groups
        )
