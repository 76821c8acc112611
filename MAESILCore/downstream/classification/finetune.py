"""Fine-tuning: the encoder and an attentive head learn together from crops of the scans."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import avg_pool3d, max_pool3d

from MAESILCore.data.volume import Volume
from MAESILCore.devices import pick_device
from MAESILCore.downstream.classification.attentive import AttentiveHead
from MAESILCore.downstream.classification.encoder import Encoder
from MAESILCore.downstream.classification.scans import stop_if
from MAESILCore.inference.air import is_above_air
from MAESILCore.methods.base import Method
from MAESILCore.models.checkpoint import LoadedModel

#: The number of a block in the name of a weight.
_BLOCK = re.compile(r"(?:^|\.)blocks\.(\d+)\.")
#: Crops whose tokens give mean and scale of the head.
_SAMPLED = 8


@dataclass(frozen=True)
class FinetuneTraining:
    """Sizes of a fine-tuning.

    Attributes:
        steps: optimiser steps.
        frozen: first steps in which the head alone learns.
        scans: crops of a step.
        rate: peak learning rate of the last block of the encoder.
        head_rate: peak learning rate of the head.
        layer_decay: factor of the learning rate from each block to the one before (SL-MAE: 0.6).
    """

    steps: int = 300
    frozen: int = 50
    scans: int = 4
    rate: float = 1e-4
    head_rate: float = 1e-3
    layer_decay: float = 0.6


@dataclass(frozen=True, eq=False)
class FinetunedHead:
    """A head with the encoder that learned with it.

    Attributes:
        encoder: the fine-tuned encoder.
        head: the attentive head.
        level: index of the feature level.
    """

    encoder: Encoder
    head: AttentiveHead
    level: int

    def probabilities(self, volume: Volume, cancelled: Callable[[], bool]) -> np.ndarray:
        """(K,) float64 of a scan, all of which passes.

        Raises:
            Cancelled: `cancelled` returned True.
        """
        return self.head.probabilities(self.encoder.tokens(volume, self.level, cancelled))


def fit_finetuned(
    encoder: Encoder,
    scans: Sequence[np.ndarray],
    classes: np.ndarray,
    *,
    level: int,
    seed: int,
    training: FinetuneTraining,
    progress: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> FinetunedHead:
    """Train a copy of the encoder and a head with AdamW; each class is drawn equally often.

    A crop is as large as a superpatch, or as the scan where that is smaller. Equal seeds give equal weights on a CPU.

    Args:
        encoder: where the training starts; it stays as it is.
        scans: for each scan (k, j, i) in [0, 1], whole patches; see `Encoder.prepared`.
        classes: (scans,) int64 from 0, each class at least once.
        level: index of the feature level.
        seed: of weights and draws.
        training: sizes.
        progress: callback with steps done and steps in all.
        cancelled: True stops the work.

    Raises:
        Cancelled: `cancelled` returned True.
    """
    random, device = np.random.default_rng(seed), pick_device(encoder.device)
    method = copy.deepcopy(encoder.model.method).to(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = AttentiveHead(encoder.model.abilities.levels[level].width, int(classes.max()) + 1).to(device)
    largest = encoder.model.superpatch_size
    members = [np.flatnonzero(classes == one) for one in range(int(classes.max()) + 1)]

    def drawn() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tokens of a crop, which of them hold more than air, and its class."""
        case = int(random.choice(members[random.integers(len(members))]))
        crop = torch.from_numpy(_crop(scans[case], largest, random)).to(device)
        tokens, allowed = _tokens(method, crop, level)
        return tokens, allowed, torch.from_numpy(classes[[case]]).to(device)

    with torch.no_grad():
        some = torch.cat([tokens[allowed] for tokens, allowed, _ in (drawn() for _ in range(_SAMPLED))])
        head.mean.copy_(some.mean(dim=0))
        head.scale.copy_(some.std(dim=0).clamp_min(1e-4))
    optimiser = torch.optim.AdamW(_groups(method, head, training), weight_decay=0.05)
    peaks = [group["lr"] for group in optimiser.param_groups]
    for step in range(training.steps):
        method.requires_grad_(step >= training.frozen)
        factor = 0.5 * (1.0 + np.cos(np.pi * step / training.steps))
        for group, peak in zip(optimiser.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        optimiser.zero_grad()
        for _ in range(training.scans):
            stop_if(cancelled)
            tokens, allowed, target = drawn()
            torch.autograd.backward(F.cross_entropy(head(tokens, allowed), target) / training.scans)
        nn.utils.clip_grad_norm_([*method.parameters(), *head.parameters()], 1.0)
        optimiser.step()
        progress(step + 1, training.steps)
    method.requires_grad_(True)
    tuned = replace(encoder, model=LoadedModel(method.eval(), encoder.model.card), key="")
    return FinetunedHead(tuned, head.cpu().eval(), level)


def _crop(scan: np.ndarray, largest: Sequence[int], random: np.random.Generator) -> np.ndarray:
    """(1, 1, K, J, I) float32, at a random place."""
    sizes = [min(size, most) for size, most in zip(scan.shape, largest, strict=True)]
    starts = [int(random.integers(size - part + 1)) for size, part in zip(scan.shape, sizes, strict=True)]
    box = tuple(slice(start, start + part) for start, part in zip(starts, sizes, strict=True))
    return np.array(scan[box], dtype=np.float32)[None, None]


def _tokens(method: Method, crop: torch.Tensor, level: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (1, N, C) of a crop, and (1, N) bool, those of the body, or all if there is none."""
    (features,) = method.features(crop, (level,))
    stride = features.stride
    body = is_above_air(avg_pool3d(crop, stride), max_pool3d(crop, stride)).flatten(1)
    return features.map.flatten(2).mT.float(), body | ~body.any()


def _groups(method: Method, head: AttentiveHead, training: FinetuneTraining) -> list[dict[str, object]]:
    """Parameters by learning rate: the head, then each block and what is before the first."""
    blocks = [int(found[1]) for name, _ in method.named_parameters() if (found := _BLOCK.search(name))]
    deepest = max(blocks, default=0)
    by_depth: dict[int, list[nn.Parameter]] = {}
    for name, weight in method.named_parameters():
        found = _BLOCK.search(name)
        depth = int(found[1]) if found else (deepest if "norm" in name else -1)
        by_depth.setdefault(depth if blocks else 0, []).append(weight)
    groups: list[dict[str, object]] = [{"params": list(head.parameters()), "lr": training.head_rate}]
    for depth, weights in by_depth.items():
        groups.append({"params": weights, "lr": training.rate * training.layer_decay ** (deepest - depth)})
    return groups
