"""Stacks samples into batches of equal extents, or into one batch for methods that need all samples at once."""

from __future__ import annotations

import torch

from MAESILCore.methods.base import Batch
from MAESILCore.training.source import Sample


def batches_of(samples: list[Sample], *, whole: bool, device: torch.device) -> list[Batch]:
    """The batches of one optimiser step.

    Args:
        samples: all samples of the step; batches keep their order.
        whole: whether all samples share one batch, cropped at the end of each axis to the smallest extents. Else one
            batch holds the samples of equal extents.
        device: the device of the tensors.
    """
    if whole:
        shape = tuple(map(min, zip(*(sample.voxels.shape for sample in samples), strict=True)))
        return [stack([sample.cropped(shape) for sample in samples], device)]
    groups: dict[tuple[int, ...], list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.voxels.shape, []).append(sample)
    return [stack(group, device) for group in groups.values()]


def stack(samples: list[Sample], device: torch.device) -> Batch:
    """Stack samples of equal extents."""
    stages = [sample.stages for sample in samples if sample.stages is not None]
    return Batch(
        superpatches=torch.stack([torch.from_numpy(one.voxels) for one in samples]).unsqueeze(1).to(device),
        stages=torch.stack([torch.from_numpy(each) for each in stages]).to(device) if stages else None,
        start=torch.tensor([one.start for one in samples]).to(device),
        spacing=torch.tensor([one.spacing for one in samples]).to(device),
    )
