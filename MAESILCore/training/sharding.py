"""Sharding: each process holds a part of all weights, gradients and optimiser state (FSDP2; docs/clusters.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from MAESILCore.methods.base import Method
from MAESILCore.nn.sharded import whole
from MAESILCore.nn.transformer import Blocks

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


def can_shard() -> bool:
    """Whether this PyTorch has FSDP2, since 2.6."""
    try:
        from torch.distributed import fsdp
    except ImportError:  # a build without distributed training
        return False
    return hasattr(fsdp, "fully_shard")


def shard(method: Method, mesh: DeviceMesh) -> Method:
    """Replace the weights of a method by this process's parts; changes it in place.

    `training_losses` then gathers the weights of one transformer block at a time, and all others, such as those of the
    embedding, for its whole length. All processes must call it equally often, as each call waits for the others.

    Args:
        method: the whole method; all processes must hold the same.
        mesh: one dimension, over all processes.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    for module in list(method.modules()):
        for block in module.blocks if isinstance(module, Blocks) else ():
            fully_shard(block, mesh=mesh)
    fully_shard(method, mesh=mesh)
    register_fsdp_forward_method(method, "training_losses")
    return method


def gathered(tensors: Mapping[str, torch.Tensor], keep: bool) -> dict[str, torch.Tensor]:
    """The whole tensors on the CPU; all processes must call it, and those without `keep` get nothing."""
    found = {}
    for name, tensor in tensors.items():
        full = whole(tensor)
        if keep:
            found[name] = full.cpu()
    return found
