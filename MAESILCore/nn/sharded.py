"""Weights of which each process holds a part (DTensors of FSDP2), and their whole forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The whole tensor of a part, for which all processes must call it; other tensors are returned unchanged."""
    return cast("DTensor", tensor).full_tensor() if _is_sharded(tensor) else tensor


def part_like(tensor: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A whole tensor, which all processes hold, sharded like a weight of the same shape; other tensors unchanged."""
    if not _is_sharded(weight) or tensor.shape != weight.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    like = cast("DTensor", weight)
    return distribute_tensor(tensor.to(weight.device), like.device_mesh, like.placements, src_data_rank=None)


def _is_sharded(tensor: torch.Tensor) -> bool:
    return hasattr(tensor, "full_tensor")
