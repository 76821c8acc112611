"""Trainings of scans without HU and of several windows: recipe, samples, card, reconstruction and scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MAESILCore.data.formats.found import FoundScan
from MAESILCore.data.intensity import Intensity
from MAESILCore.data.volume import Volume, read_volume, write_volume
from MAESILCore.data.window import LUNG_TO_BONE, SOFT_TISSUE, Window
from MAESILCore.errors import CheckpointError, ConfigError
from MAESILCore.inference import Reconstruction, reconstruct
from MAESILCore.lattice import MaskStrategy
from MAESILCore.models.card import Card, read_card
from MAESILCore.models.checkpoint import LoadedModel, load_checkpoint
from MAESILCore.models.header import read_metadata
from MAESILCore.scoring.evaluate import evaluate
from MAESILCore.scoring.evaluate.table import format_table
from MAESILCore.store.sources import find_scans
from MAESILCore.training import Run, load_config, pretrain, previews
from MAESILCore.training.corpus import Corpus, Inspected
from MAESILCore.training.crops import CropConfig, Drawing
from MAESILCore.training.scans import open_scans
from MAESILCore.training.source import Opening, SampleKey

SIZES: dict[str, Any] = {"superpatch_size": [16, 16, 16], "patch_size": [4, 4, 4]}
RECIPE: dict[str, Any] = {
    "preset": "tiny",
    "model": SIZES,
    "crop": {"size": [16, 16, 16]},
    "steps": 2,
    "validate_every": 2,
    "hold_out": ["b*"],
}


def a_head(scale: float, seed: int) -> Volume:
    """A head without HU, in units of its own."""
    k, j, i = np.ogrid[:24, :24, :24]
    inside = (k - 12) ** 2 + (j - 12) ** 2 + (i - 12) ** 2 < 100
    noise = np.random.default_rng(seed).normal(0, 0.1, (24, 24, 24))
    voxels = np.where(inside, scale * (1.0 + 0.3 * np.sin(k / 3) + noise), 0.0)
    return Volume(voxels.astype(np.float32), np.diag([1.0, 1.0, 2.0, 1.0]), "a head")


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    for name, scale in (("a1", 0.01), ("a2", 900.0), ("b1", 3.0)):
        write_volume(a_head(scale, len(name)), folder / f"{name}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def a_model_of_heads(heads: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    run = Run.create(tmp_path_factory.mktemp("run") / "run")
    config = load_config(None, {**RECIPE, "intensity": "percentiles"})
    pretrain(run, config, sorted(heads.iterdir()), device="cpu")
    assert len(list((run.folder / "previews").glob("step-*.nii.gz"))) == 1
    return load_checkpoint(run.folder)


def test_a_preview_takes_the_statistics_of_the_whole_scan(
    heads: Path, a_model_of_heads: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(None, {**RECIPE, "intensity": "percentiles"})
    opening, sizes = Opening(None, lambda _: None, 0, lambda one: one), a_model_of_heads.method.config
    data = open_scans(find_scans([heads]), config, sizes, opening)
    assert data.preview is not None
    shown, whole = data.preview(), read_volume(heads / "b1.nii.gz").voxels
    window = Intensity("percentiles").window_of(whole)
    assert shown.window == window != Intensity("percentiles").window_of(shown.part.voxels)
    windows, notes = [], []

    def seen(*arguments: Any, **options: Any) -> Reconstruction:  # noqa: ANN401 - those of `reconstruct`
        result = reconstruct(*arguments, **options)
        windows.append(result.window)
        notes.extend(result.notes)
        return result

    monkeypatch.setattr(previews, "reconstruct", seen)
    made = previews.Previews(tmp_path, shown, MaskStrategy(), 1, pytest.fail)
    assert made.make(a_model_of_heads.method, a_model_of_heads.card, torch.device("cpu"))
    assert (windows, notes) == ([window], [])


def test_scans_of_any_scale_are_trained_on(heads: Path, a_model_of_heads: LoadedModel) -> None:
    assert a_model_of_heads.intensity == Intensity("percentiles")
    assert a_model_of_heads.windows == ()
    with pytest.raises(ConfigError, match=r"do not look like HU.*set `intensity: percentiles`"):
        pretrain(Run.create(heads / "run"), load_config(None, {**RECIPE}), sorted(heads.glob("*.gz")))


def test_a_prediction_is_in_the_units_of_the_scan(a_model_of_heads: LoadedModel) -> None:
    predictions = []
    for scale in (0.01, 900.0):
        scan = a_head(scale, 5)
        result = reconstruct(scan, a_model_of_heads, device="cpu")
        assert result.window == Intensity("percentiles").window_of(scan.voxels)
        assert not any("HU" in note for note in result.notes)
        predictions.append(result.mosaic.voxels / scale)
    np.testing.assert_allclose(*predictions, atol=1e-3)


def test_its_scores_have_no_soft_tissue(heads: Path, a_model_of_heads: LoadedModel) -> None:
    results = evaluate([heads / "b1.nii.gz"], a_model_of_heads, coverage=2, device="cpu", controls=["mean"])
    (case,) = results["cases"]
    assert case["model"]["psnr_hidden"] > 0
    assert not any("soft_tissue" in case[part] for part in ("model", "coverage"))
    text = format_table(results)
    assert "Window of each scan: the 0.5th to 99.5th percentile of each scan:" in text
    assert "MAE hidden body (stored units)" in text
    assert "(HU)" not in text
    json.dumps(results, allow_nan=False)


def test_earlier_versions_refuse_a_model_without_hu(a_model_of_heads: LoadedModel, tmp_path: Path) -> None:
    content = json.loads(a_model_of_heads.card.to_json())
    assert content["format"] == 2
    assert content["intensity"] == {"rule": "percentiles", "percentiles": [0.5, 99.5]}
    with pytest.raises(CheckpointError, match="format 4, but this MAESIL reads formats 1 to 3"):
        Card.from_json(json.dumps(content | {"format": 4}))
    with pytest.raises(ValueError, match="There is no intensity"):
        Card.from_json(json.dumps(content | {"intensity": {"rule": "other"}}))


def a_ct() -> Volume:
    k, j, i = np.ogrid[:16, :24, :24]
    voxels = -300 + 500 * np.sin(k / 4) * np.cos(j / 5) + 10 * i
    return Volume(voxels.astype(np.int16), np.eye(4), "a ct")


def a_source(path: Path, share: float) -> Corpus:
    crop = CropConfig(
        size=(16, 16, 16), minimum_body=0.0, zoom_probability=0.0, swap_probability=0.0, flip=False
    )
    drawing = Drawing(crop, None, Intensity(), (4, 4, 4), (16, 16, 16), (SOFT_TISSUE, Window(0, 100)), share)
    scan = FoundScan(path, path.name, path.name)
    return Corpus(Inspected((scan,), (a_ct().shape,)), drawing)


def test_samples_have_one_of_several_windows(tmp_path: Path) -> None:
    write_volume(a_ct(), tmp_path / "ct.nii.gz")
    varied, plain = (a_source(tmp_path / "ct.nii.gz", share) for share in (0.6, 0.0))
    seen = dict.fromkeys(("plain", "soft", "narrow"), 0)
    for number in range(200):
        sample = varied.draw(SampleKey(0, number, 0))
        place = tuple(slice(start, start + 16) for start in sample.corner)
        hu = a_ct().voxels[place]
        for name, window in (("plain", LUNG_TO_BONE), ("soft", SOFT_TISSUE), ("narrow", Window(0, 100))):
            seen[name] += bool(np.array_equal(sample.voxels, window.apply(hu)))
    assert sum(seen.values()) == 200
    assert 60 <= seen["plain"] <= 100
    assert min(seen["soft"], seen["narrow"]) > 40
    # Without a share, nothing is drawn, so that earlier runs resume with the same samples.
    assert plain.draw(SampleKey(0, 1, 0)).voxels.max() <= 1.0


def test_a_model_of_two_windows_is_asked_and_scored_in_both(tmp_path: Path) -> None:
    write_volume(a_ct(), tmp_path / "ct.nii.gz")
    run = Run.create(tmp_path / "run")
    config = load_config(None, {**RECIPE, "hold_out": [], "more_windows": [[-175, 250]], "preview_every": 0})
    pretrain(run, config, [tmp_path / "ct.nii.gz"], device="cpu")
    model, card = load_checkpoint(run.folder), read_card(run.folder / "model.safetensors")
    assert model.windows == card.windows == (LUNG_TO_BONE, SOFT_TISSUE)
    assert json.loads(read_metadata(run.folder / "model.safetensors")["maesil"])["format"] == 1
    strategy = MaskStrategy("random", ratio=0.5)
    soft = reconstruct(a_ct(), model, strategy=strategy, window=SOFT_TISSUE, device="cpu")
    assert soft.window == SOFT_TISSUE
    hidden = soft.grid.expand(soft.mask.hidden)
    assert soft.reconstruction.voxels[hidden].min() >= SOFT_TISSUE.low
    assert soft.reconstruction.voxels[hidden].max() <= SOFT_TISSUE.high
    assert not any("not trained" in note for note in soft.notes)
    other = reconstruct(a_ct(), model, strategy=strategy, window=Window(0, 80), device="cpu")
    assert any("not trained in the window [0, 80] HU" in note for note in other.notes)
    results = evaluate(
        [tmp_path / "ct.nii.gz"],
        model,
        strategy=strategy,
        device="cpu",
        include_not_hu=True,
        controls=["mean"],
    )
    error = (SOFT_TISSUE.apply(soft.mosaic.voxels) - SOFT_TISSUE.apply(a_ct().voxels))[hidden]
    (case,) = results["cases"]
    expected = -10 * np.log10(np.mean(error.astype(np.float64) ** 2))
    assert case["model"]["soft_tissue"]["psnr_hidden_pooled"] == pytest.approx(expected, abs=1e-4)
    assert "Window [-175, 250] HU, in which the model was asked:" in format_table(results)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"intensity": "z-score", "more_windows": [[0, 100]]}, "more_windows are in HU and need"),
        ({"more_windows": [[100, 0]]}, "the window's lower end must be below its upper end"),
        ({"percentiles": [99, 1]}, "percentiles must be two rising numbers"),
        ({"intensity": "minmax"}, "intensity: must be 'window', 'percentiles' or 'z-score'"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_config(None, {**RECIPE, **fields})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sl-mae-mri", "jepa-vcr-mri"])
def test_the_recipes_for_mri_train_on_real_scans(scans: Path, tmp_path: Path, name: str) -> None:
    changes = {"preset": "tiny", "steps": 2, "crop": {"size": [32, 32, 32], "swap_probability": 0.0}}
    config = load_config(name, changes | {"hold_out": ["hippocampus_00*"], "preview_every": 0})
    assert config.intensity == "z-score"
    run, folder = Run.create(tmp_path / "run"), scans / "mri"
    heads = sorted((folder / "hippocampus" / "images").glob("*.nii.gz"))[:6]
    pretrain(run, config, [*heads, folder / "FLAIR.nrrd"], device="cpu")
    model = load_checkpoint(run.folder)
    assert model.intensity == Intensity("z-score")
    if model.abilities.reconstructs:
        volume = read_volume(folder / "stroke_T2.nii.gz")
        result = reconstruct(volume, model, device="cpu", overlap=0)
        low, high = (float(value) for value in (result.window.low, result.window.high))
        hidden = result.grid.expand(result.mask.hidden)
        assert (
            low
            <= result.reconstruction.voxels[hidden].min()
            <= result.reconstruction.voxels[hidden].max()
            <= high
        )
