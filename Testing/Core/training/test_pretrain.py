"""Pre-training on small scans: it learns, resumes step for step, stops clean and refuses what it cannot use."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.data.intensity import Intensity
from MAESILCore.data.volume import Volume, read_volume, write_volume
from MAESILCore.data.window import Window
from MAESILCore.errors import Cancelled, ConfigError
from MAESILCore.jobfolder import Event, JobFolder, rows
from MAESILCore.methods.base import Losses
from MAESILCore.methods.maesil import Maesil
from MAESILCore.models.checkpoint import load_checkpoint, load_tensors
from MAESILCore.training import PretrainConfig, Run, pretrain
from MAESILCore.training.corpus import Corpus, inspect
from MAESILCore.training.crops import CropConfig, Drawing, draw_crop
from MAESILCore.training.scans import open_scans
from MAESILCore.training.source import SampleKey
from MAESILCore.training.trainer import Trainer

SIZES = (8, 8, 8)


def a_scan(shape: tuple[int, int, int], seed: int) -> Volume:
    """Soft tissue with a bright stripe, and air in its outer half."""
    generator = np.random.default_rng(seed)
    voxels = np.full(shape, -1000.0)
    half = shape[2] // 2
    voxels[..., :half] = 40 + 60 * np.sin(np.arange(half) / 4)
    return Volume((voxels + generator.normal(0, 10, shape)).astype(np.int16), np.diag([1.0, 1.0, 2.0, 1.0]))


@pytest.fixture(scope="module")
def some_scans(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three files that no test changes."""
    folder = tmp_path_factory.mktemp("scans")
    paths = []
    for number, shape in enumerate([(20, 40, 48), (24, 32, 40), (6, 30, 34)]):
        paths.append(folder / f"scan{number}.nii.gz")
        write_volume(a_scan(shape, number), paths[-1])
    return paths


def a_recipe(**fields: object) -> PretrainConfig:
    return PretrainConfig.model_validate(
        {
            "preset": "tiny",
            "model": {"superpatch_size": (32, 32, 32), "residual_fill": True, "refine_channels": 4},
            "crop": {"size": (16, 24, 24)},
            "steps": 6,
            "warmup_steps": 2,
            "checkpoint_every": 2,
            "validate_every": 3,
            "preview_every": 0,
            **fields,
        }
    )


@pytest.fixture(scope="module")
def a_run(some_scans: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of all six steps that no test changes."""
    run = Run.create(tmp_path_factory.mktemp("run"))
    pretrain(run, a_recipe(), some_scans, device="cpu")
    return run


@pytest.fixture
def whole(a_run: Run, tmp_path: Path) -> Run:
    """A copy of `a_run` that a test may change."""
    return Run.open(shutil.copytree(a_run.folder, tmp_path / "whole"))


def a_corpus(scans: list[Path], cache_bytes: int = 4 << 30) -> Corpus:
    recipe = a_recipe()
    assert recipe.mask is not None
    drawing = Drawing(recipe.crop, recipe.mask.strategy, Intensity(), SIZES, (32, 32, 32))
    return Corpus(inspect(Discovery.of(scans).scans), drawing, cache_bytes)


def events_of(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]


def losses_of(run: Run) -> dict[int, float]:
    return {event["step"]: event["loss"] for event in events_of(run) if event["event"] == "step"}


def test_a_run_leaves_a_model_that_loads(some_scans: list[Path], tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    seen: list[Event] = []
    recipe = a_recipe(hold_out=("scan2*",), data="made up")
    path = pretrain(run, recipe, some_scans, device="cpu", progress=seen.append)
    model = load_checkpoint(path)
    assert model.card.step == 6
    assert model.card.data == "made up"
    assert [event.step for event in seen if event.event == "step"] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in seen if "hidden PSNR" in event.message] == [3, 6]
    kept = sorted(path.stem for path in (run.folder / "checkpoints").iterdir())
    assert kept == ["best", "step-00000004", "step-00000006"]
    assert load_checkpoint(run.folder).card.step == 6


def test_a_stopped_run_resumes_onto_the_very_losses_it_would_have_had(
    some_scans: list[Path], a_run: Run, tmp_path: Path
) -> None:
    broken = Run.create(tmp_path / "broken")
    steps_done: list[int] = []
    with pytest.raises(Cancelled, match="after step 3"):
        pretrain(
            broken,
            a_recipe(),
            some_scans,
            device="cpu",
            progress=lambda state: steps_done.append(state.step),
            cancelled=lambda: steps_done[-1:] == [2],
        )
    torch.manual_seed(987)  # whatever else the process drew must not matter
    again = Run.open(tmp_path / "broken")
    pretrain(again, again.config(), some_scans, device="cpu")
    assert losses_of(again) == losses_of(a_run)
    first, second = (load_tensors(run.folder / "model.safetensors", "") for run in (a_run, again))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    voxels = np.full((24, 40, 40), 600, np.int16)
    voxels[0, 0] = -1000  # enough air to pass for a CT
    write_volume(Volume(voxels, np.eye(4)), tmp_path / "bone.nii.gz")
    recipe = a_recipe(model={"superpatch_size": (32, 32, 32)}, steps=40, validate_every=100)
    run = Run.create(tmp_path / "run")
    pretrain(run, recipe, [tmp_path / "bone.nii.gz"], device="cpu")
    losses = losses_of(run)
    assert np.mean([losses[step] for step in range(36, 41)]) < 0.1 * losses[1]


@pytest.mark.parametrize(("precision", "kind"), [("bf16-mixed", torch.bfloat16), ("32-true", torch.float32)])
def test_the_loss_is_computed_in_the_precision_that_was_asked_for(
    some_scans: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    kind: torch.dtype,
) -> None:
    seen: list[torch.dtype] = []
    losses = Maesil.training_losses

    def spy(self: Maesil, *inputs: object) -> Losses:
        seen.append((torch.ones(1, 1) @ torch.ones(1, 1)).dtype)
        return losses(self, *inputs)  # type: ignore[arg-type]

    monkeypatch.setattr(Maesil, "training_losses", spy)
    # Without the convolutional head: on a CPU that emulates bfloat16, oneDNN's gradient of a convolution of 16 channels
    # or more over a few voxels, as the patches of a small crop are, holds what was in the memory before.
    recipe = a_recipe(steps=2, precision=precision, model={"superpatch_size": (32, 32, 32)})
    run = Run.create(tmp_path / "run")
    pretrain(run, recipe, some_scans, device="cpu")
    assert set(seen) == {kind}
    assert all(np.isfinite(loss) for loss in losses_of(run).values())


def test_a_model_can_start_from_another(some_scans: list[Path], tmp_path: Path) -> None:
    first = Run.create(tmp_path / "first")
    start = load_checkpoint(pretrain(first, a_recipe(steps=1), some_scans, device="cpu"))
    still = a_recipe(steps=1, learning_rate=1e-12, warmup_steps=0)
    second = Run.create(tmp_path / "second")
    after = load_checkpoint(pretrain(second, still, some_scans, device="cpu", initial=start))
    for name, weight in start.method.state_dict().items():
        torch.testing.assert_close(after.method.state_dict()[name], weight, atol=1e-3, rtol=1e-3)
    other = Run.create(tmp_path / "third")
    with pytest.raises(ConfigError, match="other sizes"):
        pretrain(other, a_recipe(model={"refine_channels": 8}), some_scans, device="cpu", initial=start)


def test_nothing_usable_is_refused_and_leaves_no_run(tmp_path: Path) -> None:
    label = tmp_path / "label.nii.gz"
    write_volume(Volume(np.ones((9, 9, 9), np.uint8), np.eye(4)), label)
    run = Run.create(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"The only scan cannot be used .*label map"):
        pretrain(run, a_recipe(), [label], device="cpu")
    assert not run.folder.exists()


def test_a_start_from_other_weights_survives_until_the_first_step(
    some_scans: list[Path], tmp_path: Path
) -> None:
    first = Run.create(tmp_path / "first")
    start = load_checkpoint(pretrain(first, a_recipe(steps=1, seed=5), some_scans, device="cpu"))
    whole = Run.create(tmp_path / "whole")
    pretrain(whole, a_recipe(), some_scans, device="cpu", initial=start)
    killed = Run.create(tmp_path / "killed")
    opener = partial(open_scans, Discovery.of(some_scans))
    Trainer(killed, a_recipe(), opener, "cpu", start, lambda _: None, lambda: False)  # and no step after it
    again = Run.open(tmp_path / "killed")
    pretrain(again, again.config(), some_scans, device="cpu")
    assert losses_of(again) == losses_of(whole)


def test_a_resumed_run_wants_no_fewer_steps_than_it_has_and_keeps_its_recipe(
    some_scans: list[Path], whole: Run
) -> None:
    with pytest.raises(ConfigError, match="already taken 6 steps, more than the 5 requested"):
        pretrain(whole, whole.config({"steps": 5}), some_scans, device="cpu")
    assert whole.config().steps == 6


def test_other_scans_are_refused_by_a_resumed_run(some_scans: list[Path], whole: Run) -> None:
    longer = whole.config({"steps": 7})
    with pytest.raises(ConfigError, match=r"missing: scan1.nii.gz \(24 x 32 x 40\)"):
        pretrain(whole, longer, [some_scans[0], some_scans[2]], device="cpu")
    assert whole.config().steps == 6
    (whole.folder / "scans.json").unlink()  # as a run of an earlier MAESIL
    pretrain(whole, longer, some_scans[:1], device="cpu")
    with pytest.raises(ConfigError, match=r"new: scan1.nii.gz"):
        pretrain(whole, whole.config({"steps": 8}), some_scans[:2], device="cpu")


def test_a_run_that_diverges_says_so_and_can_be_started_anew(some_scans: list[Path], tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"not finite.*lower learning_rate \(it is 1e\+30\)"):
        pretrain(run, a_recipe(learning_rate=1e30), some_scans, device="cpu")
    assert "lower learning_rate" in events_of(run)[-1]["message"]
    assert run.job.state() == "failed"
    assert pretrain(Run.create(run.folder), a_recipe(steps=1), some_scans, device="cpu").is_file()


def test_a_run_that_fails_in_its_first_step_keeps_its_recipe_and_says_why(
    some_scans: list[Path], whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    start, weights = whole, load_checkpoint(whole.folder)
    (start.folder / "checkpoints").rename(tmp_path / "elsewhere")
    monkeypatch.setattr(Maesil, "training_losses", fail)
    run = Run.create(tmp_path / "run")
    with pytest.raises(MemoryError):
        pretrain(run, a_recipe(), some_scans, device="cpu", initial=weights)
    assert run.config().model_dump(mode="json") == a_recipe().model_dump(mode="json")
    last = events_of(run)[-1]
    assert (last["event"], last["code"]) == ("failed", "job.no-memory")
    assert "computer ran out of memory" in last["message"]
    assert run.job.state() == "failed"
    assert not (run.folder / "lock").exists()
    with pytest.raises(MemoryError):
        pretrain(start, a_recipe(), some_scans, device="cpu")
    assert (start.folder / "config.yaml").is_file()
    monkeypatch.undo()
    # What failed before its first step can be started anew; the evidence stays, and other weights are no obstacle.
    pretrain(Run.create(run.folder), a_recipe(), some_scans, device="cpu")
    names = [event["event"] for event in events_of(run)]
    assert (names.count("failed"), names[-1]) == (1, "finished")
    with pytest.raises(ConfigError, match="already holds a run"):
        Run.create(run.folder)


def test_an_error_before_the_run_has_begun_leaves_recipe_and_reason(
    some_scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr("MAESILCore.training.scans.Corpus", fail)
    run = Run.create(tmp_path / "run")
    with pytest.raises(RuntimeError):
        pretrain(run, a_recipe(), some_scans, device="cpu")
    assert run.config().model_dump(mode="json") == a_recipe().model_dump(mode="json")
    assert events_of(run)[-1]["message"].startswith("MAESIL failed unexpectedly (RuntimeError: no luck)")


def test_the_file_cancel_stops_a_run_after_a_checkpoint(some_scans: list[Path], tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")

    def progress(event: Event) -> None:
        if event.event == "step" and event.step == 2:
            JobFolder(run.folder).cancel()

    with pytest.raises(Cancelled, match="after step 3"):
        pretrain(run, a_recipe(), some_scans, device="cpu", progress=progress)
    assert (run.folder / "checkpoints" / "step-00000003.safetensors").is_file()
    assert run.job.state() == "cancelled"
    assert run.job.last_event() == Event(
        "cancelled", "Stopped after step 3; resume the run to continue from there.", 3
    )
    again = Run.open(run.folder)  # which the file does not stop again
    pretrain(again, again.config(), some_scans, device="cpu")
    assert run.job.state() == "finished"


def test_a_run_that_is_worked_on_is_refused(some_scans: list[Path], tmp_path: Path) -> None:
    refused: list[str] = []
    run = Run.create(tmp_path / "run")

    def progress(event: Event) -> None:
        if event.event == "step" and event.step == 1:
            assert run.job.state() == "running"
            before = (run.folder / "events.jsonl").read_bytes()
            with pytest.raises(ConfigError, match=r"is already working in") as caught:
                pretrain(Run.open(run.folder), a_recipe(), some_scans, device="cpu")
            assert (run.folder / "events.jsonl").read_bytes() == before
            refused.append(str(caught.value))

    pretrain(run, a_recipe(), some_scans, device="cpu", progress=progress)
    assert str(os.getpid()) in refused[0]


def test_a_run_of_an_older_version_is_resumed(some_scans: list[Path], a_run: Run, tmp_path: Path) -> None:
    old = Run.create(tmp_path / "old")
    with pytest.raises(Cancelled):
        pretrain(
            old,
            a_recipe(),
            some_scans,
            device="cpu",
            cancelled=lambda: bool(rows(old.job.events(), "step")[2:]),
        )
    # What was written then: no description, other words.
    (old.folder / "job.json").unlink()
    events = [event for event in events_of(old) if event["event"] != "progress"]
    events[0]["steps"] = events[0].pop("total")
    events[-1] = {"time": 1.0, "event": "stopped", "step": events[-1]["step"]}
    (old.folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    assert old.job.state() == "cancelled"
    began = old.job.events()[0]
    assert (began.event, began.total) == ("started", 6)
    again = Run.open(old.folder)
    pretrain(again, again.config(), some_scans, device="cpu")
    assert losses_of(again) == losses_of(a_run)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"crop": {"size": (30, 30, 30)}}, "30 x 30 x 30 voxels is not made of patches of 8 x 8 x 8"),
        ({"crop": {}}, "128 x 128 x 128 voxels is larger than the model's superpatch of 32 x 32 x 32"),
        (
            {"model": {"superpatch_size": (32, 32, 16)}, "crop": {"size": (16, 32, 16)}},
            "set crop.swap_probability to 0",
        ),
    ],
)
def test_crops_that_do_not_fit_the_model_are_refused_before_a_scan_is_read(
    some_scans: list[Path], tmp_path: Path, fields: dict[str, object], words: str
) -> None:
    run = Run.create(tmp_path / "run")
    seen: list[Event] = []
    with pytest.raises(ConfigError, match=words):
        pretrain(run, a_recipe(**fields), some_scans, device="cpu", progress=seen.append)
    assert not seen
    assert not run.folder.exists()


def test_crops_that_are_not_exchanged_may_have_any_shape(some_scans: list[Path], tmp_path: Path) -> None:
    flat = {"model": {"superpatch_size": (32, 32, 16)}, "steps": 2}
    run = Run.create(tmp_path / "run")
    recipe = a_recipe(**flat, crop={"size": (16, 32, 16), "swap_probability": 0.0})
    assert pretrain(run, recipe, some_scans, device="cpu").is_file()


def test_reading_held_out_scans_can_be_stopped_and_tells_what_is_left_out(
    some_scans: list[Path], tmp_path: Path
) -> None:
    label = tmp_path / "scan2-label.nii.gz"
    write_volume(Volume(np.ones((9, 9, 9), np.uint8), np.eye(4)), label)
    recipe, scans = a_recipe(hold_out=("scan2*",), steps=1), [*some_scans, label]
    run, seen = Run.create(tmp_path / "run"), list[str]()
    pretrain(run, recipe, scans, device="cpu", progress=lambda state: seen.append(state.message))
    assert any("1 of 4 scans (scan2-label.nii.gz: a label map, not a scan)" in message for message in seen)
    assert any(event["event"] == "left_out" for event in events_of(run))
    other, seen = Run.create(tmp_path / "other"), list[str]()
    with pytest.raises(Cancelled):
        pretrain(
            other,
            recipe,
            scans,
            device="cpu",
            progress=lambda state: seen.append(state.message),
            cancelled=lambda: "reading scan 3 of 4" in seen,
        )
    assert "reading scan 4 of 4" not in seen


def test_held_out_scans_that_cannot_be_used_are_told(some_scans: list[Path], tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"keeps all 3 scans for validation"):
        pretrain(run, a_recipe(hold_out=("*",)), some_scans, device="cpu")
    label = tmp_path / "label.nii.gz"
    write_volume(Volume(np.ones((9, 9, 9), np.uint8), np.eye(4)), label)
    with pytest.raises(ConfigError, match=r"The only scan cannot be used for validation \(label.nii.gz"):
        pretrain(run, a_recipe(hold_out=("label*",)), [*some_scans, label], device="cpu")


def test_a_held_out_scan_of_one_patch_scores_nothing(some_scans: list[Path], tmp_path: Path) -> None:
    small = tmp_path / "small.nii.gz"
    write_volume(a_scan((8, 8, 8), 9), small)
    run, seen = Run.create(tmp_path / "run"), list[str]()
    recipe = a_recipe(hold_out=("small*",), steps=3)
    pretrain(
        run, recipe, [*some_scans, small], device="cpu", progress=lambda state: seen.append(state.message)
    )
    assert any("no validation" in message for message in seen)
    assert "NaN" not in (run.folder / "events.jsonl").read_text()


def test_a_run_that_was_killed_after_its_last_file_is_finished_by_a_resume(
    some_scans: list[Path], whole: Run
) -> None:
    path = whole.folder / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])  # the kill cut the last event off
    assert whole.job.state() == "dead"
    before = (whole.folder / "model.safetensors").stat()
    pretrain(whole, whole.config(), some_scans, device="cpu")
    assert whole.job.state() == "finished"
    assert (whole.folder / "model.safetensors").stat().st_mtime_ns == before.st_mtime_ns
    last = whole.job.last_event()
    assert last is not None
    assert (last.step, last.fields) == (6, {"model": "model.safetensors"})


def test_a_damaged_checkpoint_is_passed_over(some_scans: list[Path], whole: Run) -> None:
    losses = losses_of(whole)
    newest = whole.folder / "checkpoints" / "step-00000006.safetensors"
    newest.write_bytes(newest.read_bytes()[:1000])
    again, seen = Run.open(whole.folder), list[str]()
    pretrain(
        again, again.config(), some_scans, device="cpu", progress=lambda state: seen.append(state.message)
    )
    assert any("Continuing from step-00000004.safetensors" in message for message in seen)
    assert losses_of(again) == losses
    assert load_checkpoint(again.folder).card.step == 6


def test_a_bad_scan_is_named_and_the_others_are_used(some_scans: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(some_scans[0].read_bytes()[:2000])
    found = inspect(Discovery.of([*some_scans, broken]).scans)
    assert [scan.path for scan in found.scans] == some_scans
    assert [name for name, _ in found.left_out] == ["broken.nii.gz"]


def test_a_scan_whose_reader_fails_is_named_and_the_others_are_used(
    some_scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = read_volume

    def read_or_fail(path: Path) -> Volume:
        if path == some_scans[1]:
            raise ValueError("w2 should be positive")
        return reading(path)

    monkeypatch.setattr("MAESILCore.data.scans.read_volume", read_or_fail)
    run, seen = Run.create(tmp_path / "run"), list[str]()
    pretrain(
        run, a_recipe(steps=1), some_scans, device="cpu", progress=lambda state: seen.append(state.message)
    )
    assert any("scan1.nii.gz: Reading failed unexpectedly (ValueError: w2" in message for message in seen)
    assert [event["scan"] for event in events_of(run) if event["event"] == "left_out"] == ["scan1.nii.gz"]


def test_samples_depend_on_their_key_alone(some_scans: list[Path]) -> None:
    corpus = a_corpus(some_scans)
    first, again, other = (corpus.draw(SampleKey(0, step, 1)) for step in (5, 5, 6))
    np.testing.assert_array_equal(first.voxels, again.voxels)
    assert first.stages is not None
    assert again.stages is not None
    np.testing.assert_array_equal(first.stages, again.stages)
    assert set(np.unique(first.stages)) <= {0, 1, 2}
    assert first.start == again.start
    assert first.voxels.shape != other.voxels.shape or not np.array_equal(first.voxels, other.voxels)


def test_a_small_cache_reads_scans_again_and_gives_the_same_voxels(some_scans: list[Path]) -> None:
    roomy, tight = a_corpus(some_scans), a_corpus(some_scans, cache_bytes=1)
    for path in [*some_scans, *some_scans]:
        np.testing.assert_array_equal(tight.cache.scan(path).voxels, roomy.cache.scan(path).voxels)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 40, 40), (11, 9, 50), (16, 24, 24), (40, 40, 40)])
def test_crops_are_whole_patches_whatever_the_scan(shape: tuple[int, int, int]) -> None:
    scan = np.random.default_rng(0).normal(0, 300, shape).astype(np.float32)
    crop = CropConfig(size=(16, 24, 24))
    for seed in range(5):
        drawn, _ = draw_crop(scan, crop, Window(), SIZES, np.random.default_rng(seed))
        assert all(size % 8 == 0 and size >= 8 for size in drawn.shape)
        assert all(size <= 24 for size in drawn.shape)
        assert drawn.dtype == np.float32
        assert drawn.min() >= 0.0
        assert drawn.max() <= 1.0


def test_a_scan_a_little_too_thin_is_stretched_to_the_full_crop() -> None:
    scan = np.zeros((12, 24, 24), np.float32)
    still = CropConfig(size=(16, 24, 24), zoom_probability=0.0, swap_probability=0.0)
    drawn, spacing = draw_crop(scan, still, Window(), SIZES, np.random.default_rng(0), (4.0, 2.0, 1.0))
    assert spacing == (3.0, 2.0, 1.0)
    assert drawn.shape == (16, 24, 24)


def test_crops_of_air_are_turned_down() -> None:
    scan = np.full((16, 16, 400), -1000.0, np.float32)
    scan[..., :60] = 0.0
    crop = CropConfig(size=(16, 16, 16), zoom_probability=0.0)
    with_body = sum(
        draw_crop(scan, crop, Window(), SIZES, np.random.default_rng(seed))[0].mean() > 0.05
        for seed in range(40)
    )
    blind = crop.model_copy(update={"minimum_body": 0.0})
    without = sum(
        draw_crop(scan, blind, Window(), SIZES, np.random.default_rng(seed))[0].mean() > 0.05
        for seed in range(40)
    )
    assert with_body > 30 > 15 > without
