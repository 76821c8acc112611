"""Checkpoints: they carry their card, arrive whole or not at all, and a bad one is refused with a sentence."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from MAESILCore import checkpoint
from MAESILCore.checkpoint import CARD_KEY, Card, load_checkpoint, read_card, save_checkpoint
from MAESILCore.errors import CheckpointError
from MAESILCore.methods import create
from MAESILCore.window import Window


def a_card(**fields: object) -> Card:
    method = create("maesil", {"superpatch_size": (16, 16, 16)}, "tiny")
    config = method.config.model_dump(mode="json")
    return Card.model_validate(
        {
            "name": "test",
            "method": "maesil",
            "config": config,
            "window": (-500, 500),
            "mask": {},
            "step": 3,
            **fields,
        }
    )


@pytest.fixture
def a_checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    card = a_card()
    method = create(card.method, card.config)
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, {f"model.{name}": tensor for name, tensor in method.state_dict().items()}, card)
    return path


def test_a_model_comes_back_with_weights_window_and_sizes(a_checkpoint: Path) -> None:
    torch.manual_seed(0)
    fresh = create("maesil", a_card().config)
    loaded = load_checkpoint(a_checkpoint)
    assert loaded.window == Window(-500, 500)
    assert loaded.superpatch_size == (16, 16, 16)
    assert loaded.patch_size == (8, 8, 8)
    assert not loaded.method.training
    for name, weight in fresh.state_dict().items():
        assert torch.equal(loaded.method.state_dict()[name], weight)


def test_averaged_weights_win_over_raw_ones(tmp_path: Path) -> None:
    card = a_card()
    state = create(card.method, card.config).state_dict()
    tensors = {f"model.{name}": tensor for name, tensor in state.items()}
    tensors |= {f"average.{name}": torch.full_like(tensor, 0.25).half() for name, tensor in state.items()}
    save_checkpoint(tmp_path / "run.safetensors", tensors, card)
    loaded = load_checkpoint(tmp_path / "run.safetensors")
    assert all((weight == 0.25).all() for weight in loaded.method.state_dict().values())


def test_a_failed_write_leaves_the_old_checkpoint_and_no_litter(
    a_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = a_checkpoint.read_bytes()

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full_disk)
    with pytest.raises(CheckpointError, match="No space left"):
        save_checkpoint(a_checkpoint, {"model.x": torch.zeros(1)}, a_card())
    assert a_checkpoint.read_bytes() == before
    assert [path.name for path in a_checkpoint.parent.iterdir()] == [a_checkpoint.name]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint .*nowhere\.safetensors"):
        load_checkpoint(tmp_path / "nowhere.safetensors")


def test_a_file_is_loaded_where_no_models_are_bundled(
    a_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "MAESILCore.resources._MODEL_FOLDERS", (a_checkpoint / "here", a_checkpoint / "there")
    )
    assert load_checkpoint(a_checkpoint).name == "test"
    monkeypatch.chdir(a_checkpoint.parent)
    assert load_checkpoint(a_checkpoint.name).name == "test"
    with pytest.raises(CheckpointError, match=r"no checkpoint nothing; .* \(none is bundled\)"):
        load_checkpoint("nothing")
    with pytest.raises(CheckpointError, match="install MAESIL again"):
        load_checkpoint()


def test_a_bundled_model_is_loaded_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_checkpoint(checkpoint.BUNDLED).name == load_checkpoint().name == checkpoint.BUNDLED


def test_a_folder_without_checkpoints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_cut_short_is_refused(a_checkpoint: Path, share: float) -> None:
    whole = a_checkpoint.read_bytes()
    a_checkpoint.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match="damaged, cut short or of another kind"):
        load_checkpoint(a_checkpoint)


def test_weights_of_somebody_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="no MAESIL card"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ("{", "damaged or was edited"),
        (json.dumps({"format": 1, "name": "x"}), "damaged or was edited"),
        (json.dumps({"format": 99}), "format 99"),
        (json.dumps(a_card().model_dump() | {"window": (5, 5)}), "damaged or was edited"),
        (json.dumps(a_card().model_dump() | {"window": (0, math.nan)}), "damaged or was edited"),
        (json.dumps(a_card().model_dump() | {"window": (-math.inf, 0)}), "damaged or was edited"),
        ("[" * 100_000 + "]" * 100_000, "damaged or was edited"),
    ],
)
def test_a_card_that_is_not_understood_is_refused(tmp_path: Path, card: str, words: str) -> None:
    path = tmp_path / "odd.safetensors"
    save_file({"model.x": torch.zeros(2)}, path, metadata={CARD_KEY: card})
    with pytest.raises(CheckpointError, match=words):
        read_card(path)


def test_weights_that_do_not_fit_their_card_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    save_checkpoint(path, {"model.x": torch.zeros(2)}, a_card())
    with pytest.raises(CheckpointError, match="does not fit this version"):
        load_checkpoint(path)


def test_a_method_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "later.safetensors"
    save_checkpoint(path, {"model.x": torch.zeros(2)}, a_card(method="telepathy"))
    with pytest.raises(CheckpointError, match="telepathy"):
        load_checkpoint(path)
