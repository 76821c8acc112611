"""Batches: drawn while the step before them runs, as tensors in which samples of equal extents share a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from MAESILCore.data.window import Window
from MAESILCore.methods import MethodConfig
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.corpus import Corpus, Sample


def draw_batch(
    corpus: Corpus, config: PretrainConfig, sizes: MethodConfig, rank: int, step: int
) -> list[Sample]:
    """The samples of one step in one of several processes; together these draw one batch after another."""
    return [
        corpus.sample(
            config.crop,
            config.mask.strategy,
            Window(*config.window),
            sizes.patch_size,
            sizes.superpatch_size,
            (config.seed, step, rank * config.batch_size + place),
        )
        for place in range(config.batch_size)
    ]


def drawn_ahead(draw: Callable[[int], list[Sample]], steps: range) -> Iterator[list[Sample]]:
    """The batch of every step, each drawn by a thread while the one before it is used."""
    if not steps:
        return
    with ThreadPoolExecutor(max_workers=1) as worker:
        pending = worker.submit(draw, steps[0])
        for step in steps[1:]:
            samples = pending.result()
            pending = worker.submit(draw, step)
            yield samples
        yield pending.result()


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
