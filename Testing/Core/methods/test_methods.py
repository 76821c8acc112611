"""What every method must do, those of the product and two toys alike: training, checkpoints, scores, lists, jobs.

The tests over `ALL` expect of a method what its abilities declare, so a new method is tested once it is registered.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.errors import Cancelled, ConfigError
from MAESILCore.inference import reconstruct
from MAESILCore.jobs import JobProcess, prepare_reconstruction
from MAESILCore.methods import BUILT_IN, METHODS, create
from MAESILCore.methods.abilities import Abilities
from MAESILCore.methods.base import Batch, Step
from MAESILCore.methods.presets import preset_names
from MAESILCore.methods.wording import SUMMARIES
from MAESILCore.models.card import read_card
from MAESILCore.models.catalogue import list_models
from MAESILCore.models.checkpoint import load_checkpoint, load_tensors
from MAESILCore.nn.tokens import expand_patches
from MAESILCore.scoring.evaluate import evaluate
from MAESILCore.scoring.reconstruction import score_reconstruction
from MAESILCore.training import PretrainConfig, Run, load_config, pretrain
from MAESILCore.training.source import Opening, Sample, SampleKey, TrainingData

TOYS = ("toy-codebook", "toy-teacher")
#: The toys are registered while a test runs, so they are named here.
ALL = tuple(sorted({*METHODS, *TOYS}))
SMALL: dict[str, Any] = {
    "preset": "tiny",
    "model": {"superpatch_size": [16, 16, 16], "patch_size": [4, 4, 4]},
    "crop": {"size": [16, 16, 16], "swap_probability": 0.0},
    "steps": 4,
    "batch_size": 3,
    "checkpoint_every": 2,
    "preview_every": 0,
    "validate_every": 2,
}

pytestmark = pytest.mark.usefixtures("toy_methods")


class Numbers:
    """A `SampleSource` in memory: every sample is random numbers from its key, of one of two sizes."""

    def __init__(self, config: PretrainConfig) -> None:
        self.config = config
        self.drawn: list[SampleKey] = []

    def __len__(self) -> int:
        return 1

    def describe(self) -> str:
        return '[["numbers", [16, 16, 16]]]\n'

    def draw(self, key: SampleKey) -> Sample:
        self.drawn.append(key)
        generator = np.random.default_rng((key.seed, key.step, key.index))
        size = (8, 16, 16) if key.index % 2 else (16, 16, 8)
        stages = None
        if self.config.mask is not None:
            lattice = (size[0] // 4, size[1] // 4, size[2] // 4)
            stages = np.array(self.config.mask.strategy().sample(lattice, key.step + key.index).stages)
        return Sample(generator.random(size, np.float32), stages, (0, 0, 0), (2.0, 1.0, 1.0))


def open_numbers(config: PretrainConfig, _: object, opening: Opening) -> TrainingData:
    source = Numbers(config)
    return TrainingData(source, [source.draw(SampleKey(9, 9, place)) for place in range(2)])


def a_recipe(name: str, **fields: object) -> PretrainConfig:
    return load_config(None, {"method": name, **SMALL, **fields})


def trained(name: str, folder: Path, **fields: object) -> Run:
    run = Run.create(folder)
    pretrain(run, a_recipe(name, **fields), open_numbers, device="cpu")
    return run


def abilities_of(name: str) -> Abilities:
    return create(name, SMALL["model"], "tiny").abilities


def events_of(run: Run, kind: str) -> list[dict[str, Any]]:
    lines = (run.folder / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def test_all_methods_are_listed() -> None:
    assert set(ALL) <= set(METHODS)
    with pytest.raises(
        ConfigError, match=r"no method 'mesil'; choose one of .*maesil.*toy-codebook, toy-teacher"
    ):
        create("mesil")


@pytest.mark.parametrize("name", ALL)
def test_a_method_declares_what_it_gives(name: str) -> None:
    method = create(name, SMALL["model"], "tiny").eval()
    for weight in method.parameters():  # away from zero-initialised layers, which would hide a leak
        torch.nn.init.normal_(weight, std=0.05)
    levels = method.abilities.levels
    voxels = torch.rand(2, 1, 8, 16, 12, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = method.features(voxels, range(len(levels)))
        (deepest,) = method.features(voxels)
        for level, features in zip(levels, found, strict=True):
            lattice = tuple(size // part for size, part in zip(voxels.shape[2:], level.stride, strict=True))
            assert features.map.shape == (2, level.width, *lattice)
            assert features.stride == level.stride
        assert torch.equal(deepest.map, found[-1].map)
        if method.abilities.reconstructs:
            hidden = torch.zeros(2, 2, 4, 3, dtype=torch.bool)
            assert method.reconstruct(voxels, hidden).shape == voxels.shape
            if method.abilities.hides:
                # Nothing that was hidden reaches the prediction.
                hidden[:, 1, 1:3, ::2] = True
                inside = expand_patches(hidden[:, None], method.config.patch_size)
                blank, noise = (
                    torch.where(inside, other, voxels)
                    for other in (torch.zeros(()), torch.rand(voxels.shape))
                )
                one, other = (method.reconstruct(scan, hidden) for scan in (blank, noise))
                torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", ALL)
def test_a_sample_is_seen_alike_whatever_else_is_in_its_batch(name: str) -> None:
    method = create(name, SMALL["model"], "tiny").eval()
    voxels = torch.rand(3, 1, 8, 16, 12, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        (together,), (alone,) = method.features(voxels), method.features(voxels[1:2])
    torch.testing.assert_close(together.map[1:2], alone.map, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_the_presets_of_a_method_are_named(name: str) -> None:
    assert preset_names(name) == tuple(METHODS[name].presets)


@pytest.mark.parametrize("name", METHODS)
def test_every_preset_describes_a_model(name: str) -> None:
    for fields in METHODS[name].presets.values():
        assert set(fields) <= METHODS[name].config_type.model_validate(fields).model_fields_set
    assert METHODS[name].default_recipe.is_file()
    assert load_config(None, {"method": name}).method == name


@pytest.mark.parametrize("name", ALL)
def test_a_stopped_run_resumes_onto_the_very_weights_it_would_have_had(name: str, tmp_path: Path) -> None:
    whole = trained(name, tmp_path / "whole")
    broken = Run.create(tmp_path / "broken")
    done: list[int] = []
    with pytest.raises(Cancelled, match="after step 2"):  # during its validation
        pretrain(
            broken,
            a_recipe(name),
            open_numbers,
            device="cpu",
            progress=lambda event: done.append(event.step),
            cancelled=lambda: done[-1:] == [2],
        )
    torch.manual_seed(987)  # whatever else the process drew must not matter
    again = Run.open(broken.folder)
    pretrain(again, again.config(), open_numbers, device="cpu")
    for file in ("model.safetensors", "checkpoints/step-00000004.safetensors"):
        first, second = (load_tensors(run.folder / file, "") for run in (whole, again))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)
    for run in (whole, again):
        events = {event["step"]: (event["loss"], event.get("parts")) for event in events_of(run, "step")}
        assert list(events) == [1, 2, 3, 4]
    assert [event["step"] for event in events_of(whole, "validation")] == [2, 4]


@pytest.mark.parametrize("name", ALL)
def test_a_checkpoint_has_card_and_weights_of_its_method(name: str, tmp_path: Path) -> None:
    run = trained(name, tmp_path / "run")
    card, loaded = (
        read_card(run.folder / "model.safetensors"),
        load_checkpoint(run.folder / "model.safetensors"),
    )
    assert (card.method, card.step) == (name, 4)
    assert card.abilities == card.can == loaded.abilities
    assert bool(card.mask) == loaded.abilities.hides
    kinds = {key.split(".")[0] for key in load_tensors(run.folder / "model.safetensors", "")}
    assert kinds == ({"model"} if loaded.abilities.keeps_teacher else {"average"})


def test_buffers_are_averaged_counted_and_kept_beyond_half_precision(tmp_path: Path) -> None:
    run = trained("toy-codebook", tmp_path / "run")
    loaded = load_checkpoint(run.folder / "model.safetensors").method.state_dict()
    last = load_tensors(run.folder / "checkpoints" / "step-00000004.safetensors", "model.")
    assert loaded["steps"] == last["steps"] == 2**40 + 4
    assert loaded["norm.num_batches_tracked"] == 4
    assert (loaded["counts"] > 100_000).any()
    assert torch.isfinite(loaded["counts"]).all()
    torch.manual_seed(0)
    fresh = create("toy-codebook", SMALL["model"]).state_dict()["codes"]
    assert not torch.allclose(loaded["codes"], fresh, atol=1e-3)
    assert not torch.equal(loaded["codes"], last["codes"].half().float())


def test_a_batch_that_must_stay_whole_is_cropped_alike_and_another_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[Batch]] = {name: [] for name in ALL}

    def spied(name: str) -> Callable[..., Any]:
        original = METHODS[name].training_losses

        def spy(self: Any, batch: Batch, step: Step) -> Any:  # noqa: ANN401 - any method
            seen[name].append(batch)
            return original(self, batch, step)

        return spy

    for name in ALL:
        monkeypatch.setattr(METHODS[name], "training_losses", spied(name))
        trained(name, tmp_path / name, steps=1)
    for name, batches in seen.items():
        whole = abilities_of(name).needs_whole_batch
        shapes = [(3, 1, 8, 16, 8)] if whole else [(2, 1, 16, 16, 8), (1, 1, 8, 16, 16)]
        assert [tuple(batch.superpatches.shape) for batch in batches] == shapes
        assert batches[0].spacing is not None
        assert batches[0].spacing[0].tolist() == [2.0, 1.0, 1.0]
        assert (batches[0].stages is not None) == abilities_of(name).hides
    (batch, *_) = seen["toy-teacher"]
    assert batch.stages is not None
    assert set(batch.stages.unique().tolist()) == {0, 1, 2}


@pytest.mark.parametrize("name", ALL)
def test_scores_of_what_a_method_can_do_are_in_the_events(name: str, tmp_path: Path) -> None:
    abilities = abilities_of(name)
    scores = {"feature_spread", "feature_rank"}
    if abilities.reconstructs:
        scores = {"psnr_hidden", "psnr_hidden_fill"} if abilities.hides else {"psnr_full"}
    validation = events_of(trained(name, tmp_path / "run"), "validation")[-1]
    assert scores <= set(validation)
    assert all(np.isfinite(validation[score]) for score in scores)
    assert validation["message"]


@pytest.mark.parametrize("name", ["maesil", "toy-codebook", "toy-teacher", "jepa-vcr"])
def test_only_methods_with_voxels_have_a_best_checkpoint(name: str, tmp_path: Path) -> None:
    checkpoints = trained(name, tmp_path / "run").checkpoints
    assert (
        checkpoints.best.exists() == np.isfinite(checkpoints.best_score()) == abilities_of(name).reconstructs
    )


def test_parts_of_the_loss_are_in_the_events(tmp_path: Path) -> None:
    parts = {"toy-codebook": {"error", "commitment"}, "toy-teacher": {"error", "first_stage"}}
    for name, expected in parts.items():
        step = events_of(trained(name, tmp_path / name, steps=1), "step")[-1]
        assert set(step["parts"]) == expected


def test_masks_that_do_not_fit_a_method_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="toy-codebook sees every voxel: set `mask: null`"):
        trained("toy-codebook", tmp_path / "a", mask={"mode": "random"})
    with pytest.raises(ConfigError, match="toy-teacher learns by filling in hidden patches: give `mask`"):
        trained("toy-teacher", tmp_path / "b", mask=None)


@pytest.fixture
def a_scan() -> Volume:
    k, j, i = np.ogrid[:20, :24, :18]
    return Volume((300 * np.sin(k / 3) * np.cos(j / 4) + 5 * i).astype(np.int16), np.eye(4), "a scan")


def test_a_model_that_sees_everything_has_no_hidden_scores_and_no_controls(
    a_scan: Volume, tmp_path: Path
) -> None:
    model = load_checkpoint(trained("toy-codebook", tmp_path / "run").folder)
    for more in ({}, {"coverage": 4}):
        result = reconstruct(a_scan, model, device="cpu", **more)  # type: ignore[arg-type]
        assert not result.is_coverage
        assert not result.mask.stages.any()
        assert any("Nothing was hidden" in note for note in result.notes)
    assert score_reconstruction(result, ["mean"])["controls"] == {}
    write_volume(a_scan, tmp_path / "scan.nii.gz")
    results = evaluate([tmp_path / "scan.nii.gz"], model, coverage=2, include_not_hu=True, device="cpu")
    (case,) = results["cases"]
    assert case["controls"] == {}
    assert "coverage" not in case
    assert case["model"]["psnr_full"] == case["model"]["psnr_unmasked"] > 0
    assert not any(case["model"][score] for score in case["model"] if "hidden" in score)
    json.dumps(results, allow_nan=False)


def test_a_model_without_voxels_is_refused_with_a_sentence(a_scan: Volume, tmp_path: Path) -> None:
    model = load_checkpoint(trained("toy-teacher", tmp_path / "run").folder)
    for work in (
        lambda: reconstruct(a_scan, model, device="cpu"),
        lambda: evaluate([tmp_path], model, device="cpu"),
    ):
        with pytest.raises(
            ConfigError, match="toy-teacher gives features, not voxels, and cannot reconstruct"
        ):
            work()


def test_each_method_has_a_line_for_people() -> None:
    assert set(SUMMARIES) == set(BUILT_IN)
    assert all(line.endswith(".") and len(line) < 90 for line in SUMMARIES.values())


def test_lists_offer_what_reconstructs(tmp_path: Path) -> None:
    for name in ALL:
        trained(name, tmp_path / "runs" / name, steps=1)
    listed = {one.title: one.obstacle for one in list_models([tmp_path / "runs"])}
    assert {f"{name}/model" for name in ALL} <= set(listed)
    hindered = {f"{name}/model" for name in ALL if not abilities_of(name).reconstructs}
    assert {title for title, obstacle in listed.items() if obstacle} == hindered
    assert "toy-teacher/model" in hindered


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "state", "words"),
    [
        ("toy-codebook", "finished", "Reconstructed with toy-codebook"),
        ("toy-teacher", "failed", "toy-teacher gives features, not voxels, and cannot reconstruct"),
    ],
)
def test_the_worker_of_a_job_finds_a_method_of_another_package(
    name: str, state: str, words: str, a_scan: Volume, tmp_path: Path
) -> None:
    run = trained(name, tmp_path / "run", steps=1)
    request = prepare_reconstruction(
        tmp_path / "jobs", a_scan, model=str(run.folder), scores=True, controls=("mean",), device="cpu"
    )
    with JobProcess(request.folder) as job:
        job.start()
        assert job.wait(120) == state, job.message + job.log
        assert words in job.message
        if state == "finished":
            metrics = json.loads((request.folder / "metrics.json").read_text())
            assert metrics["controls"] == {}
            assert metrics["model"]["psnr_hidden"] is None
            assert metrics["model"]["psnr_full"] is not None


def test_batch_statistics_are_not_computed_from_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="needs the whole batch at once: leave out crops_per_pass"):
        trained("toy-codebook", tmp_path / "run", crops_per_pass=2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="needs the whole batch, so one process must train it"):
        trained("toy-codebook", tmp_path / "run")
