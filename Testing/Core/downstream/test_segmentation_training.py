"""Segmentation trainings: they learn, stop, resume exactly, go on from a model, and outline scans on their grids."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from MAESILCore.data.labels import read_segmentation, write_segmentation
from MAESILCore.data.segmentation import Segment, Segmentation
from MAESILCore.data.volume import Volume, read_volume, write_volume
from MAESILCore.downstream.segmentation.cases import Case
from MAESILCore.downstream.segmentation.config import SegmentationConfig
from MAESILCore.downstream.segmentation.evaluate import evaluate_segmentation, save_evaluation
from MAESILCore.downstream.segmentation.inference import _check_memory, segment
from MAESILCore.downstream.segmentation.model import load_segmentation_model
from MAESILCore.downstream.segmentation.run import SegmentationRun
from MAESILCore.downstream.segmentation.saving import save_segmentation
from MAESILCore.downstream.segmentation.trainer import train_segmentation
from MAESILCore.errors import (
    Cancelled,
    CheckpointError,
    ConfigError,
    OutOfMemoryError,
    Preempted,
    VolumeError,
)
from MAESILCore.inference.network import NetworkPasses
from MAESILCore.jobfolder import Event
from MAESILCore.models.card import read_card
from MAESILCore.models.catalogue import obstacles
from MAESILCore.models.checkpoint import load_checkpoint, load_tensors, save_checkpoint
from Testing.Core.downstream.conftest import labelled_volume, oblique

Recipe = Callable[..., SegmentationConfig]


def _train(folder: Path, config: SegmentationConfig, cases: list[Case], **options: object) -> Path:
    run = (
        SegmentationRun.create(folder)
        if not (folder / "config.yaml").exists()
        else SegmentationRun.open(folder)
    )
    return train_segmentation(run, config, cases, device="cpu", **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, labelled_cases: list[Case]) -> Path:
    """A model that tells the balls apart."""
    from MAESILCore.downstream.segmentation.config import load_segmentation_config
    from Testing.Core.downstream.conftest import RECIPE

    config = load_segmentation_config(None, {**RECIPE, "steps": 30, "validate_every": 15, "name": "balls"})
    return _train(tmp_path_factory.mktemp("trained") / "run", config, labelled_cases)


@pytest.mark.slow
def test_a_training_finds_the_structures_of_a_scan_it_never_saw(trained: Path) -> None:
    volume, truth = labelled_volume(7)
    model = load_segmentation_model(trained.parent)
    result = segment(volume, model, device="cpu")
    assert np.array_equal(result.segmentation.ijk_to_ras, volume.ijk_to_ras)
    assert [one.name for one in result.segmentation.segments] == ["bright", "dark"]
    assert result.segmentation.segments[0].color == (1.0, 0.0, 0.0)
    for one in truth.segments:
        found, wanted = result.segmentation.labels == one.value, truth.labels == one.value
        assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.8, one.name
    assert 0.0 <= result.uncertainty.min() <= result.uncertainty.max() <= 1.0
    wrong = result.segmentation.labels != truth.labels
    assert result.uncertainty[wrong].mean() > result.uncertainty[~wrong].mean()
    amount = truth.labels.size and (result.segmentation.labels == 1).sum() * abs(
        np.linalg.det(oblique()[:3, :3])
    )
    assert result.millilitres["bright"] == pytest.approx(amount / 1000)


@pytest.mark.slow
def test_the_run_tells_what_happened(trained: Path) -> None:
    events = [json.loads(line) for line in (trained.parent / "events.jsonl").read_text().splitlines()]
    started = next(event for event in events if event["event"] == "started")
    assert (started["scans"], started["held_out"], started["structures"]) == (2, 1, ["bright", "dark"])
    validations = [event for event in events if event["event"] == "validation"]
    assert [event["step"] for event in validations] == [15, 30]
    assert {"dice", "dice_bright", "dice_dark"} <= set(validations[-1])
    assert events[-1]["event"] == "finished"
    card = read_card(trained)
    assert card.task["kind"] == "segmentation"
    assert (card.name, card.training["encoder"], card.training["scans"]) == ("balls", "", 2)


@pytest.mark.slow
def test_a_segmentation_model_is_no_pretrained_one(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a model for segmentation, not a pre-trained one"):
        load_checkpoint(trained)
    assert "choose a pre-trained model" in obstacles(trained)[0]
    with pytest.raises(CheckpointError, match="is no segmentation model"):
        load_segmentation_model("maesil-plus")
    card = read_card(trained)
    tensors = load_tensors(trained, "")
    tensors.pop("model.head.conv.conv.bias")
    save_checkpoint(tmp_path / "cut.safetensors", tensors, card)
    with pytest.raises(
        CheckpointError, match="does not fit this version of MAESIL: it lacks the tensor head"
    ):
        load_segmentation_model(tmp_path / "cut.safetensors")


@pytest.mark.slow
def test_an_evaluation_scores_structures_by_case(
    trained: Path, labelled_cases: list[Case], tmp_path: Path
) -> None:
    metrics = evaluate_segmentation(load_segmentation_model(trained), labelled_cases[-1:], device="cpu")
    assert [row["structure"] for row in metrics["cases"]] == ["bright", "dark"]
    means = {name: scores["dice"]["mean"] for name, scores in metrics["structures"].items()}
    assert set(means) == {"bright", "dark", "mean"}
    assert means["mean"] == pytest.approx((means["bright"] + means["dark"]) / 2, abs=1e-4)
    save_evaluation(metrics, tmp_path / "scores")
    assert json.loads((tmp_path / "scores" / "metrics.json").read_text())["model"] == "balls"
    assert len((tmp_path / "scores" / "scores.csv").read_text().splitlines()) == 3


@pytest.mark.slow
def test_results_in_files_lie_on_the_scan(trained: Path, tmp_path: Path) -> None:
    volume, _ = labelled_volume(7)
    result = segment(volume, load_segmentation_model(trained), device="cpu")
    files = save_segmentation(result, tmp_path / "out")
    assert [file.name for file in files] == ["scan7.seg.nrrd", "scan7.nii.gz", "scan7_uncertainty.nii.gz"]
    again = read_segmentation(files[0], like=volume)
    assert np.array_equal(again.labels, result.segmentation.labels)
    assert [one.name for one in again.segments] == ["bright", "dark"]
    assert np.allclose(read_volume(files[2]).ijk_to_ras, volume.ijk_to_ras, atol=1e-4)


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of tiles of each call of the network that follows."""
    counts: list[int] = []
    predict = NetworkPasses.predict
    monkeypatch.setattr(
        NetworkPasses,
        "predict",
        lambda self, *inputs: counts.append(len(inputs[0])) or predict(self, *inputs),
    )
    return counts


@pytest.mark.slow
def test_tiles_of_air_pass_no_network_and_are_background(trained: Path, passed: list[int]) -> None:
    volume, _ = labelled_volume(7)
    wide = np.full((14, 22, 100), -1000, np.int16)
    wide[:, :, :19] = volume.voxels
    result = segment(Volume(wide, volume.ijk_to_ras), load_segmentation_model(trained), device="cpu")
    assert sum(passed) < 4
    assert not result.segmentation.labels[:, :, 40:].any()
    assert result.uncertainty[:, :, 60:].max() < 1e-3
    assert result.segmentation.labels[:, :, :19].any()


@pytest.mark.slow
def test_small_tiles_pass_in_pairs_and_give_what_single_ones_give(trained: Path, passed: list[int]) -> None:
    volume, _ = labelled_volume(7)
    wide = Volume(np.tile(volume.voxels, (1, 1, 3)), volume.ijk_to_ras)
    model = load_segmentation_model(trained)
    singly = segment(wide, model, device="cpu", batch_size=1)
    assert max(passed) == 1
    paired = segment(wide, model, device="cpu")
    assert max(passed) == 2
    assert np.abs(paired.uncertainty - singly.uncertainty).max() < 1e-4
    assert (paired.segmentation.labels == singly.segmentation.labels).mean() > 0.999


@pytest.mark.slow
def test_more_classes_than_fit_into_the_memory_are_refused(trained: Path) -> None:
    wide = Volume(np.broadcast_to(np.int16(0), (10**4, 10**4, 10**4)), np.eye(4))
    with pytest.raises(
        OutOfMemoryError, match="3 classes of a scan of 10000 x 10000 x 10000 voxels need 11176 GiB"
    ):
        _check_memory(wide, len(load_segmentation_model(trained).classes))


@pytest.mark.slow
@pytest.mark.parametrize(("stop", "kind"), [(1, Cancelled), (2, Preempted)], ids=["person", "scheduler"])
def test_a_stopped_training_resumes_to_the_same_weights(
    stop: int, kind: type[Cancelled], labelled_cases: list[Case], segment_recipe: Recipe, tmp_path: Path
) -> None:
    config = segment_recipe(steps=6, validate_every=2, checkpoint_every=3)
    whole = _train(tmp_path / "whole", config, labelled_cases)
    steps: list[int] = []

    def note(event: Event) -> None:
        if event.event == "step":
            steps.append(event.step)

    with pytest.raises(Cancelled, match="Stopped after step 4") as stopped:
        _train(
            tmp_path / "cut",
            config,
            labelled_cases,
            progress=note,
            cancelled=lambda: stop if steps[-1:] == [4] else 0,
        )
    assert stopped.type is kind
    resumed = _train(tmp_path / "cut", config, labelled_cases, progress=note)
    assert steps == [1, 2, 3, 4, 5, 6]
    one, other = load_tensors(whole, ""), load_tensors(resumed, "")
    assert all(torch.equal(one[name], other[name]) for name in one)
    other_cases = [replace(labelled_cases[0], validation=True), *labelled_cases[1:]]
    with pytest.raises(ConfigError, match="scan0"):
        _train(tmp_path / "cut", config.model_copy(update={"steps": 8}), other_cases)


@pytest.mark.slow
def test_a_training_ends_when_validation_no_longer_improves(
    labelled_cases: list[Case], segment_recipe: Recipe, run_folder: Path
) -> None:
    # With so low a rate no score changes after the first validation.
    config = segment_recipe(steps=30, validate_every=1, patience=2, learning_rate=1e-9)
    model = _train(run_folder, config, labelled_cases)
    assert read_card(model).step < 30
    assert SegmentationRun.open(run_folder).job.state() == "finished"
    assert read_card(model).training["best_step"] < read_card(model).step


@pytest.mark.slow
def test_a_corrected_case_with_a_new_structure_goes_on_from_the_last_weights(
    trained: Path, labelled_cases: list[Case], segment_recipe: Recipe, run_folder: Path, tmp_path: Path
) -> None:
    volume, segmentation = labelled_volume(5)
    labels = segmentation.labels.copy()
    labels[0, 0, :3] = 3
    segments = (*segmentation.segments, Segment(3, "new"))
    write_volume(volume, tmp_path / "scan5.nrrd")
    write_segmentation(Segmentation(labels, volume.ijk_to_ras, segments), tmp_path / "scan5.seg.nrrd")
    cases = [*labelled_cases, Case(str(tmp_path / "scan5.nrrd"), str(tmp_path / "scan5.seg.nrrd"), "p5")]
    before = load_segmentation_model(trained)
    rate = segment_recipe(steps=1, learning_rate=1e-9)
    model = load_segmentation_model(_train(run_folder, rate, cases, initial=before))
    assert model.classes.names == ("bright", "dark", "new")
    learned, went_on = before.network.state_dict(), model.network.state_dict()
    for name, tensor in learned.items():
        if "running_" in name or "num_batches" in name:  # statistics of the step
            continue
        kept = went_on[name][: len(tensor)] if name.startswith("head.") else went_on[name]
        assert torch.allclose(kept, tensor, atol=2e-3), name
    assert len(went_on["head.conv.conv.bias"]) == 4


@pytest.mark.slow
@pytest.mark.parametrize("network", ["monai-unet", "monai-dynunet"])
def test_networks_of_monai_are_trained_and_loaded_alike(
    network: str, labelled_cases: list[Case], segment_recipe: Recipe, run_folder: Path
) -> None:
    model = load_segmentation_model(
        _train(run_folder, segment_recipe(network=network, steps=2), labelled_cases)
    )
    volume, _ = labelled_volume(7)
    assert segment(volume, model, device="cpu").segmentation.labels.shape == volume.shape
    assert (model.card.method, model.crop_size) == (network, (16, 24, 24))
    with pytest.raises(ConfigError, match="takes no encoder"):
        segment_recipe(network=network, encoder="maesil-plus")


@pytest.mark.slow
def test_a_pretrained_encoder_brings_its_intensity_and_waits_frozen(
    labelled_cases: list[Case], segment_recipe: Recipe, tmp_path: Path
) -> None:
    config = segment_recipe(
        steps=4, frozen_steps=4, encoder="maesil-small-ct", model={}, preset=None, crop_size=(16, 24, 24)
    )
    model = load_segmentation_model(_train(tmp_path / "run", config, labelled_cases[:2]))
    before = load_checkpoint("maesil-small-ct")
    assert model.card.training["encoder"] == "maesil-small-ct"
    assert model.window == before.window
    frozen = before.method.state_dict()
    assert all(
        torch.allclose(weight, frozen[name].float(), atol=1e-3)
        for name, weight in model.network.encoder.state_dict().items()
    )


@pytest.mark.slow
def test_inputs_that_do_not_fit_are_refused_and_leave_nothing(
    labelled_cases: list[Case], segment_recipe: Recipe, tmp_path: Path
) -> None:
    mri, segmentation = labelled_volume(0)
    write_volume(Volume(np.abs(mri.voxels).astype(np.uint16), mri.ijk_to_ras), tmp_path / "mri.nrrd")
    case = replace(labelled_cases[0], scan=str(tmp_path / "mri.nrrd"))
    for number, (config, cases, error, problem) in enumerate(
        [
            (
                segment_recipe(encoder="maesil-plus"),
                [case],
                ConfigError,
                "is for CT in HU, but the scans are not",
            ),
            (
                segment_recipe(crop_size=(10, 24, 24)),
                labelled_cases,
                ConfigError,
                "give multiples of the patch",
            ),
            (segment_recipe(levels=(0,)), labelled_cases, ConfigError, "2 resolutions, but 1 levels"),
            (
                segment_recipe(),
                [replace(case, scan=str(tmp_path / "no.nrrd"))],
                VolumeError,
                "case no cannot be used",
            ),
        ]
    ):
        folder = tmp_path / f"run{number}"
        with pytest.raises(error, match=problem):
            _train(folder, config, cases)
        assert not folder.exists() or not list(folder.iterdir())
    copy = tmp_path / "copy.nrrd"
    copy.write_bytes(Path(labelled_cases[0].scan).read_bytes())
    twice = replace(labelled_cases[0], scan=str(copy), patient="other", validation=True)
    with pytest.raises(ConfigError, match="scan0 and copy have the same voxels"):
        _train(tmp_path / "run8", segment_recipe(), [labelled_cases[0], twice])
    empty = Segmentation(np.zeros_like(segmentation.labels), mri.ijk_to_ras, segmentation.segments)
    write_segmentation(empty, tmp_path / "empty.seg.nrrd")
    with pytest.raises(ConfigError, match="labels of all cases are empty"):
        _train(
            tmp_path / "run9",
            segment_recipe(),
            [replace(labelled_cases[0], labels=str(tmp_path / "empty.seg.nrrd"))],
        )
