"""Classifiers of scans: a planted signal is found by the features and by nothing else, and survives the disk."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics

from MAESILCore import classify, load_classifier, read_volume, train_classifier
from MAESILCore.cli import main
from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.downstream.classification import AttentiveTraining, FinetuneTraining, evaluate_classifier
from MAESILCore.downstream.classification.encoder import Encoder
from MAESILCore.downstream.classification.finetune import fit_finetuned
from MAESILCore.downstream.classification.linear import fit_linear
from MAESILCore.downstream.classification.scores import scores_of, with_intervals
from MAESILCore.errors import Cancelled, CheckpointError, ConfigError, VolumeError

SHORT = AttentiveTraining(steps=20, scans=6, tokens=32)
TUNING = FinetuneTraining(steps=14, frozen=4, scans=4)
NAMES = ("fine", "coarse")


def texture(seed: int, *, is_fine: bool) -> Volume:
    """Noise with a pattern of one or two voxels; shape, spacing and mean are the same for both."""
    random = np.random.default_rng(seed)
    places = np.indices((16, 16, 16)).sum(axis=0) if is_fine else (np.indices((16, 16, 16)) // 2).sum(axis=0)
    voxels = 300.0 * (-1.0) ** places + random.normal(0.0, 40.0, (16, 16, 16)) - 100.0
    voxels -= voxels.mean()
    return Volume(np.rint(voxels).astype(np.int16), np.diag([1.0, 1.0, 2.0, 1.0]))


def write_cases(folder: Path, seeds: range, columns: str = "") -> Path:
    """Scans of both textures and their table."""
    folder.mkdir(exist_ok=True)
    lines = ["scan,label" + ("," + columns if columns else "")]
    for seed in seeds:
        write_volume(texture(seed, is_fine=seed % 2 == 0), folder / f"s{seed}.nii")
        split = "test" if seed % 5 > 2 else "train"
        lines.append(f"s{seed}.nii,{NAMES[seed % 2]}" + (f",{split}" if columns else ""))
    (folder / "cases.csv").write_text("\n".join(lines))
    return folder / "cases.csv"


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cases(tmp_path_factory.mktemp("cases"), range(8))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scans that no classifier has seen."""
    return write_cases(tmp_path_factory.mktemp("others"), range(20, 24))


@pytest.fixture(scope="module", params=["logistic", "attentive", "finetune"])
def trained(
    request: pytest.FixtureRequest, cases: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The output folder of a training, and its results."""
    out = tmp_path_factory.mktemp(request.param) / "out"
    return out, train(table_for(request.param, cases), out, tiny_model, head=request.param)


def table_for(head: str, cases: Path) -> Path:
    """The table without folds, or with two of them for the head that takes the longest."""
    if head != "finetune":
        return cases
    first, *rows = cases.read_text().splitlines()
    folds = [f"{row},{'a' if number < len(rows) // 2 else 'b'}" for number, row in enumerate(rows)]
    (cases.parent / "folds.csv").write_text("\n".join([f"{first},fold", *folds]))
    return cases.parent / "folds.csv"


def train(cases: Path, out: Path, model: Path, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    return train_classifier(cases, out, model=model, training=SHORT, finetuning=TUNING, draws=20, **options)


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def areas(results: dict[str, Any]) -> dict[str, float]:
    """AUROC by row."""
    return {row["name"]: row["scores"]["auroc"]["value"] for row in results["rows"]}


def test_a_planted_texture_is_found_by_the_features_and_not_by_the_controls(
    trained: tuple[Path, dict[str, Any]],
) -> None:
    out, results = trained
    head = results["setup"]["head"]
    found = areas(results)
    assert found[f"{head}, tiny"] == 1.0
    assert found["file facts"] <= 0.8
    assert found["most frequent class"] == 0.5
    assert results["setup"]["scans"] == results["setup"]["patients"] == 8
    assert json.loads((out / "metrics.json").read_text()) == results
    majority = results["rows"][-1]
    assert majority["model_minus_this"]["auroc"]["value"] == 0.5
    rows = rows_of(out / "predictions.csv")
    assert [row["scan"] for row in rows] == [f"s{seed}.nii" for seed in range(8)]
    for row in rows:
        assert float(row["p(coarse)"]) + float(row["p(fine)"]) == pytest.approx(1.0, abs=1e-5)
        assert (float(row["p(fine)"]) > 0.5) == (row["label"] == "fine")
    assert {row["fold"] for row in rows} == set("ab" if head == "finetune" else "1234")


def test_equal_seeds_give_equal_results(
    trained: tuple[Path, dict[str, Any]], cases: Path, tiny_model: Path, tmp_path: Path
) -> None:
    out, results = trained
    head = results["setup"]["head"]
    again = train(table_for(head, cases), tmp_path, tiny_model, head=head)
    assert again == results
    for name in ("predictions.csv", "classifier.safetensors"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_apply_evaluate_and_classify_agree(
    trained: tuple[Path, dict[str, Any]], others: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = trained
    assert main(["classify", "apply", str(out), str(others.parent), "--out", str(tmp_path / "p.csv")]) == 0
    assert "Wrote 4 rows" in capsys.readouterr().out
    assert main(["classify", "evaluate", str(out), str(others), "--out", str(tmp_path / "e")]) == 0
    assert "4 scans of 4 patients" in capsys.readouterr().out
    applied = rows_of(tmp_path / "p.csv")
    evaluated = rows_of(tmp_path / "e" / "predictions.csv")
    classifier = load_classifier(out / "classifier.safetensors")
    for one, other in zip(applied, evaluated, strict=True):
        assert one["class"] == other["label"]
        found = classify(read_volume(others.parent / other["scan"]), classifier)
        for name in NAMES:
            assert one[f"p({name})"] == other[f"p({name})"] == f"{found[name]:.6g}"
    assert areas(json.loads((tmp_path / "e" / "metrics.json").read_text()))["most frequent class"] == 0.5


def test_a_scan_of_the_training_is_refused_in_an_evaluation(
    trained: tuple[Path, dict[str, Any]], cases: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"learned from 8 of these scans, such as s0.nii"):
        evaluate_classifier(load_classifier(trained[0]), cases, tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_an_evaluation_with_an_unknown_label_is_refused(
    trained: tuple[Path, dict[str, Any]], others: Path, tmp_path: Path
) -> None:
    table = others.parent / "odd.csv"
    table.write_text("scan,label\ns20.nii,medium\n")
    with pytest.raises(ConfigError, match=r"knows the labels coarse, fine, but odd.csv has medium"):
        evaluate_classifier(load_classifier(trained[0]), table, tmp_path)


def test_another_encoder_is_refused(
    trained: tuple[Path, dict[str, Any]], make_tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    other = make_tiny_model(tmp_path / "other.safetensors", patch=8)
    if trained[1]["setup"]["head"] == "finetune":
        with pytest.raises(ConfigError, match="brings its own fine-tuned encoder"):
            load_classifier(trained[0], model=other)
        return
    with pytest.raises(CheckpointError, match=r"trained on features of tiny .* holds other weights"):
        load_classifier(trained[0], model=other)
    with pytest.raises(
        CheckpointError, match=r"encoder tiny of the classifier is not at .*: give .* --model"
    ):
        load_classifier(trained[0], model=tmp_path / "gone.safetensors")


def test_fine_tuning_changes_a_copy_of_the_encoder_and_deeper_blocks_more(tiny_model: Path) -> None:
    encoder = Encoder.load(tiny_model, device="cpu")
    before = {name: tensor.clone() for name, tensor in encoder.model.method.state_dict().items()}
    scans = [encoder.prepared(texture(seed, is_fine=seed % 2 == 0)) for seed in range(4)]
    options: dict[str, Any] = {"level": 1, "seed": 0, "progress": lambda done, of: None, "cancelled": bool}
    tuned = fit_finetuned(encoder, scans, np.array([0, 1, 0, 1]), training=TUNING, **options)
    weights = tuned.encoder.model.method.state_dict()
    moved = {name: float((weights[name] - old).abs().mean()) for name, old in before.items()}
    assert moved["encoder.blocks.1.mlp.fc1.weight"] > moved["encoder.blocks.0.mlp.fc1.weight"] > 0.0
    assert moved["embed.weight"] > 0.0
    assert all(torch.equal(old, encoder.model.method.state_dict()[name]) for name, old in before.items())
    frozen = FinetuneTraining(steps=2, frozen=2, scans=1)
    same = fit_finetuned(encoder, scans, np.array([0, 1, 0, 1]), training=frozen, **options)
    kept = same.encoder.model.method.state_dict()
    assert all(torch.equal(old, kept[name]) for name, old in before.items())


def test_what_is_no_classifier_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no classifier: give one made by `maesil classify train`"):
        load_classifier(tiny_model)
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        load_classifier(tmp_path)


def test_a_split_is_scored_on_its_test_part_by_what_the_rest_taught(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_cases(tmp_path / "split", range(10), columns="split")
    command = ["classify", "train", str(table), "--out", str(tmp_path / "out"), "--model", str(tiny_model)]
    assert main([*command, "--level", "-1", "--untrained"]) == 0
    assert "4 scans of 4 patients" in capsys.readouterr().out
    results = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert results["setup"]["folds"] == {"test": 4}
    assert results["setup"]["scans"] == 4
    names = [row["name"] for row in results["rows"]]
    assert names == ["logistic, tiny", "logistic, tiny untrained", "file facts", "most frequent class"]
    assert results["setup"]["command"].endswith("--model tiny.safetensors --level -1 --untrained")
    classifier = load_classifier(tmp_path / "out")
    assert len(classifier.description.learned_from) == 6
    row = rows_of(tmp_path / "out" / "predictions.csv")[0]
    found = classify(read_volume(tmp_path / "split" / row["scan"]), classifier)
    assert row["p(fine)"] == f"{found['fine']:.6g}"


def test_a_stop_leaves_no_results(tiny_model: Path, tmp_path: Path) -> None:
    cases = write_cases(tmp_path / "split", range(6), columns="split")
    said: list[str] = []

    def stop_at_the_end() -> bool:
        return any(message.startswith("Scoring") for message in said)

    with pytest.raises(Cancelled):
        train(
            cases,
            tmp_path / "out",
            tiny_model,
            level=0,
            progress=lambda done, total, message: said.append(message),
            cancelled=stop_at_the_end,
        )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["features"]


def test_a_damaged_feature_is_computed_anew(tiny_model: Path, tmp_path: Path) -> None:
    cases = write_cases(tmp_path / "split", range(6), columns="split")
    results = train(cases, tmp_path, tiny_model, level=0)
    kept = sorted((tmp_path / "features").rglob("*.npy"))
    assert len(kept) == 6
    kept[0].write_bytes(b"")
    assert train(cases, tmp_path, tiny_model, level=0) == results


def test_options_that_do_not_fit_are_refused_before_the_work(
    cases: Path, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigError, match="There is no head 'forest'; choose one of logistic, attentive, finetune"
    ):
        train(cases, tmp_path / "out", tiny_model, head="forest")
    with pytest.raises(ConfigError, match="tiny has no feature level 9"):
        train(cases, tmp_path / "out", tiny_model, level=9)
    assert not (tmp_path / "out").exists()


def test_scans_without_hu_are_noted(tiny_model: Path, tmp_path: Path) -> None:
    table = write_cases(tmp_path / "mr", range(4))
    for path in (tmp_path / "mr").glob("*.nii"):
        volume = read_volume(path)
        write_volume(volume.with_voxels(volume.voxels - volume.voxels.min()), path)
    notes = train(table, tmp_path / "out", tiny_model, level=0)["setup"]["notes"]
    assert any(
        note.startswith("4 of 4 scans do not look like HU, which tiny was trained on") for note in notes
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_the_scores_are_those_of_scikit_learn(classes: int) -> None:
    random = np.random.default_rng(classes)
    true = random.permutation(np.arange(40) % classes)
    raw = random.integers(1, 6, (40, classes)) / 1.0  # with ties
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    chosen = probabilities.argmax(axis=1)
    given = probabilities[:, 1] if classes == 2 else probabilities
    assert scores_of(probabilities, true) == pytest.approx(
        {
            "auroc": metrics.roc_auc_score(true, given, multi_class="ovr"),
            "accuracy": metrics.accuracy_score(true, chosen),
            "balanced_accuracy": metrics.balanced_accuracy_score(true, chosen),
            "f1": metrics.f1_score(true, chosen, average="macro"),
        }
    )


def test_an_interval_is_drawn_over_patients_not_scans() -> None:
    """With one patient of many scans, each draw is the same."""
    values = np.array([0.0, 1.0] * 20)

    def mean(chosen: np.ndarray) -> dict[str, float]:
        return {"mean": float(values[chosen].mean())}

    options: dict[str, Any] = {"seed": 0, "cancelled": lambda: False, "draws": 50}
    one = with_intervals(mean, np.zeros(40), **options)["mean"]
    assert (one["low"], one["high"], one["draws"]) == (0.5, 0.5, 50)
    many = with_intervals(mean, np.arange(40), **options)["mean"]
    assert many["low"] < 0.45 < 0.55 < many["high"]


def test_a_logistic_head_takes_the_level_that_holds_the_signal() -> None:
    random = np.random.default_rng(0)
    classes = np.arange(40) % 2
    noise = random.normal(size=(40, 60))
    signal = random.normal(size=(40, 60))
    signal[:, 3] += 4.0 * classes
    head = fit_linear([noise, signal, noise], classes, np.arange(40), seed=0, cancelled=lambda: False)
    assert head.level == 1
    assert (head.probabilities(signal).argmax(axis=1) == classes).all()


def test_pooled_features_leave_out_air(tiny_model: Path) -> None:
    encoder = Encoder.load(tiny_model, device="cpu")
    body = texture(0, is_fine=True).voxels
    air = np.full((16, 16, 48), -1000, np.int16)
    voxels = np.concatenate([body, air], axis=2)
    alone = encoder.superpatches(Volume(body, np.eye(4)), lambda: False)
    inside = encoder.superpatches(Volume(voxels, np.eye(4)), lambda: False)
    assert inside.boxes[:, :, 2].tolist() == [[0, 16]]
    for a, b in zip(alone.pooled(), inside.pooled(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    broken = Volume(np.full((16, 16, 16), np.nan, np.float32), np.eye(4))
    with pytest.raises(VolumeError, match="NaN or infinite voxels"):
        encoder.superpatches(broken, lambda: False)
    assert torch.equal(torch.from_numpy(encoder.unpack(alone.packed()).boxes), torch.from_numpy(alone.boxes))
