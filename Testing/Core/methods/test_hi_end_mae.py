"""The method `hi-end-mae`: which layers its decoder asks, and its targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from MAESILCore.data.volume import Volume
from MAESILCore.errors import ConfigError
from MAESILCore.inference import reconstruct
from MAESILCore.methods import create
from MAESILCore.methods.abilities import Abilities
from MAESILCore.methods.base import Batch, Step
from MAESILCore.methods.hi_end_mae import HiEndMae
from MAESILCore.models.card import Card
from MAESILCore.models.checkpoint import load_checkpoint, save_checkpoint
from MAESILCore.nn.cross_attention import CrossAttention, CrossTransformer
from MAESILCore.nn.tokens import patchify
from MAESILCore.scoring.reconstruction import score_reconstruction

SIZES = {"superpatch_size": (16, 16, 16), "patch_size": (4, 4, 4)}


def a_method(**fields: object) -> HiEndMae:
    torch.manual_seed(0)
    method = create("hi-end-mae", {**SIZES, **fields}, "tiny")
    assert isinstance(method, HiEndMae)
    for weight in method.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return method


def a_batch(size: int = 16, patch: int = 4) -> Batch:
    """Two samples that hide different numbers of patches."""
    generator = torch.Generator().manual_seed(3)
    lattice = (size // patch,) * 3
    hidden = torch.rand(2, *lattice, generator=generator) < torch.tensor([0.4, 0.7]).view(2, 1, 1, 1)
    return Batch(torch.rand(2, 1, size, size, size, generator=generator), hidden.to(torch.uint8))


@pytest.mark.parametrize(("is_normalised", "told"), [(True, 2), (False, 0)])
def test_its_latent_counts_all_layers_that_the_decoder_asks(is_normalised: bool, told: int) -> None:
    method = a_method(
        encoder={"width": 48, "depth": 5, "heads": 3}, layers=(0, 2), normalise_targets=is_normalised
    )
    assert method.abilities.latent_per_voxel == (3 * 48 + told) / 4**3
    assert Abilities.from_json(method.abilities.to_json()) == method.abilities


@pytest.mark.parametrize("layers", [(0,), (1, 2), (0, 2, 3)])
def test_the_decoder_reads_the_layers_that_the_configuration_names(layers: tuple[int, ...]) -> None:
    """A layer's tokens are changed for the decoder alone; a decoder that does not ask it must not notice."""
    method = a_method(encoder={"width": 48, "depth": 5, "heads": 3}, layers=layers).eval()
    batch = a_batch()
    original = method.encoder.intermediates

    def changed_at(layer: int) -> torch.Tensor:
        def intermediates(x: torch.Tensor, levels: tuple[int, ...], allowed: torch.Tensor | None) -> object:
            states = original(x, (0, 1, 2, 3, -1), allowed)
            states[layer] = states[layer] + torch.linspace(-1, 1, 48)
            return [states[level] for level in levels]

        with pytest.MonkeyPatch.context() as patched, torch.no_grad():
            patched.setattr(method.encoder, "intermediates", intermediates)
            return method(batch.superpatches, batch.hidden)

    with torch.no_grad():
        untouched = method(batch.superpatches, batch.hidden)
    read = {layer for layer in range(4) if not torch.equal(changed_at(layer), untouched)}
    assert read == set(layers)


def test_it_asks_deep_layers_first(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = a_method(), a_batch()
    projected: list[torch.Tensor] = []
    for bridge in method.layer_bridges:
        bridge.register_forward_hook(lambda _, __, output: projected.append(output))
    asked: list[torch.Tensor] = []
    original = CrossAttention.forward

    def spied(self: CrossAttention, x: torch.Tensor, memory: torch.Tensor, *more: object) -> torch.Tensor:
        asked.append(memory)
        return original(self, x, memory, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(CrossAttention, "forward", spied)
    method(batch.superpatches, batch.hidden)
    assert [one is other for one, other in zip(asked, projected[::-1], strict=True)] == [True, True]


def test_cross_attention_is_the_softmax_of_the_products() -> None:
    """With NumPy, head by head; tokens that may not be attended to have no part."""
    torch.manual_seed(0)
    layer = CrossAttention(12, 3).double()
    x, memory = torch.randn(1, 4, 12).double(), torch.randn(1, 5, 12).double()
    allowed = torch.tensor([[True, True, False, True, False]])
    found = layer(x, memory, allowed).detach().numpy()[0]

    def through(linear: torch.nn.Linear, rows: np.ndarray) -> np.ndarray:
        return rows @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()

    query = through(layer.query, x.numpy()[0])
    key, value = np.split(through(layer.key_value, memory.numpy()[0][allowed.numpy()[0]]), 2, axis=1)
    heads = []
    for part in np.split(np.arange(12), 3):
        scores = np.exp(query[:, part] @ key[:, part].T / 2.0)
        heads.append(scores / scores.sum(axis=1, keepdims=True) @ value[:, part])
    np.testing.assert_allclose(found, through(layer.proj, np.concatenate(heads, axis=1)), rtol=1e-10)


def test_a_sample_does_not_depend_on_the_padding_of_its_batch() -> None:
    method, batch = a_method().eval(), a_batch()
    assert len(set(batch.hidden.flatten(1).sum(dim=1).tolist())) == 2
    with torch.inference_mode():
        together = method.reconstruct(batch.superpatches, batch.hidden)
        alone = [method.reconstruct(batch.superpatches[n : n + 1], batch.hidden[n : n + 1]) for n in range(2)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


def test_activations_are_computed_again_to_the_same_gradients() -> None:
    found = []
    for keeps in (True, False):
        method = a_method()
        method.encoder.keeps_activations = method.decoder.keeps_activations = keeps
        method.training_losses(a_batch(), Step(0, 1)).total.backward()
        found.append([weight.grad for weight in method.parameters()])
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("is_normalised", [True, False])
def test_the_loss_is_that_of_the_paper(is_normalised: bool) -> None:
    """With NumPy; the released code's LayerNorm without weights is (x - mean) / sqrt(variance + 1e-6)."""
    method, batch = a_method(normalise_targets=is_normalised), a_batch()
    x = patchify(batch.superpatches, (4, 4, 4)).double().numpy()
    if is_normalised:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    with torch.no_grad():
        y = method(batch.superpatches, batch.hidden).double().numpy()
        found = float(method.training_losses(batch, Step(0, 1)).total)
    error = ((x - y) ** 2).mean(-1)
    hidden = batch.hidden.flatten(1).numpy()
    expected = np.mean([row[chosen].mean() for row, chosen in zip(error, hidden, strict=True)])
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_published_shape() -> None:
    """Without its weights: 96^3 voxels are 512 patches of 12^3 voxels; parameters as counted in docs/methods.md."""
    with torch.device("meta"):
        method = create("hi-end-mae", None, "paper")
    assert isinstance(method, HiEndMae)
    assert method.config.superpatch_size == (96, 96, 96)
    assert method.head.out_features == 12**3
    assert method.config.layers == (3, 6, 9)
    assert isinstance(method.decoder, CrossTransformer)
    assert len(method.decoder.blocks) == 2 + 3
    parts = {"encoder": 0, "decoder": 0}
    for name, weight in method.named_parameters():
        parts["encoder" if name.split(".")[0] in ("encoder", "embed") else "decoder"] += weight.numel()
    assert parts["encoder"] == pytest.approx(342.6e6, rel=0.001)
    assert parts["decoder"] == pytest.approx(24.2e6, rel=0.08)  # 512 wide, not 528


def test_a_scan_is_reconstructed_from_patches_of_12_voxels(tmp_path: Path) -> None:
    fields = {"superpatch_size": (24, 24, 36), "patch_size": (12, 12, 12)}
    method = create("hi-end-mae", fields, "tiny")
    config = method.config.model_dump(mode="json")
    card = Card(name="a model", method="hi-end-mae", config=config, window=(-175, 250), mask={}, step=0)
    weights = {f"model.{name}": tensor for name, tensor in method.state_dict().items()}
    save_checkpoint(tmp_path / "model.safetensors", weights, card)
    k, j, i = np.ogrid[:30, :26, :40]
    scan = Volume((100 * np.sin(k / 5) * np.cos(j / 4) + i).astype(np.int16), np.eye(4), "a scan")
    result = reconstruct(scan, load_checkpoint(tmp_path / "model.safetensors"), device="cpu")
    assert result.mask.stages.shape == (3, 3, 4)
    assert 0.4 < result.mask.stages.astype(bool).mean() < 0.9
    # The head starts at 0, so each hidden patch is the mean of its fill: a fair picture without training.
    scores = score_reconstruction(result, ["mean"])
    assert scores["model"]["psnr_hidden"] > scores["controls"]["mean"]["psnr_hidden"] + 1.0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"layers": (1, 2)}, r"from 0 to 1, but they are \[1, 2\]"),
        ({"layers": (1, 0)}, "rising"),
        ({"layers": ()}, "rising"),
        ({"layers": (-1, 1)}, "from 0 to 1"),
        ({"decoder": {"width": 528, "depth": 1, "heads": 32}}, "528 cannot be split over 32 heads"),
    ],
)
def test_a_wrong_configuration_is_refused_with_a_sentence(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        a_method(**fields)
