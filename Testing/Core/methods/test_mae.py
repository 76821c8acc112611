"""The method `mae`: what makes it a control of `maesil`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MAESILCore.methods import METHODS, create
from MAESILCore.methods.base import Batch, Step
from MAESILCore.nn.tokens import patchify
from MAESILCore.training import load_config

SIZES = {"superpatch_size": (16, 16, 16), "patch_size": (4, 4, 4)}


def a_batch() -> Batch:
    """Two samples that hide different numbers of patches."""
    generator = torch.Generator().manual_seed(3)
    hidden = torch.rand(2, 4, 4, 4, generator=generator) < torch.tensor([0.5, 0.8]).view(2, 1, 1, 1)
    voxels = torch.rand(2, 1, 16, 16, 16, generator=generator)
    return Batch(voxels, hidden.to(torch.uint8), seeds=torch.tensor([5, 6]))


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_at_equal_weights_and_masks_it_is_maesil_without_switches(fraction: float) -> None:
    control, method = (
        create(name, {**SIZES, "decode_fraction": fraction}, "tiny") for name in ("mae", "maesil")
    )
    for weight in method.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    control.load_state_dict(method.state_dict())
    batch = a_batch()
    one, other = (each.training_losses(batch, Step(0, 1)).total for each in (control, method))
    torch.testing.assert_close(one, other)
    with torch.inference_mode():
        one, other = (each.reconstruct(batch.superpatches, batch.hidden) for each in (control, method))
    torch.testing.assert_close(one, other)


def test_a_comparison_of_the_default_recipes_compares_masks() -> None:
    control, method = (load_config(None, {"method": name}).model_dump() for name in ("mae", "maesil"))
    assert {key for key in method if control[key] != method[key]} == {"name", "method", "mask"}
    assert METHODS["mae"].presets == METHODS["maesil"].presets


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_normalised_targets_are_those_of_the_paper(fraction: float) -> None:
    """The mean squared error to (x - mean) / sqrt(variance + 1e-6) of every hidden patch, with NumPy."""
    method = create("mae", {**SIZES, "normalise_targets": True, "decode_fraction": fraction}, "tiny")
    torch.nn.init.normal_(method.head.bias)
    torch.nn.init.zeros_(method.head.weight)  # the prediction is then the bias
    batch = a_batch()
    batch.superpatches[0, :, :8] *= 0.01
    if fraction < 1.0:  # whichever patches are drawn, they are alike
        batch.superpatches[:] = batch.superpatches[0, :, :4, :4, :4].repeat(1, 4, 4, 4)
    x = patchify(batch.superpatches, (4, 4, 4)).double().numpy()
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    error = ((x - method.head.bias.detach().numpy()) ** 2).mean(-1)
    hidden = batch.hidden.flatten(1).numpy()
    expected = np.mean([row[chosen].mean() for row, chosen in zip(error, hidden, strict=True)])
    found = float(method.training_losses(batch, Step(0, 1)).total.detach())
    assert found == pytest.approx(expected, rel=1e-4)
