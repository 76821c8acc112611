"""Sharding: each process holds a part of all weights, gradients and optimiser state (FSDP2; docs/clusters.md)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from MAESILCore.methods.base import Method
from MAESILCore.nn.transformer import Transformer


def shard(method: Method, mesh: DeviceMesh) -> Method:
    """Replace the weights of a method by this process's parts; changes it in place.

    `training_losses` then gathers the weights of one transformer block at a time, and all others, such as those of the
    embedding, for its whole length. All processes must call it equally often, as each call waits for the others.

    Args:
        method: the whole method; all processes must hold the same.
        mesh: one dimension, over all processes.
    """
    for module in list(method.modules()):
        for block in module.blocks if isinstance(module, Transformer) else ():
            fully_shard(block, mesh=mesh)
    fully_shard(method, mesh=mesh)
    register_fsdp_forward_method(method, "training_losses")
    return method


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The whole tensor of a part, for which all processes must call it; other tensors are returned unchanged."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_like(tensor: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A whole tensor, which all processes hold, sharded like a weight of the same shape; other tensors unchanged."""
    if not isinstance(weight, DTensor) or tensor.shape != weight.shape:
        return tensor
    place = tensor.to(weight.device)
    return distribute_tensor(place, weight.device_mesh, weight.placements, src_data_rank=None)


def gathered(tensors: Mapping[str, torch.Tensor], keep: bool) -> dict[str, torch.Tensor]:
    """The whole tensors on the CPU; all processes must call it, and those without `keep` get nothing."""
    found = {}
    for name, tensor in tensors.items():
        full = whole(tensor)
        if keep:
            found[name] = full.cpu()
    return found
