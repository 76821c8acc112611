"""The auto-encoders: their losses, latent sizes, crops, and what they refuse."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from MAESILCore.errors import ConfigError, MissingPackageError
from MAESILCore.methods import create
from MAESILCore.methods.abilities import Abilities, FeatureLevel
from MAESILCore.methods.base import Batch, Losses, Method, Step
from MAESILCore.methods.vae import noise_like
from MAESILCore.phantom import make_phantom

NAMES = ("ae", "vae", "vq-vae")
SIZES = {"superpatch_size": (16, 16, 16), "patch_size": (4, 4, 4)}


def a_method(name: str, **fields: object) -> Method:
    torch.manual_seed(0)
    return create(name, {**SIZES, **fields}, "tiny")


def a_batch(samples: int = 4, size: tuple[int, int, int] = (16, 8, 12)) -> Batch:
    voxels = torch.rand(samples, 1, *size, generator=torch.Generator().manual_seed(1))
    return Batch(voxels, seeds=torch.arange(samples) + 2**40)


def losses_of(method: Method, batch: Batch) -> Losses:
    method.begin_step(Step(0, 1))
    return method.training_losses(batch, Step(0, 1))


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_the_mean_over_samples_however_they_are_batched(name: str) -> None:
    method, batch = a_method(name), a_batch()
    assert batch.seeds is not None

    def loss(places: list[int]) -> torch.Tensor:
        return losses_of(method, Batch(batch.superpatches[places], seeds=batch.seeds[places])).total

    torch.testing.assert_close((loss([3, 0, 1]) * 3 + loss([2])) / 4, loss([0, 1, 2, 3]))


def test_the_loss_of_an_ae_is_the_error_of_what_it_returns() -> None:
    batch = a_batch()
    nothing = torch.zeros(4, 4, 2, 3, dtype=torch.bool)
    for kind, power in (("mse", 2), ("l1", 1)):
        method = a_method("ae", pixel_loss=kind)
        error = (method.reconstruct(batch.superpatches, nothing) - batch.superpatches).detach().numpy()
        total, parts = losses_of(method, batch)
        assert float(total.detach()) == pytest.approx((np.abs(error) ** power).mean(), rel=1e-5)
        assert set(parts) == {kind}


def test_the_loss_of_a_vae_has_noise_and_its_prediction_has_none() -> None:
    method, batch = a_method("vae", beta=0.1), a_batch()
    total, parts = losses_of(method, batch)
    encoded = method.encode(batch.superpatches).detach()
    mean, log_variance = (part.numpy().astype(np.float64) for part in encoded.chunk(2, dim=1))
    divergence = -0.5 * (1 + log_variance - mean**2 - np.exp(log_variance)).mean()
    assert float(parts["kl"].detach()) == pytest.approx(divergence, rel=1e-5)
    noise = noise_like(encoded[:, :4], batch.seeds).numpy()
    latent = torch.from_numpy(mean + np.exp(log_variance / 2) * noise)
    error = (method.decode(latent.float()).detach() - batch.superpatches).square().mean()
    assert float(parts["mse"].detach()) == pytest.approx(float(error), rel=1e-5)
    assert float(total.detach()) == pytest.approx(float(error) + 0.1 * divergence, rel=1e-5)
    nothing = torch.zeros(4, 4, 2, 3, dtype=torch.bool)
    predicted = method.reconstruct(batch.superpatches, nothing)
    torch.testing.assert_close(predicted, method.decode(encoded[:, :4]))
    torch.testing.assert_close(method.features(batch.superpatches)[0].map, encoded[:, :4])


@pytest.mark.parametrize("kind", ["average", "gradient"])
def test_the_loss_of_a_vq_vae_is_equation_3(kind: str) -> None:
    method, batch = a_method("vq-vae", codebook=kind, commitment_weight=0.5), a_batch()
    total, parts = losses_of(method, batch)
    encoded = method.encode(batch.superpatches).detach().double().movedim(1, -1).flatten(0, -2).numpy()
    codes = method.codebook.vectors[0].detach().double().numpy()
    numbers = ((encoded[:, None] - codes[None]) ** 2).sum(axis=2).argmin(axis=1)
    distance = ((encoded - codes[numbers]) ** 2).mean()
    nothing = torch.zeros(4, 4, 2, 3, dtype=torch.bool)
    error = (method.reconstruct(batch.superpatches, nothing) - batch.superpatches).detach().square().mean()
    terms = {"mse": float(error), "commitment": distance} | (
        {"codebook": distance} if kind == "gradient" else {}
    )
    assert {
        name: float(part.detach()) for name, part in parts.items() if name != "perplexity"
    } == pytest.approx(terms, rel=1e-4)
    weights = {"mse": 1.0, "commitment": 0.5, "codebook": 1.0}
    assert float(total.detach()) == pytest.approx(
        sum(weights[name] * term for name, term in terms.items()), rel=1e-4
    )
    # The gradient of the voxels passes the codes: the encoder would have none else.
    parts["mse"].backward()
    assert method.to_latent.weight.grad is not None
    assert method.to_latent.weight.grad.any()


def test_a_codebook_is_used_after_a_short_training() -> None:
    method = a_method("vq-vae")
    voxels = torch.from_numpy((make_phantom((48, 48, 48)).volume.voxels / 2000.0 + 0.5).clip(0, 1)).float()
    cubes = voxels.unfold(0, 16, 16).unfold(1, 16, 16).unfold(2, 16, 16).reshape(-1, 1, 16, 16, 16)
    optimizer = torch.optim.AdamW(method.parameters(), 3e-3)
    for number in range(40):
        step, places = Step(number, 40), torch.arange(4) * 7 + number
        method.begin_step(step)
        losses = method.training_losses(Batch(cubes[places % len(cubes)], seeds=places), step)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        method.after_step(step)
    assert float(method.codebook.perplexity()) > 6.0  # of 32 codes; a collapsed codebook has 1


@pytest.mark.parametrize("name", NAMES)
def test_thick_slices_are_halved_last(name: str) -> None:
    method = a_method(name, patch_size=(2, 8, 4), superpatch_size=(16, 32, 16)).eval()
    strides = [level.stride for level in method.abilities.levels]
    assert strides == [(1, 2, 1), (1, 4, 2), (2, 8, 4), (2, 8, 4)]
    voxels = torch.rand(1, 1, 6, 16, 12)
    with torch.inference_mode():
        assert method.reconstruct(voxels, torch.zeros(1, 3, 2, 3, dtype=torch.bool)).shape == voxels.shape
        for level, features in zip(method.abilities.levels, method.features(voxels, range(4)), strict=True):
            lattice = [size // part for size, part in zip((6, 16, 12), level.stride, strict=True)]
            assert features.map.shape == (1, level.width, *lattice)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"patch_size": (6, 6, 6), "superpatch_size": (12, 12, 12)}, "must be powers of two"),
        ({"patch_size": (1, 1, 1)}, "at least one of them above 1"),
        (
            {"latent_channels": 32},
            "16 channels of the deepest stage cannot fill 32 latent_channels: raise deep_width",
        ),
        ({"width": 12}, "width: must be a multiple of 8"),
    ],
)
def test_a_trunk_that_cannot_be_built_is_refused_with_a_sentence(
    fields: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        a_method("ae", **fields)


def test_the_size_of_the_latent_is_known() -> None:
    sizes = {
        name: (abilities.latent_per_voxel, abilities.latent_bits_per_voxel)
        for name in ("ae", "vae", "vq-vae", "maesil")
        for abilities in [create(name, None, "tiny" if name == "maesil" else "small").abilities]
    }
    assert sizes == {
        "ae": (8 / 512, None),
        "vae": (8 / 512, None),
        "vq-vae": (None, 10 / 512),
        "maesil": (48 / 512, None),
    }
    with torch.device("meta"):
        assert create("ae", None, "wide").abilities.latent_per_voxel == 768 / 512
    level = {"stride": [8, 8, 8], "width": 64}
    old = Abilities.from_json({"hides": True, "reconstructs": True, "levels": [level]})
    assert (old.latent_per_voxel, old.code_bits) == (64 / 512, None)
    new = Abilities(hides=False, reconstructs=True, levels=(FeatureLevel((8, 8, 8), 64),), code_bits=10.0)
    assert Abilities.from_json(json.loads(json.dumps(new.to_json()))) == new


def test_a_model_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in [name for name in sys.modules if name.startswith("monai.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "monai", None)
    with pytest.raises(
        MissingPackageError, match="auto-encoder needs the package monai; install it with: python"
    ):
        a_method("vae")
