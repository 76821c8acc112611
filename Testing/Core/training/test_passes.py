"""How passes are computed: less memory and compiled code change no result; what fits is found by trial."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.errors import ConfigError, OutOfMemoryError
from MAESILCore.methods import create
from MAESILCore.methods.base import Batch, Step
from MAESILCore.models.checkpoint import load_tensors
from MAESILCore.training import Run, load_config, pretrain
from MAESILCore.training.passes import Trial, adapt, doubled

FIELDS = {
    "preset": "tiny",
    "model": {"superpatch_size": [32, 32, 32]},
    "crop": {"size": [16, 16, 16]},
    "steps": 3,
    "batch_size": 4,
    "preview_every": 0,
}


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    voxels = np.random.default_rng(0).normal(0, 300, (24, 40, 40)).astype(np.int16)
    write_volume(Volume(voxels, np.eye(4)), tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def gradients(**fields: object) -> tuple[list[torch.Tensor], list[str]]:
    torch.manual_seed(0)
    method = create("maesil", {"superpatch_size": (32, 32, 32)}, "tiny")
    adapt(method, load_config(None, {**FIELDS, **fields}))
    voxels = torch.rand(2, 1, 32, 32, 32, generator=torch.Generator().manual_seed(1))
    stages = torch.rand(2, 4, 4, 4, generator=torch.Generator().manual_seed(2)) < 0.6
    method.training_losses(Batch(voxels, stages.to(torch.uint8)), Step(0, 1)).total.backward()
    found = [weight.grad for weight in method.parameters() if weight.grad is not None]
    return found, list(method.state_dict())


def test_activation_checkpointing_gives_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, names = gradients()
    calls: list[object] = []
    original = torch.utils.checkpoint.checkpoint

    def counted(*arguments: object, **options: bool) -> object:
        calls.append(arguments[0])
        return original(*arguments, **options)

    monkeypatch.setattr("MAESILCore.nn.transformer.checkpoint", counted)
    again, same_names = gradients(activation_checkpointing=True)
    assert len(calls) == 3  # two blocks of the encoder and one of the decoder
    assert names == same_names
    assert all(torch.equal(one, other) for one, other in zip(kept, again, strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_compiled_blocks_give_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced as for the real compiler, which takes minutes; its kernels are PyTorch's own matter."""
    kept, names = gradients()
    original = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda module, **options: original(module, backend="aot_eager", **options)
    )
    compiled, same_names = gradients(compile=True)
    assert names == same_names
    for one, other in zip(kept, compiled, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_failing_compiler_is_one_sentence(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch._dynamo.exc.TorchDynamoException("no compiler here.\nA long trace")

    monkeypatch.setattr(Trial, "_compute", fail)
    run = Run.create(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"cannot compile the model on this system \(no compiler here\)"):
        pretrain(run, load_config(None, {**FIELDS, "compile": True}), [scan], device="cpu")


@pytest.mark.parametrize(
    ("need", "most", "expected", "tried"),
    [
        (lambda crops: 0.01 * crops, 6, 6, [1, 2, 4, 6]),
        (lambda crops: 0.2 * crops, 64, 4, [1, 2, 4]),  # 8 should not fit, and is not tried
        (lambda crops: 0.1 + 0.01 * crops**2, 64, 8, [1, 2, 4, 8]),
        (lambda crops: 0.1 * crops if crops < 4 else None, 64, 2, [1, 2, 4]),  # memory ran out
        (lambda crops: 0.4 * crops if crops < 2 else 1.2, 64, 1, [1, 2]),
    ],
)
def test_crops_are_doubled_while_they_fit(
    need: Callable[[int], float | None], most: int, expected: int, tried: list[int]
) -> None:
    asked: list[int] = []

    def share(crops: int) -> float | None:
        asked.append(crops)
        return need(crops)

    assert doubled(share, most) == expected
    assert asked == tried


@pytest.mark.parametrize("need", [None, 1.5])
def test_a_memory_too_small_for_one_crop_is_one_sentence(need: float | None) -> None:
    with pytest.raises(OutOfMemoryError, match="too small for a pass of one crop"):
        doubled(lambda _: need, 8)


def test_what_the_trial_found_is_kept_when_a_run_is_resumed(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is plenty here, and short in the second run; the third is the second, resumed with plenty again."""
    config = load_config(None, {**FIELDS, "crops_per_pass": "auto", "cooldown": 0.0})

    def found(run: Run) -> list[int]:
        events = map(json.loads, (run.folder / "events.jsonl").read_text().splitlines())
        return [event["crops_per_pass"] for event in events if "crops_per_pass" in event]

    plenty = Run.create(tmp_path / "plenty")
    pretrain(plenty, config, [scan], device="cpu")
    assert found(plenty) == [4]

    short = Run.create(tmp_path / "short")
    with monkeypatch.context() as patched:
        patched.setattr(Trial, "crops_that_fit", lambda *_: 2)
        pretrain(short, config.model_copy(update={"steps": 2}), [scan], device="cpu")
    again = Run.open(short.folder)
    pretrain(again, config, [scan], device="cpu")
    assert found(again) == [2]
    two = Run.create(tmp_path / "two")
    pretrain(two, config.model_copy(update={"crops_per_pass": 2}), [scan], device="cpu")
    first, second = (load_tensors(run.folder / "model.safetensors", "") for run in (again, two))
    assert all(torch.equal(first[name], second[name]) for name in second)


def test_a_trial_changes_nothing(scan: Path, tmp_path: Path) -> None:
    runs = [Run.create(tmp_path / name) for name in ("auto", "all")]
    for run, crops in zip(runs, ("auto", None), strict=True):
        pretrain(run, load_config(None, {**FIELDS, "crops_per_pass": crops}), [scan], device="cpu")
    first, second = (load_tensors(run.folder / "model.safetensors", "") for run in runs)
    assert all(torch.equal(first[name], second[name]) for name in second)
