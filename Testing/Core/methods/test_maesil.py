"""The method `maesil` behind the interface that all methods share."""

from __future__ import annotations

import pytest
import torch

from MAESILCore.errors import ConfigError
from MAESILCore.losses.masked import masked_mse, normalise_patches
from MAESILCore.methods import METHODS, create
from MAESILCore.methods.base import Batch, Method, Step
from MAESILCore.nn.tokens import expand_patches, patchify

SIZES = {"superpatch_size": (32, 32, 32), "patch_size": (8, 8, 8)}
VARIANTS = {
    "published": {},
    "fill": {"residual_fill": True},
    "refined": {"residual_fill": True, "refine_channels": 4},
    "refined without residual": {"refine_channels": 4},
    "normalised": {"normalise_targets": True},
    "partly decoded": {"decode_fraction": 0.5},
    "partly decoded over the fill": {"decode_fraction": 0.5, "residual_fill": True},
    "made for pictures": {"residual_fill": True, "refine_channels": 4, "picture_loss": {"focus": (0.4, 0.6)}},
}


def a_method(**fields: object) -> Method:
    torch.manual_seed(0)
    return create("maesil", {**SIZES, **fields}, "tiny")


def a_batch(
    shape: tuple[int, int, int] = (32, 32, 32), share: float = 0.6
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    lattice = tuple(size // 8 for size in shape)
    return (
        torch.rand(2, 1, *shape, generator=generator),
        torch.rand(2, *lattice, generator=generator) < share,
    )


def loss_of(
    method: Method, voxels: torch.Tensor, hidden: torch.Tensor, seeds: torch.Tensor | None = None
) -> torch.Tensor:
    return method.training_losses(Batch(voxels, hidden.to(torch.uint8), seeds=seeds), Step(0, 1)).total


@pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("shape", [(32, 32, 32), (8, 24, 16)])
def test_every_variant_learns_and_reconstructs(
    fields: dict[str, object], shape: tuple[int, int, int]
) -> None:
    method = a_method(**fields)
    voxels, hidden = a_batch(shape)
    loss = loss_of(method, voxels, hidden)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(weight.grad is not None for weight in method.encoder.parameters())
    with torch.inference_mode():
        assert method.eval().reconstruct(voxels, hidden).shape == voxels.shape


@pytest.mark.slow
@pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_works_in_half_precision_almost_alike(fields: dict[str, object]) -> None:
    """Most GPUs and some CPUs get bfloat16, whichever machine runs these tests."""
    method = a_method(**fields)
    voxels, hidden = a_batch()
    found = []
    for is_half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            loss = loss_of(method, voxels, hidden, torch.tensor([3, 4]))
            with torch.no_grad():
                predicted = method.reconstruct(voxels, hidden)
        loss.backward()
        assert all(weight.grad is None or weight.grad.isfinite().all() for weight in method.parameters())
        found.append((loss.detach().float(), predicted.float()))
    (loss, predicted), (rough_loss, rough) = found
    torch.testing.assert_close(rough_loss, loss, rtol=0.05, atol=0.01)
    torch.testing.assert_close(rough, predicted, rtol=0.0, atol=0.05)


@pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS)
def test_hidden_voxels_never_reach_the_prediction(fields: dict[str, object]) -> None:
    """The one property that a masked autoencoder must have."""
    method = a_method(**fields).eval()
    for weight in method.parameters():  # away from zero-initialised layers, which would hide a leak
        torch.nn.init.normal_(weight, std=0.05)
    voxels, hidden = a_batch()
    other = torch.where(expand_patches(hidden[:, None], (8, 8, 8)), 1.0 - voxels, voxels)
    with torch.inference_mode():
        torch.testing.assert_close(method.reconstruct(voxels, hidden), method.reconstruct(other, hidden))


@pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS)
def test_a_sample_does_not_depend_on_its_batch(fields: dict[str, object]) -> None:
    """Samples of a batch hide different numbers of patches; padding must not leak."""
    method = a_method(**fields).eval()
    for weight in method.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    voxels, hidden = a_batch()
    hidden[1] = hidden[1] & hidden[0]
    assert hidden[0].sum() != hidden[1].sum()
    with torch.inference_mode():
        together = method.reconstruct(voxels, hidden)
        alone = torch.cat([method.reconstruct(voxels[n : n + 1], hidden[n : n + 1]) for n in range(2)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_nothing_hidden_and_everything_hidden_both_work(share: float) -> None:
    method = a_method(residual_fill=True, refine_channels=4).eval()
    voxels, hidden = a_batch(share=share)
    assert hidden.float().mean() == min(share, 1.0)
    with torch.inference_mode():
        assert torch.isfinite(method.reconstruct(voxels, hidden)).all()
    assert torch.isfinite(loss_of(method, voxels, hidden))


def test_a_place_inside_the_superpatch_changes_the_prediction() -> None:
    method = a_method()
    voxels, hidden = a_batch((16, 16, 16))
    stages = hidden.to(torch.uint8)
    here, there = (
        method.training_losses(Batch(voxels, stages, torch.tensor([[0, 0, 0], [n, n, n]])), Step(0, 1)).total
        for n in (0, 2)
    )
    assert here != there


def test_encoding_gives_a_feature_vector_a_patch() -> None:
    method = a_method()
    voxels, _ = a_batch((16, 24, 32))
    (features,) = method.features(voxels)
    assert features.map.shape == (2, 48, 2, 3, 4)
    assert features.stride == (8, 8, 8)
    assert features.summary is not None
    assert features.summary.shape == (2, 48)


def test_the_loss_counts_hidden_patches_only() -> None:
    prediction, target = torch.zeros(1, 3, 2), torch.tensor([[[1.0, 1.0], [2.0, 0.0], [9.0, 9.0]]])
    assert masked_mse(prediction, target, torch.tensor([[1, 1, 0]])) == pytest.approx(1.5)
    assert masked_mse(prediction, target, torch.zeros(1, 3)) == 0.0


def test_normalised_patches_have_mean_0_and_deviation_1_and_go_back() -> None:
    patches = torch.rand(2, 5, 64) * 3 + 1
    normalised, mean, deviation = normalise_patches(patches)
    torch.testing.assert_close(normalised.mean(-1), torch.zeros(2, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalised.std(-1, unbiased=False), torch.ones(2, 5), atol=1e-3, rtol=0)
    torch.testing.assert_close(normalised * deviation + mean, patches)


@pytest.mark.slow
def test_a_tiny_model_learns_one_sample_by_heart() -> None:
    method = a_method()
    voxels, hidden = a_batch((16, 16, 16))
    voxels = expand_patches(torch.rand(2, 1, 2, 2, 2, generator=torch.Generator().manual_seed(2)), (8, 8, 8))
    optimizer = torch.optim.AdamW(method.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        loss = loss_of(method, voxels, hidden)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.parametrize("preset", ["tiny", "small", "base", "paper"])
def test_every_preset_describes_a_model(preset: str) -> None:
    method = METHODS["maesil"]
    config = method.config_type.model_validate(method.presets[preset])
    assert config.superpatch_size == (128, 128, 128)
    assert config.patch_size == (8, 8, 8)


@pytest.mark.parametrize(
    ("name", "fields", "preset", "words"),
    [
        ("mesil", {}, None, "no method 'mesil'"),
        ("maesil", {}, "huge", "no preset 'huge'"),
        ("maesil", {"patch_size": (7, 8, 8)}, None, "cannot be cut into patches of 7"),
        ("maesil", {"depth": 3}, None, "depth"),
        (
            "maesil",
            {"encoder": {"width": 50, "depth": 1, "heads": 3}},
            None,
            "50 cannot be split over 3 heads",
        ),
        ("maesil", {"refine_channels": 4, "decode_fraction": 0.5}, None, "decode_fraction 1"),
        ("maesil", {"refine_channels": 4, "patch_size": (4, 8, 8)}, None, "three equal sides"),
        ("maesil", {"normalise_targets": True, "residual_fill": True}, None, "residual_fill false"),
    ],
)
def test_a_wrong_configuration_is_refused_with_a_sentence(
    name: str, fields: dict[str, object], preset: str | None, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        create(name, fields, preset)


def test_patchify_is_what_the_loss_sees() -> None:
    voxels, hidden = a_batch()
    method = a_method().eval()
    expected = masked_mse(
        patchify(method.reconstruct(voxels, hidden), (8, 8, 8)),
        patchify(voxels, (8, 8, 8)),
        hidden.flatten(1),
    )
    torch.testing.assert_close(loss_of(method, voxels, hidden), expected)


@pytest.mark.parametrize("channels", [0, 4])
def test_visible_voxels_come_back_unchanged_over_a_fill(channels: int) -> None:
    method = a_method(residual_fill=True, refine_channels=channels).eval()
    for weight in method.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    voxels, hidden = a_batch()
    inside = expand_patches(hidden[:, None], (8, 8, 8))
    with torch.inference_mode():
        predicted = method.reconstruct(voxels, hidden)
    torch.testing.assert_close(predicted[~inside], voxels[~inside])
    assert (predicted[inside] - voxels[inside]).abs().mean() > 0.01
