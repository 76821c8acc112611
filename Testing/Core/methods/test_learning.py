"""Every method learns: on the phantom and on a real scan its loss falls, and it learns one superpatch by heart.

A new method needs a row in `ROWS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MAESILCore.data.volume import Volume, read_volume
from MAESILCore.data.window import Window
from MAESILCore.lattice import MaskStrategy
from MAESILCore.methods import METHODS, create
from MAESILCore.methods.base import Batch, Method, Step
from MAESILCore.phantom import make_phantom
from MAESILCore.training import load_config

SIDE, PATCH, BATCH = 16, 4, 8


@dataclass(frozen=True)
class Row:
    """What a method must reach, in its preset `tiny` and with its default masks.

    Attributes:
        steps: optimiser steps on random crops.
        falls_on_phantom: largest loss after them, as a share of the loss before; both are means over the same crops and
            masks. A first prediction is mid-grey, and one constant grey has about half of its error.
        falls_on_scan: the same on a real scan.
        by_heart_steps: optimiser steps on one crop with one mask.
        by_heart: largest loss after them, as a share of the loss before.
        decibels: least PSNR of that crop after them, over its hidden voxels or, for methods that hide nothing, over
            all; None where the loss takes no voxels.
        rate: learning rate.
        crops: of a batch for one crop by heart; they are alike.
        fields: of the configuration.
    """

    steps: int = 50
    falls_on_phantom: float = 0.5
    falls_on_scan: float = 0.85
    by_heart_steps: int = 100
    by_heart: float = 0.12
    decibels: float | None = 19.0
    rate: float = 4e-3
    crops: int = 1
    fields: Mapping[str, Any] = field(default_factory=dict)


ROWS = {
    # Auto-encoders see what they return, so they learn faster.
    "ae": Row(50, 0.2, 0.4, by_heart_steps=100, by_heart=0.03, decibels=25.0),
    # Standardised patches are mostly noise, which nothing can predict.
    "hi-end-mae": Row(by_heart=0.25, decibels=16.5, fields={"normalise_targets": False}),
    # The target moves with the student, and one crop alone cannot vary as the regularisation wants.
    "jepa-vcr": Row(
        80,
        by_heart_steps=150,
        falls_on_phantom=0.4,
        falls_on_scan=0.4,
        by_heart=0.3,
        decibels=None,
        crops=2,
        fields={"momentum": (0.9, 1.0)},
    ),
    "mae": Row(),
    "maesil": Row(),
    # Log-magnitudes of the spectrum fall more slowly than squares.
    "sl-mae": Row(80, falls_on_phantom=0.65, by_heart_steps=150, by_heart=0.15, decibels=19.0),
    "vae": Row(50, 0.25, 0.6, by_heart_steps=120, by_heart=0.05, decibels=23.0),
    # The first loss is mostly the distance to random codes.
    "vq-vae": Row(50, 0.1, 0.15, by_heart_steps=100, by_heart=0.02, decibels=25.0),
}


def test_every_method_has_a_row() -> None:
    assert set(ROWS) == {name for name in METHODS if METHODS[name].__module__.startswith("MAESILCore.")}


@pytest.mark.parametrize("name", ROWS)
def test_the_loss_falls_on_the_phantom(name: str) -> None:
    assert fall_of(name, phantom_crops()) <= ROWS[name].falls_on_phantom


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_the_loss_falls_on_a_real_scan(name: str, scans: Path) -> None:
    crops = scan_crops(scans / "train" / "LIDC-IDRI-0001_CT.nii.gz")
    assert fall_of(name, crops) <= ROWS[name].falls_on_scan


def fall_of(name: str, crops: torch.Tensor) -> float:
    method = a_method(name)
    fixed = a_batch(name, crops[:BATCH], seed=0)
    before = loss_of(method, fixed)
    train(method, lambda step: a_batch(name, some(crops, step), seed=1 + step), ROWS[name].steps)
    return loss_of(method, fixed) / before


@pytest.mark.parametrize("name", ROWS)
def test_one_superpatch_is_learned_by_heart(name: str) -> None:
    row = ROWS[name]
    method = a_method(name)
    crops = phantom_crops()
    one = crops[crops.flatten(1).std(dim=1).argmax()][None]
    batch = a_batch(name, one.expand(row.crops, -1, -1, -1, -1), seed=0, alike=True)
    before = loss_of(method, batch)
    # New noise in each step: noise that is always the same would be learned, too.
    train(method, lambda step: batch._replace(seeds=batch.seeds + step), row.by_heart_steps)
    assert loss_of(method, batch) <= row.by_heart * before
    assert (row.decibels is not None) <= method.abilities.reconstructs
    if row.decibels is not None:
        with torch.no_grad():
            scores = method.eval().validate(batch)
        score = scores["psnr_hidden" if method.abilities.hides else "psnr_full"]
        assert score >= row.decibels


@pytest.mark.parametrize("name", ROWS)
def test_gradients_reach_what_is_trained_and_nothing_else(name: str) -> None:
    method = a_method(name).train()
    crops = phantom_crops()
    method.training_losses(a_batch(name, crops[:BATCH], seed=0), Step(0, 1)).total.backward()
    for key, weight in method.named_parameters():
        if weight.requires_grad:
            assert weight.grad is not None, key
            assert weight.grad.isfinite().all(), key
            assert weight.grad.any(), key
        else:
            assert weight.grad is None, key


def a_method(name: str) -> Method:
    torch.manual_seed(0)
    sizes = {"superpatch_size": (SIDE,) * 3, "patch_size": (PATCH,) * 3}
    return create(name, {**sizes, **ROWS[name].fields}, "tiny")


def train(method: Method, draw: Callable[[int], Batch], steps: int) -> None:
    """Train as the trainer does: AdamW, a linear warm-up, a cosine fall to half, and clipped gradients."""
    method.train()
    weights = [weight for weight in method.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=ROWS[method.name].rate, betas=(0.9, 0.95))
    for number in range(steps):
        step = Step(number, steps)
        pace = min((number + 1) / 10, 1.0) * (3.0 + math.cos(math.pi * number / steps)) / 4.0
        for group in optimizer.param_groups:
            group["lr"] = ROWS[method.name].rate * pace
        method.begin_step(step)
        loss = method.training_losses(draw(number), step).total
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        method.after_step(step)


def loss_of(method: Method, batch: Batch) -> float:
    """The loss in the units of a training, without a change of the method."""
    torch.manual_seed(0)
    with torch.no_grad():
        return float(method.training_losses(batch, Step(0, 1)).total)


@cache
def phantom_crops() -> torch.Tensor:
    return crops_of(make_phantom((48, 48, 48)).volume)


@cache
def scan_crops(path: Path) -> torch.Tensor:
    return crops_of(read_volume(path))


def crops_of(volume: Volume) -> torch.Tensor:
    """(B, 1, 16, 16, 16): the middle of a scan in crops that hold body."""
    voxels = Window(-1000.0, 1000.0).apply(volume.voxels)
    starts = [range(0, size - SIDE + 1, SIDE) for size in voxels.shape]
    found = [
        voxels[k : k + SIDE, j : j + SIDE, i : i + SIDE]
        for k in starts[0]
        for j in starts[1]
        for i in starts[2]
    ]
    crops = np.stack([crop for crop in found if (crop > 0.25).mean() > 0.2])
    order = np.random.default_rng(0).permutation(len(crops))[:64]
    return torch.from_numpy(crops[order].astype(np.float32))[:, None]


def some(crops: torch.Tensor, step: int) -> torch.Tensor:
    """A batch of crops, drawn for a step."""
    generator = torch.Generator().manual_seed(step)
    return crops[torch.randint(len(crops), (BATCH,), generator=generator)]


@cache
def masks_of(name: str) -> MaskStrategy | None:
    mask = load_config(None, {"method": name}).mask
    return None if mask is None else mask.strategy()


def a_batch(name: str, crops: torch.Tensor, seed: int, alike: bool = False) -> Batch:
    """The crops as the trainer gives them; `alike` hides the same patches of all."""
    strategy = masks_of(name)
    stages = None
    if strategy is not None:
        lattice = (SIDE // PATCH,) * 3
        seeds = [1000 * seed + (0 if alike else place) for place in range(len(crops))]
        stages = torch.from_numpy(np.stack([strategy.sample(lattice, one).stages for one in seeds]))
    return Batch(crops, stages, seeds=torch.arange(len(crops)) + 1000 * seed)
