"""Stacks samples into batches of equal extents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from MAESILCore.methods.base import Batch
from MAESILCore.training.source import Sample


def groups_of(samples: Sequence[Sample], most: int | None = None) -> list[list[int]]:
    """The samples that can share a batch, as they have equal extents; each group holds places in `samples`, in order.

    Args:
        samples: all samples of an optimiser step.
        most: largest number of samples in a group; None is no limit.
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, sample in enumerate(samples):
        alike.setdefault(sample.voxels.shape, []).append(place)
    return [
        group[first : first + (most or len(group))]
        for group in alike.values()
        for first in range(0, len(group), most or len(group))
    ]


def smallest(shapes: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """The smallest extent along each axis."""
    return tuple(map(min, zip(*shapes, strict=True)))


def stack(samples: Sequence[Sample], device: torch.device, seeds: Sequence[int] | None = None) -> Batch:
    """Stack samples of equal extents."""
    stages = [sample.stages for sample in samples if sample.stages is not None]
    return Batch(
        superpatches=torch.stack([torch.from_numpy(one.voxels) for one in samples]).unsqueeze(1).to(device),
        stages=torch.stack([torch.from_numpy(each) for each in stages]).to(device) if stages else None,
        start=torch.tensor([one.start for one in samples]).to(device),
        spacing=torch.tensor([one.spacing for one in samples]).to(device),
        seeds=None if seeds is None else torch.tensor(seeds).to(device),
    )
