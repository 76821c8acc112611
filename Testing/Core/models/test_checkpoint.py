"""Checkpoints: they carry their card, arrive whole or not at all, and a bad one is refused with a sentence."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from MAESILCore.data.window import Window
from MAESILCore.errors import CheckpointError
from MAESILCore.methods import create
from MAESILCore.methods.abilities import Abilities, FeatureLevel
from MAESILCore.models import checkpoint
from MAESILCore.models.card import CARD_KEY, Card, read_card
from MAESILCore.models.catalogue import BUNDLED, list_models, resolve
from MAESILCore.models.checkpoint import load_checkpoint, save_checkpoint


@cache
def a_config() -> dict[str, object]:
    return create("maesil", {"superpatch_size": (16, 16, 16)}, "tiny").config.model_dump(mode="json")


def a_card(**fields: object) -> Card:
    usual = {
        "name": "test",
        "method": "maesil",
        "config": a_config(),
        "window": (-500, 500),
        "mask": {},
        "step": 3,
    }
    return Card(**{**usual, **fields})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    card = a_card()
    method = create(card.method, card.config)
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    save_checkpoint(path, {f"model.{name}": tensor for name, tensor in method.state_dict().items()}, card)
    return path


@pytest.fixture
def a_checkpoint(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copy(saved, tmp_path))


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

    def full_disk(path: Path, *_: object) -> None:
        path.write_bytes(b"the first part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_sealed", full_disk)
    with pytest.raises(CheckpointError, match="the disk is full; free some space"):
        save_checkpoint(a_checkpoint, {"model.x": torch.zeros(1)}, a_card())
    assert a_checkpoint.read_bytes() == before
    assert [path.name for path in a_checkpoint.parent.iterdir()] == [a_checkpoint.name]


def test_a_folder_in_the_place_of_a_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.mkdir()
    with pytest.raises(CheckpointError) as raised:
        save_checkpoint(path, {"model.weight": torch.zeros(1)}, a_card())
    assert (
        str(raised.value) == f"The checkpoint {path} could not be written: {path} is a folder; move it away."
    )
    with pytest.raises(CheckpointError, match=r"^model\.safetensors is a folder: "):
        read_card(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint .*nowhere\.safetensors"):
        load_checkpoint(tmp_path / "nowhere.safetensors")


def test_a_file_is_loaded_where_no_models_are_bundled(
    a_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "MAESILCore.models.bundled._MODEL_FOLDERS", (a_checkpoint / "here", a_checkpoint / "there")
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
    assert load_checkpoint(BUNDLED).name == load_checkpoint().name == BUNDLED


def test_a_folder_without_checkpoints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no checkpoint"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_cut_short_is_refused(a_checkpoint: Path, share: float) -> None:
    whole = a_checkpoint.read_bytes()
    a_checkpoint.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match="damaged, truncated or of another type"):
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
        (json.dumps(json.loads(a_card().to_json()) | {"window": (5, 5)}), "damaged or was edited"),
        (json.dumps(json.loads(a_card().to_json()) | {"window": (0, math.nan)}), "damaged or was edited"),
        (json.dumps(json.loads(a_card().to_json()) | {"window": (-math.inf, 0)}), "damaged or was edited"),
        ("[" * 100_000 + "]" * 100_000, "damaged or was edited"),
    ],
)
def test_a_card_that_is_not_understood_is_refused(tmp_path: Path, card: str, words: str) -> None:
    path = tmp_path / "odd.safetensors"
    save_file({"model.x": torch.zeros(2)}, path, metadata={CARD_KEY: card})
    with pytest.raises(CheckpointError, match=words):
        read_card(path)


def test_a_card_comes_back_whole_with_what_a_newer_maesil_wrote(tmp_path: Path) -> None:
    level = FeatureLevel((4, 8, 8), 12)
    card = a_card(
        abilities=Abilities(hides=False, reconstructs=False, levels=(level,)), training={"steps": 3}
    )
    text = json.loads(card.to_json())
    text["abilities"]["dreams"] = True
    newer = Card.from_json(json.dumps(text | {"licence": "CC0"}))
    assert newer == replace(card, unknown={"licence": "CC0"})
    assert json.loads(newer.to_json())["licence"] == "CC0"


def test_a_card_without_abilities_has_those_of_its_configuration(a_checkpoint: Path) -> None:
    card = read_card(a_checkpoint)
    assert card.abilities is None
    assert card.can == load_checkpoint(a_checkpoint).abilities
    assert card.can.reconstructs
    assert card.can.levels == (FeatureLevel((8, 8, 8), 48),) * 2


@pytest.mark.process
def test_lists_of_models_and_methods_need_neither_pytorch_nor_pydantic() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'pydantic', 'safetensors', 'yaml'): sys.modules[name] = None\n"
        "from MAESILCore.methods import METHODS\n"
        "from MAESILCore.models.catalogue import list_models, resolve\n"
        "from MAESILCore.models.card import read_card\n"
        "assert 'maesil' in list(METHODS)\n"
        "assert [one.obstacle for one in list_models()] == ['', '']\n"
        "assert read_card(resolve(None)).can.keeps_visible\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_list_says_which_models_cannot_reconstruct_and_has_a_run_once(
    tmp_path: Path, make_tiny_model: Callable[..., Path]
) -> None:
    features = Abilities(hides=True, reconstructs=False, levels=())
    make_tiny_model(tmp_path / "features.safetensors", abilities=features)
    make_tiny_model(tmp_path / "going" / "checkpoints" / "step-00000002.safetensors")
    make_tiny_model(tmp_path / "done" / "checkpoints" / "step-00000002.safetensors")
    make_tiny_model(tmp_path / "done" / "model.safetensors")
    found = {one.title: one.obstacle for one in list_models([tmp_path, tmp_path])}
    assert list(found) == [BUNDLED, "maesil-small-ct", "done/model", "features", "going"]
    assert [title for title, obstacle in found.items() if obstacle] == ["features"]
    assert found["features"].startswith("tiny gives features, not voxels")


def test_the_model_of_a_run_is_the_final_one_unless_the_run_has_gone_on(tmp_path: Path) -> None:
    def save(name: str, step: int) -> Path:
        save_checkpoint(tmp_path / name, {}, a_card(step=step))
        return tmp_path / name

    newest = save("checkpoints/step-00000020.safetensors", 20)
    assert resolve(tmp_path) == newest
    best = save("checkpoints/best.safetensors", 10)
    assert resolve(tmp_path) == best
    final = save("model.safetensors", 20)
    assert resolve(tmp_path) == final
    save("checkpoints/step-00000030.safetensors", 30)
    assert resolve(tmp_path) == best


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


def renamed(path: Path, rename: Callable[[str], str]) -> Path:
    """A copy of a checkpoint whose tensors have other names."""
    with safe_open(path, "pt") as handle:
        tensors, header = {rename(name): handle.get_tensor(name) for name in handle.keys()}, handle.metadata()  # noqa: SIM118
    del header["sha256"]
    other = path.with_name("renamed.safetensors")
    save_file(tensors, other, metadata=header)
    return other


@pytest.mark.parametrize(
    ("rename", "told"),
    [
        (lambda name: f"module.{name}", "'module.' (of DistributedDataParallel or DataParallel)"),
        (lambda name: name.replace("model.", "model.module."), "'module.'"),
        (lambda name: name.replace("model.", "_orig_mod."), "'_orig_mod.' (of torch.compile)"),
        (lambda name: name.replace("model.", "module._orig_mod."), "'module.' (.*) and '_orig_mod.'"),
        (lambda name: name.replace("encoder.", "encoder._orig_mod."), "'_orig_mod.'"),
        (lambda name: f"model.{name}", "'model.' (of a training script)"),
        (lambda name: name.removeprefix("model."), None),
        (lambda name: name.replace("model.", "average."), None),
    ],
)
def test_prefixes_of_other_programs_are_taken_off_and_told(
    a_checkpoint: Path, rename: Callable[[str], str], told: str | None
) -> None:
    loaded, expected = load_checkpoint(renamed(a_checkpoint, rename)), load_checkpoint(a_checkpoint)
    assert expected.notes == ()
    for name, weight in expected.method.state_dict().items():
        assert torch.equal(loaded.method.state_dict()[name], weight)
    if told is None:
        assert loaded.notes == ()
    else:
        (note,) = loaded.notes
        assert re.search(re.escape(told).replace(r"\.\*", ".*"), note)


def test_a_prefix_that_nobody_knows_is_named(a_checkpoint: Path) -> None:
    other = renamed(a_checkpoint, lambda name: name.replace("model.", "net."))
    with pytest.raises(
        CheckpointError,
        match=r"tensors such as net\.\w+.*to names such as \w+ \(remove a prefix such as 'net\.'",
    ):
        load_checkpoint(other)


def changed(change: Callable[[dict[str, torch.Tensor]], object], folder: Path) -> Path:
    card = a_card()
    tensors = {
        f"model.{name}": tensor for name, tensor in create(card.method, card.config).state_dict().items()
    }
    change(tensors)
    path = folder / "changed.safetensors"
    save_checkpoint(path, tensors, card)
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda tensors: tensors.update({"model.embed.weight": torch.zeros(48, 64)}),
            "the tensor embed.weight has the shape 48 x 64 instead of 48 x 512.",
        ),
        (
            lambda tensors: tensors.update({name: tensor[None] for name, tensor in tensors.items()}),
            r"has the shape 1 x 1 x .* instead of .* \(\d+ more differ\)",
        ),
        (lambda tensors: tensors.pop("model.embed.weight"), "it lacks the tensor embed.weight."),
        (
            lambda tensors: [tensors.pop(name) for name in list(tensors) if ".embed." in name],
            "it lacks 2 tensors, such as embed.",
        ),
        (
            lambda tensors: tensors.update({"model.extra": torch.zeros(1)}),
            "it holds the tensor extra that the method does not have",
        ),
        (
            lambda tensors: tensors.update({"model.embed.weighs": tensors.pop("model.embed.weight")}),
            "it lacks the tensor embed.weight, and holds the tensor embed.weighs that",
        ),
        (lambda tensors: tensors.clear(), "it holds no weights"),
        (
            lambda tensors: tensors.update({"model.embed.bias": torch.zeros(48, dtype=torch.int64)}),
            "the tensor embed.bias holds int64 instead of real numbers",
        ),
        (
            lambda tensors: tensors.update({"model.embed.bias": torch.full((48,), math.nan)}),
            "the tensor embed.bias holds NaN or infinite values",
        ),
    ],
)
def test_the_tensor_that_does_not_fit_is_named(
    change: Callable[[dict[str, torch.Tensor]], object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=f"changed.safetensors does not fit this version .*{words}"):
        load_checkpoint(changed(change, tmp_path))


class Harmful:
    """What leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused_and_never_unpickled(zipped: bool, suffix: str, tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / f"model{suffix}"
    torch.save(Harmful(mark), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=f"model{suffix} is a PyTorch file, .* is never unpickled"):
        load_checkpoint(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"", "damaged, truncated or of another type"),
        (b"some notes on a model", "damaged, truncated or of another type"),
    ],
)
def test_a_file_of_another_kind_is_named_as_such(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "odd.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"odd.safetensors is .*{words}"):
        load_checkpoint(tmp_path / "odd.safetensors")


def test_a_file_cut_short_says_how_much_is_there(a_checkpoint: Path) -> None:
    whole = a_checkpoint.read_bytes()
    a_checkpoint.write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match=rf"\(it has {len(whole) - 100} of {len(whole)} bytes\)"):
        load_checkpoint(a_checkpoint)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps names as Unicode")
def test_a_checkpoint_whose_name_is_not_utf_8_is_read(a_checkpoint: Path) -> None:
    odd = a_checkpoint.with_name(os.fsdecode(b"model\xff.safetensors"))
    a_checkpoint.rename(odd)
    assert load_checkpoint(odd).name == "test"
