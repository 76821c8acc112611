"""Stacks samples into batches of equal extents, or into one batch for methods that need all samples at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from MAESILCore.methods.base import Batch
from MAESILCore.training.source import Sample


def batches_of(
    samples: Sequence[Sample],
    seeds: Sequence[int],
    *,
    whole: bool,
    device: torch.device,
    most: int | None = None,
) -> Iterator[Batch]:
    """The batches of one optimiser step, each put on the device when it is its turn.

    Args:
        samples: all samples of the step; batches keep their order.
        seeds: one per sample, see `Batch.seeds`.
        whole: whether all samples share one batch, cropped at the end of each axis to the smallest extents. Else one
            batch holds the samples of equal extents.
        device: the device of the tensors.
        most: largest number of samples in a batch; None is no limit.
    """
    if whole:
        shape = tuple(map(min, zip(*(sample.voxels.shape for sample in samples), strict=True)))
        yield stack([sample.cropped(shape) for sample in samples], device, seeds)
        return
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, sample in enumerate(samples):
        groups.setdefault(sample.voxels.shape, []).append(place)
    for group in groups.values():
        for first in range(0, len(group), most or len(group)):
            places = group[first : first + (most or len(group))]
            yield stack([samples[place] for place in places], device, [seeds[place] for place in places])


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
