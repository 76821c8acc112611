"""Sums over the processes of a training, through which gradients flow."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch.autograd import Function
from torch.autograd.function import FunctionCtx


def sum_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over all processes, with a gradient; without others, the tensor itself.

    All processes must call it equally often with equal shapes, in the forward and in the backward pass. If every
    process weighs a loss of the sum by its share, and gradients are averaged over P processes that together weigh P,
    then the gradients are those of one process.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return tensor
    summed: torch.Tensor = _Sum.apply(tensor)  # type: ignore[no-untyped-call]
    return summed


class _Sum(Function):
    @staticmethod
    def forward(_: FunctionCtx, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: FunctionCtx, *gradients: torch.Tensor) -> torch.Tensor:
        (gradient,) = gradients
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total
