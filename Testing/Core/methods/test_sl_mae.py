"""The method `sl-mae`: its two losses and the schedules of the second one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MAESILCore.errors import ConfigError
from MAESILCore.losses.spectral import spectral_loss
from MAESILCore.methods import create
from MAESILCore.methods.base import Batch, Method, Step
from MAESILCore.nn.tokens import expand_patches

SIZES = {"superpatch_size": (16, 16, 16), "patch_size": (4, 4, 4)}


def a_method(**fields: object) -> Method:
    torch.manual_seed(0)
    method = create("sl-mae", {**SIZES, **fields}, "tiny")
    for weight in method.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return method


def a_batch() -> Batch:
    """Two samples that hide different numbers of patches."""
    generator = torch.Generator().manual_seed(3)
    hidden = torch.rand(2, 2, 4, 3, generator=generator) < torch.tensor([0.5, 0.8]).view(2, 1, 1, 1)
    return Batch(torch.rand(2, 1, 8, 16, 12, generator=generator), hidden.to(torch.uint8))


@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_the_loss_is_that_of_standardised_voxels_and_of_the_mosaic(exponent: float) -> None:
    method, batch = a_method(exponent=exponent, spectral={"weight": 0.7, "cut": 0.1}), a_batch()
    with torch.no_grad():
        found = method.training_losses(batch, Step(0, 1))
        predicted = method.reconstruct(batch.superpatches, batch.hidden)
    inside = expand_patches(batch.hidden[:, None], (4, 4, 4))
    terms = []
    for x, y, where in zip(batch.superpatches.numpy(), predicted.numpy(), inside.numpy(), strict=True):
        deviation = np.sqrt(x.var() + 0.01**2)
        terms.append((np.abs((x - y)[where] / deviation) ** exponent).mean() / exponent)
    mosaic = torch.where(inside, predicted, batch.superpatches)
    spectral = spectral_loss(mosaic, batch.superpatches, cut=0.1, average="radii")
    assert float(found.parts["voxel"]) == pytest.approx(np.mean(terms), rel=1e-5)
    assert float(found.parts["spectral"]) == pytest.approx(float(spectral), rel=1e-5)
    assert float(found.total) == pytest.approx(np.mean(terms) + 0.7 * float(spectral), rel=1e-5)


def test_the_spectral_loss_counts_in_every_step_or_as_in_the_released_code() -> None:
    batch = a_batch()
    published = a_method(spectral={"schedule": "paper", "weight": 2.0, "every": 10})
    each = a_method(spectral={"weight": 2.0})
    weights = {}
    with torch.no_grad():
        for number in (0, 49, 50, 55, 60, 230, 240, 6990):
            losses = published.training_losses(batch, Step(number, 7000))  # ten steps an epoch
            voxel, spectral = losses.parts["voxel"], losses.parts.get("spectral")
            weights[number] = 0.0 if spectral is None else float((losses.total - voxel) / spectral)
            losses = each.training_losses(batch, Step(number, 7000))
            assert float(losses.total - losses.parts["voxel"]) == pytest.approx(
                2.0 * float(losses.parts["spectral"]), rel=1e-4
            )
    rise = {50: 1 / 20, 60: 2 / 20, 230: 19 / 20, 240: 1.0, 6990: 1.0}
    expected = {number: 2.0 * rise.get(number, 0.0) / 10 for number in weights}
    assert weights == pytest.approx(expected, rel=1e-3)


def test_a_weight_of_0_is_the_plain_twin() -> None:
    losses = a_method(spectral={"weight": 0.0}).training_losses(a_batch(), Step(0, 1))
    assert set(losses.parts) == {"voxel"}
    assert torch.equal(losses.total, losses.parts["voxel"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"spectral": {"cut": 1.0}}, r"spectral\.cut: must be less than 1"),
        ({"spectral": {"mode": "phase"}}, r"spectral\.mode: must be 'logmag', 'magnitude' or 'complex'"),
        ({"decode_fraction": 0.25}, "decode_fraction"),
    ],
)
def test_a_wrong_configuration_is_refused_with_a_sentence(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        a_method(**fields)
