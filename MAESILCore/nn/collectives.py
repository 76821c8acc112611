"""Tensors of all processes of a training together; `sums` has their sums."""

from __future__ import annotations

import torch
import torch.distributed as dist


def collected(tensor: torch.Tensor) -> torch.Tensor:
    """The tensors of all processes, one after another along the first axis, without gradient.

    All must call it with equal shapes. Without other processes it is the tensor itself.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return tensor
    tensor = tensor.contiguous()
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor)
    return torch.cat(parts)
