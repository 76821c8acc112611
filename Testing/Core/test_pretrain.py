"""Pre-training on small scans: it learns, resumes step for step, stops clean and refuses what it cannot use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from MAESILCore.checkpoint import load_checkpoint, load_tensors
from MAESILCore.errors import Cancelled, ConfigError
from MAESILCore.methods import Maesil
from MAESILCore.pretrain import PretrainConfig, Progress, Run, load_config, pretrain
from MAESILCore.pretrain.config import dump_config
from MAESILCore.pretrain.corpus import Corpus, CropConfig, draw_crop
from MAESILCore.pretrain.optimisation import learning_rate
from MAESILCore.volume import Volume, write_volume
from MAESILCore.window import Window

SIZES = (8, 8, 8)


def a_scan(shape: tuple[int, int, int], seed: int) -> Volume:
    """Soft tissue with a bright stripe, and air in its outer half."""
    generator = np.random.default_rng(seed)
    voxels = np.full(shape, -1000.0)
    half = shape[2] // 2
    voxels[..., :half] = 40 + 60 * np.sin(np.arange(half) / 4)
    return Volume((voxels + generator.normal(0, 10, shape)).astype(np.int16), np.diag([1.0, 1.0, 2.0, 1.0]))


@pytest.fixture
def some_scans(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "scans"
    folder.mkdir()
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
            **fields,
        }
    )


def losses_of(run: Run) -> dict[int, float]:
    events = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    return {event["step"]: event["loss"] for event in events if event["event"] == "step"}


def test_a_run_leaves_a_model_that_loads(some_scans: list[Path], tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", a_recipe(hold_out=("scan2*",), data="made up"))
    seen: list[Progress] = []
    path = pretrain(run, run.config(), some_scans, device="cpu", progress=seen.append)
    model = load_checkpoint(path)
    assert model.card.step == 6
    assert model.card.data == "made up"
    assert [state.step for state in seen if state.step] == [1, 2, 3, 4, 5, 6]
    assert "hidden PSNR" in seen[-1].message
    assert len(list((run.folder / "checkpoints").iterdir())) == 2
    assert load_checkpoint(run.folder).card.step == 6


def test_a_killed_run_resumes_onto_the_very_losses_it_would_have_had(
    some_scans: list[Path], tmp_path: Path
) -> None:
    whole = Run.create(tmp_path / "whole", a_recipe())
    pretrain(whole, whole.config(), some_scans, device="cpu")
    broken = Run.create(tmp_path / "broken", a_recipe())
    steps_done: list[int] = []
    with pytest.raises(Cancelled, match="after step 3"):
        pretrain(
            broken,
            broken.config(),
            some_scans,
            device="cpu",
            progress=lambda state: steps_done.append(state.step),
            cancelled=lambda: steps_done[-1:] == [2],
        )
    torch.manual_seed(987)  # whatever else the process drew must not matter
    again = Run.open(tmp_path / "broken")
    pretrain(again, again.config(), some_scans, device="cpu")
    assert losses_of(again) == losses_of(whole)
    first, second = (load_tensors(run.folder / "model.safetensors", "") for run in (whole, again))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    voxels = np.full((24, 40, 40), 600, np.int16)
    voxels[0, 0] = -1000  # enough air to pass for a CT
    write_volume(Volume(voxels, np.eye(4)), tmp_path / "bone.nii.gz")
    recipe = a_recipe(model={"superpatch_size": (32, 32, 32)}, steps=40, validate_every=100)
    run = Run.create(tmp_path / "run", recipe)
    pretrain(run, recipe, [tmp_path / "bone.nii.gz"], device="cpu")
    losses = losses_of(run)
    assert np.mean([losses[step] for step in range(36, 41)]) < 0.1 * losses[1]


@pytest.mark.parametrize(("precision", "kind"), [("bf16-mixed", torch.bfloat16), ("32-true", None)])
def test_the_loss_is_computed_in_the_precision_that_was_asked_for(
    some_scans: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    kind: torch.dtype | None,
) -> None:
    seen: list[torch.dtype | None] = []
    losses = Maesil.losses

    def spy(self: Maesil, *inputs: torch.Tensor, **more: object) -> dict[str, torch.Tensor]:
        seen.append(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None)
        return losses(self, *inputs, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Maesil, "losses", spy)
    recipe = a_recipe(steps=2, precision=precision)
    run = Run.create(tmp_path / "run", recipe)
    pretrain(run, recipe, some_scans, device="cpu")
    assert set(seen) == {kind}
    assert all(np.isfinite(loss) for loss in losses_of(run).values())


def test_a_model_can_start_from_another(some_scans: list[Path], tmp_path: Path) -> None:
    first = Run.create(tmp_path / "first", a_recipe(steps=1))
    start = load_checkpoint(pretrain(first, first.config(), some_scans, device="cpu"))
    still = a_recipe(steps=1, learning_rate=1e-12, warmup_steps=0)
    second = Run.create(tmp_path / "second", still)
    after = load_checkpoint(pretrain(second, still, some_scans, device="cpu", initial=start))
    for name, weight in start.method.state_dict().items():
        torch.testing.assert_close(after.method.state_dict()[name], weight, atol=1e-3, rtol=1e-3)
    other = Run.create(tmp_path / "third", a_recipe(model={"refine_channels": 8}))
    with pytest.raises(ConfigError, match="other sizes"):
        pretrain(other, other.config(), some_scans, device="cpu", initial=start)


def test_nothing_usable_is_refused_and_leaves_no_run(tmp_path: Path) -> None:
    label = tmp_path / "label.nii.gz"
    write_volume(Volume(np.ones((9, 9, 9), np.uint8), np.eye(4)), label)
    run = Run.create(tmp_path / "run", a_recipe())
    with pytest.raises(ConfigError, match=r"None of the 1 scans .*label map"):
        pretrain(run, run.config(), [label], device="cpu")
    assert not run.folder.exists()


def test_a_bad_scan_is_named_and_the_others_are_used(some_scans: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "scans" / "broken.nii.gz"
    broken.write_bytes(some_scans[0].read_bytes()[:2000])
    corpus = Corpus([*some_scans, broken])
    assert corpus.paths == some_scans
    assert [path.name for path, _ in corpus.left_out] == ["broken.nii.gz"]


def test_samples_depend_on_their_key_alone(some_scans: list[Path]) -> None:
    recipe, corpus = a_recipe(), Corpus(some_scans)
    arguments = (recipe.crop, recipe.mask.strategy, Window(), SIZES, (32, 32, 32))
    first, again, other = (corpus.sample(*arguments, key=(0, step, 1)) for step in (5, 5, 6))
    np.testing.assert_array_equal(first.voxels, again.voxels)
    np.testing.assert_array_equal(first.hidden, again.hidden)
    assert first.start == again.start
    assert first.voxels.shape != other.voxels.shape or not np.array_equal(first.voxels, other.voxels)


def test_a_small_cache_reads_scans_again_and_gives_the_same_voxels(some_scans: list[Path]) -> None:
    roomy, tight = Corpus(some_scans), Corpus(some_scans, cache_bytes=1)
    for path in [*some_scans, *some_scans]:
        np.testing.assert_array_equal(tight.cache.voxels(path), roomy.cache.voxels(path))


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 40, 40), (11, 9, 50), (16, 24, 24), (40, 40, 40)])
def test_crops_are_whole_patches_whatever_the_scan(shape: tuple[int, int, int]) -> None:
    scan = np.random.default_rng(0).normal(0, 300, shape).astype(np.float32)
    crop = CropConfig(size=(16, 24, 24))
    for seed in range(5):
        drawn = draw_crop(scan, crop, Window(), SIZES, np.random.default_rng(seed))
        assert all(size % 8 == 0 and size >= 8 for size in drawn.shape)
        assert all(size <= 24 for size in drawn.shape)
        assert drawn.dtype == np.float32
        assert drawn.min() >= 0.0
        assert drawn.max() <= 1.0


def test_a_scan_a_little_too_thin_is_stretched_to_the_full_crop() -> None:
    scan = np.zeros((12, 24, 24), np.float32)
    drawn = draw_crop(scan, CropConfig(size=(16, 24, 24)), Window(), SIZES, np.random.default_rng(0))
    assert drawn.shape == (16, 24, 24)


def test_crops_of_air_are_turned_down() -> None:
    scan = np.full((16, 16, 400), -1000.0, np.float32)
    scan[..., :60] = 0.0
    crop = CropConfig(size=(16, 16, 16), zoom_probability=0.0)
    with_body = sum(
        draw_crop(scan, crop, Window(), SIZES, np.random.default_rng(seed)).mean() > 0.05
        for seed in range(40)
    )
    blind = crop.model_copy(update={"minimum_body": 0.0})
    without = sum(
        draw_crop(scan, blind, Window(), SIZES, np.random.default_rng(seed)).mean() > 0.05
        for seed in range(40)
    )
    assert with_body > 30 > 15 > without


def test_the_learning_rate_rises_stays_and_falls() -> None:
    recipe = a_recipe(steps=100, warmup_steps=10, cooldown=0.4, learning_rate=1.0, final_learning_rate=0.1)
    rates = [learning_rate(recipe, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:60] == [1.0] * 50
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert rates[80] == pytest.approx(0.55)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_a_recipe_comes_back_from_its_file(tmp_path: Path) -> None:
    recipe = a_recipe(hold_out=("a*",), seed=7)
    (tmp_path / "recipe.yaml").write_text(dump_config(recipe))
    assert dump_config(load_config(tmp_path / "recipe.yaml")) == dump_config(recipe)
    assert load_config(tmp_path / "recipe.yaml", {"steps": 9}).steps == 9


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stepz: 3", "stepz: Extra inputs"),
        ("steps: 0", "steps: .*greater than or equal to 1"),
        ("window: [5, 5]", "lower end must be below"),
        ("crop: {size: [1, 2]}", "crop.size"),
        ("- a\n- b", "must be a list of 'name: value' lines"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_a_wrong_recipe_is_refused_with_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_config(tmp_path / "recipe.yaml")


def test_a_folder_with_something_in_it_is_not_taken_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        Run.create(tmp_path, a_recipe())
    with pytest.raises(ConfigError, match="no run to resume"):
        Run.open(tmp_path)
    Run.create(tmp_path / "run", a_recipe())
    with pytest.raises(ConfigError, match="already holds a run"):
        Run.create(tmp_path / "run", a_recipe())
