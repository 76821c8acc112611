"""Counts the operations of a training step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode


def flops_of_pass(loss: Callable[[], torch.Tensor]) -> float:
    """Floating-point operations of forward and backward pass, fused attention written out so that it is counted."""
    counter = FlopCounterMode(display=False)
    with counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        loss().backward()
    return float(counter.get_total_flops())
