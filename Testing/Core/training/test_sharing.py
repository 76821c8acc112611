"""One optimiser step is the same however its samples are shared among processes and passes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.errors import ConfigError, Preempted
from MAESILCore.methods import create
from MAESILCore.methods.base import Batch, Step
from MAESILCore.methods.masked import draw_hidden
from MAESILCore.nn.draws import draw_words
from MAESILCore.training import Run, load_config, pretrain
from MAESILCore.training.processes import Processes, is_sharded, share_of
from MAESILCore.training.source import SampleKey
from Testing.commands import started

#: Masks of varied ratios, two shapes of crops, and a share of the hidden tokens: what depends on a batch shows.
RECIPE = """
preset: tiny
model: {superpatch_size: [32, 32, 32], decode_fraction: 0.5}
crop: {size: [16, 16, 16], zoom_probability: 0.5}
mask: {mode: nested, vary_probability: 0.5}
hold_out: ["scan1*"]
steps: 20
warmup_steps: 2
batch_size: 8
checkpoint_every: 7
preview_every: 0
validate_every: 20
cooldown: 0
"""


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    for number, depth in enumerate((20, 24, 8)):
        voxels = np.random.default_rng(number).normal(0, 300, (depth, 40, 40)).astype(np.int16)
        write_volume(Volume(voxels, np.eye(4)), folder / f"scan{number}.nii.gz")
    (folder.parent / "recipe.yaml").write_text(RECIPE)
    return folder


def train(scans: Path, folder: Path, processes: int, *more: str) -> None:
    """Run the command in connected processes."""
    given = () if "--resume" in more else ("--recipe", str(scans.parent / "recipe.yaml"))
    command = ["pretrain", str(scans), "--out", str(folder / "run"), "--device", "cpu", *given, *more]
    with started(command, folder, processes) as running:
        outcome = [one.wait(300) for one in running]
    assert [status for status, _ in outcome] == [0] * processes, outcome


def events_of(run: Path) -> list[dict[str, Any]]:
    return list(map(json.loads, (run / "events.jsonl").read_text().splitlines()))


def curve(run: Path) -> dict[int, float]:
    return {event["step"]: event["loss"] for event in events_of(run) if event["event"] == "step"}


@pytest.fixture(scope="module")
def alone(scans: Path) -> Path:
    """A run of one process."""
    run = scans.parent / "alone"
    recipe = load_config(scans.parent / "recipe.yaml")
    pretrain(Run.create(run), recipe, sorted(scans.iterdir()), device="cpu")
    return run


def check_same_curve(run: Path, alone: Path) -> None:
    mine, expected = curve(run), curve(alone)
    assert list(mine) == list(range(1, 21))
    assert list(mine.values()) == pytest.approx(list(expected.values()), rel=1e-5)


@pytest.mark.process
@pytest.mark.parametrize("processes", [3, 4])
def test_processes_follow_the_curve_of_one(processes: int, scans: Path, alone: Path, tmp_path: Path) -> None:
    """Of 8 crops, 3 processes take 3, 3 and 2. The next test begins with 2 processes."""
    train(scans, tmp_path, processes)
    check_same_curve(tmp_path / "run", alone)


@pytest.mark.process
def test_a_run_of_two_processes_goes_on_with_three_and_with_one(
    scans: Path, alone: Path, tmp_path: Path
) -> None:
    train(scans, tmp_path, 2, "--steps", "7")
    train(scans, tmp_path, 3, "--resume", "--steps", "14")
    train(scans, tmp_path, 1, "--resume", "--steps", "20")
    check_same_curve(tmp_path / "run", alone)


@pytest.mark.process
def test_sharded_weights_take_over_from_one_process_and_give_back(
    scans: Path, alone: Path, tmp_path: Path
) -> None:
    """Of 8 crops of two shapes, one of the 3 processes makes fewer passes than the others."""
    ways = {"strategy": "fsdp", "crops_per_pass": 2, "activation_checkpointing": True}

    def train_alone(run: Run, steps: int) -> None:
        config = load_config(scans.parent / "recipe.yaml", {**ways, "steps": steps})
        pretrain(run, config, sorted(scans.iterdir()), device="cpu")

    train_alone(Run.create(tmp_path / "run"), 7)
    train(scans, tmp_path, 3, "--resume", "--steps", "14")
    train_alone(Run.open(tmp_path / "run"), 20)
    check_same_curve(tmp_path / "run", alone)
    started = [event for event in events_of(tmp_path / "run") if event["event"] == "started"]
    assert [event["sharded"] for event in started] == [False, True, False]
    mine, expected = (
        load_file(run / "checkpoints/step-00000020.safetensors") for run in (tmp_path / "run", alone)
    )
    assert mine.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(mine[name], tensor, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("preset", "sharded"), [("base", False), ("paper", True)])
def test_large_models_are_sharded_unless_the_recipe_says_otherwise(preset: str, sharded: bool) -> None:
    config = load_config(None, {"preset": preset})
    with torch.device("meta"):
        method = create(config.method, config.model, config.preset)
    assert is_sharded(config, method) is sharded
    assert is_sharded(config.model_copy(update={"strategy": "fsdp"}), method)
    assert not is_sharded(config.model_copy(update={"strategy": "ddp"}), method)


def test_sharding_is_refused_where_pytorch_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("torch.distributed.fsdp.fully_shard")
    config = load_config(None, {"preset": "paper"})
    with torch.device("meta"):
        method = create(config.method, config.model, config.preset)
    assert not is_sharded(config, method)
    with pytest.raises(ConfigError, match=r"needs PyTorch 2\.6 or newer"):
        is_sharded(config.model_copy(update={"strategy": "fsdp"}), method)


def test_processes_disconnect_unless_another_may_be_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends connected is aborted at times, and a run that has finished then counts as failed."""
    ended = list[str]()
    monkeypatch.setattr(dist, "destroy_process_group", lambda: ended.append("disconnected"))
    processes = Processes(SimpleNamespace(world_size=2), "32-true")  # type: ignore[arg-type]
    with processes.connected():
        pass
    with pytest.raises(Preempted), processes.connected():
        raise Preempted("Stopped.")
    assert ended == ["disconnected"] * 2
    with pytest.raises(RuntimeError), processes.connected():
        raise RuntimeError("Connection closed by peer.")
    with Processes(SimpleNamespace(world_size=1), "32-true").connected():  # type: ignore[arg-type]
        pass
    assert ended == ["disconnected"] * 2


def test_shares_are_whole_and_as_even_as_can_be() -> None:
    assert [list(share_of(8, rank, 3)) for rank in range(3)] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert [list(share_of(2, rank, 2)) for rank in range(2)] == [[0], [1]]


def test_passes_of_any_size_take_the_same_steps(scans: Path, alone: Path, tmp_path: Path) -> None:
    config = load_config(scans.parent / "recipe.yaml", {"crops_per_pass": 3})
    pretrain(Run.create(tmp_path / "run"), config, sorted(scans.iterdir()), device="cpu")
    check_same_curve(tmp_path / "run", alone)


def test_more_processes_than_crops_are_refused_before_they_connect(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    recipe = load_config(scans.parent / "recipe.yaml", {"batch_size": 2})
    with pytest.raises(ConfigError, match="3 processes cannot share a batch of 2 crops: start at most 2"):
        pretrain(Run.create(tmp_path / "run"), recipe, [scans], device="cpu")
    assert not (tmp_path / "run").exists()


def test_the_loss_is_the_mean_over_samples_however_they_are_batched() -> None:
    torch.manual_seed(0)
    method = create("maesil", {"superpatch_size": (32, 32, 32), "decode_fraction": 0.5}, "tiny")
    voxels = torch.rand(4, 1, 32, 32, 32)
    stages = torch.stack([torch.rand(4, 4, 4) < share for share in (0.2, 0.5, 0.5, 0.9)]).to(torch.uint8)
    batch = Batch(voxels, stages, seeds=torch.arange(4) + 2**40)

    def loss(places: list[int]) -> torch.Tensor:
        part = Batch(voxels[places], stages[places], seeds=batch.seeds[places])
        return method.training_losses(part, Step(0, 1)).total

    whole = loss([0, 1, 2, 3])
    torch.testing.assert_close((loss([3, 0, 1]) * 3 + loss([2])) / 4, whole)


def test_a_sample_draws_the_same_patches_in_any_batch() -> None:
    hidden = torch.stack([torch.rand(4, 4, 4) < share for share in (0.3, 0.6, 0.8)])
    seeds = torch.tensor([SampleKey(1, 2, index).number for index in range(3)])
    together = draw_hidden(hidden, 0.5, seeds)
    assert together.valid is not None
    for place in range(3):
        single = draw_hidden(hidden[place : place + 1], 0.5, seeds[place : place + 1])
        chosen = together.visible[place][together.valid[place]]
        assert torch.equal(chosen, single.visible[0])
        assert hidden[place].flatten()[chosen].all()
        assert len(chosen.unique()) == round(int(hidden[place].sum()) * 0.5)


def test_words_are_different_and_evenly_spread() -> None:
    words = draw_words(torch.tensor([0, 1, 2**62, 2**62 + 1]), 4096)
    assert words.unique().numel() > 4 * 4096 - 20  # equal ones only by chance
    assert all(row.unique().numel() == 4096 for row in words)
    assert 0 <= int(words.min()) <= int(words.max()) < 2**32
    assert words.double().mean(dim=1).div(2**32).sub(0.5).abs().max() < 0.02
    order = words.argsort(dim=1).double()
    assert torch.corrcoef(order).fill_diagonal_(0.0).abs().max() < 0.06
