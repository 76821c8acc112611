"""Samples as tensors: those of equal extents share a pass through the network."""

from __future__ import annotations

import torch

from MAESILCore.pretrain.corpus import Sample


def by_shape(samples: list[Sample]) -> list[list[Sample]]:
    """The samples in groups of equal extents, each in the order that they came."""
    groups: dict[tuple[int, ...], list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.voxels.shape, []).append(sample)
    return list(groups.values())


def stack(samples: list[Sample]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(B, 1, K, J, I) voxels, (B, Dk, Dj, Di) hidden, (B, 3) start."""
    voxels = torch.stack([torch.from_numpy(sample.voxels) for sample in samples]).unsqueeze(1)
    hidden = torch.stack([torch.from_numpy(sample.hidden) for sample in samples])
    return voxels, hidden, torch.tensor([sample.start for sample in samples])
