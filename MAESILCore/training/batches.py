"""Samples as batches: those of equal extents share one, and a method that needs its whole batch gets a single one."""

from __future__ import annotations

import torch

from MAESILCore.methods.base import Batch
from MAESILCore.training.source import Sample


def batches_of(samples: list[Sample], *, whole: bool, device: torch.device) -> list[Batch]:
    """The batches of one optimiser step.

    Args:
        samples: in their order, which the batches keep.
        whole: all in one batch, cropped to the extents that they have in common, from their first voxel on. Else
            samples of equal extents share a batch.
        device: where the tensors go.
    """
    if whole:
        return [stack(cropped_alike(samples), device)]
    groups: dict[tuple[int, ...], list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.voxels.shape, []).append(sample)
    return [stack(group, device) for group in groups.values()]


def cropped_alike(samples: list[Sample]) -> list[Sample]:
    """Samples cut to the smallest extents along each axis, which are whole patches."""
    shape = tuple(min(extents) for extents in zip(*(sample.voxels.shape for sample in samples), strict=True))
    return [sample.cropped(shape) for sample in samples]


def stack(samples: list[Sample], device: torch.device) -> Batch:
    """Samples of equal extents as a batch."""
    stages = [sample.stages for sample in samples if sample.stages is not None]
    return Batch(
        superpatches=torch.stack([torch.from_numpy(one.voxels) for one in samples]).unsqueeze(1).to(device),
        stages=torch.stack([torch.from_numpy(each) for each in stages]).to(device) if stages else None,
        start=torch.tensor([one.start for one in samples]).to(device),
        spacing=torch.tensor([one.spacing for one in samples]).to(device),
    )
