"""Structures in superpatches: found by what they look like, whatever their place, and by the classifier on disk."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MAESILCore import read_volume, write_segmentation
from MAESILCore.cli import main
from MAESILCore.data.segmentation import UNLABELLED, Segment, Segmentation
from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.downstream.classification import (
    classify,
    evaluate_classifier,
    evaluate_presence,
    load_classifier,
    structures_in,
    train_presence,
)
from MAESILCore.downstream.classification.cases import read_table
from MAESILCore.downstream.classification.structures import ABSENT, PRESENT, UNKNOWN, superpatches_of
from MAESILCore.downstream.classification.vectors import SuperpatchVectors
from MAESILCore.errors import CheckpointError, ConfigError, VolumeError

EDGE = 8


def write_case(folder: Path, seed: int) -> str:
    """Eight superpatches, of which some at random places hold a stone, a stone and a gas bubble, or neither."""
    random = np.random.default_rng(seed)
    voxels, labels = random.normal(40.0, 20.0, (16, 16, 16)), np.zeros((16, 16, 16), np.uint8)
    for number, place in enumerate(random.permutation(8)):
        k, j, i = (EDGE * part for part in np.unravel_index(place, (2, 2, 2)))
        if number < 4:
            voxels[k + 1 : k + 4, j + 1 : j + 4, i + 1 : i + 4] += 900.0
            labels[k + 1 : k + 4, j + 1 : j + 4, i + 1 : i + 4] = 1
        if number < 2:
            voxels[k + 4 : k + 7, j + 4 : j + 7, i + 4 : i + 7] -= 900.0
            labels[k + 4 : k + 7, j + 4 : j + 7, i + 4 : i + 7] = 2
    scan = Volume(np.rint(voxels).astype(np.int16), np.eye(4))
    write_volume(scan, folder / f"s{seed}.nii")
    named = (Segment(1, "stone"), Segment(2, "gas"), Segment(3, "unicorn"))
    write_segmentation(Segmentation(labels, np.eye(4), named), folder / f"s{seed}.seg.nrrd")
    return f"s{seed}.nii,s{seed}.seg.nrrd"


def write_cases(folder: Path, seeds: range) -> Path:
    folder.mkdir(exist_ok=True)
    lines = ["scan,labels", *(write_case(folder, seed) for seed in seeds)]
    (folder / "cases.csv").write_text("\n".join(lines))
    return folder / "cases.csv"


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cases(tmp_path_factory.mktemp("stones"), range(6))


@pytest.fixture(scope="module")
def trained(
    cases: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The output folder of a training, and its results."""
    out = tmp_path_factory.mktemp("presence")
    options: dict[str, Any] = {"model": tiny_model, "size": EDGE, "least_voxels": 10, "draws": 20}
    return out, train_presence(cases, out, **options)


def test_structures_are_found_whatever_their_place(trained: tuple[Path, dict[str, Any]]) -> None:
    out, results = trained
    rows = {
        row["name"]: {name: one["value"] for name, one in row["scores"].items()} for row in results["rows"]
    }
    assert rows["logistic, tiny"]["auroc stone"] > 0.97
    assert rows["logistic, tiny"]["auroc gas"] > 0.97
    assert rows["place in the scan"]["auroc"] < 0.7
    assert results["setup"]["present"] == {"gas": 12, "stone": 24}
    assert results["setup"]["superpatches"] == 48
    assert any(note.endswith("superpatches of two patients: unicorn.") for note in results["setup"]["notes"])
    assert json.loads((out / "metrics.json").read_text()) == results
    first = next(csv.DictReader((out / "predictions.csv").read_text().splitlines()))
    assert first["fold"] in set("12345")
    assert [first[f"{axis}_stop"] for axis in "kji"] == ["8", "8", "8"]


def test_apply_and_evaluate_agree(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = trained
    table = write_cases(tmp_path / "others", range(10, 12))
    scan = str(tmp_path / "others" / "s10.nii")
    assert main(["classify", "apply", str(out), scan, "--out", str(tmp_path / "p.csv")]) == 0
    assert main(["classify", "evaluate", str(out), str(table), "--out", str(tmp_path / "e")]) == 0
    assert "AUROC of each structure in 16 superpatches" in capsys.readouterr().out
    applied = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
    evaluated = list(csv.DictReader((tmp_path / "e" / "predictions.csv").read_text().splitlines()))
    assert len(applied) == 8
    for one, other in zip(applied, evaluated[:8], strict=True):
        assert {name: one[name] for name in one if name != "scan"}.items() <= other.items()
    boxes, found = structures_in(read_volume(scan), load_classifier(out))
    assert boxes.shape == (8, 2, 3)
    assert [f"{share:.6g}" for share in found[:, 1]] == [one["p(stone)"] for one in applied]


def test_a_classifier_is_used_for_what_it_is(
    trained: tuple[Path, dict[str, Any]], cases: Path, tmp_path: Path
) -> None:
    classifier = load_classifier(trained[0])
    with pytest.raises(ConfigError, match="finds structures in superpatches, and classifies no scans"):
        classify(read_volume(cases.parent / "s0.nii"), classifier)
    with pytest.raises(ConfigError, match=r"cases.csv has no column label"):
        evaluate_classifier(classifier, cases, tmp_path)
    with pytest.raises(ConfigError, match="learned from 6 of these scans"):
        evaluate_presence(classifier, cases, tmp_path)


def test_unlabelled_voxels_make_what_is_not_there_unknown(tmp_path: Path) -> None:
    labels = np.zeros((4, 4, 8), np.uint8)
    labels[:, :, 4:] = 2
    labels[:2, :2, 4:6] = 1
    segments = (Segment(1, "stone"), Segment(2, UNLABELLED))
    write_segmentation(Segmentation(labels, np.eye(4), segments), tmp_path / "a.seg.nrrd")
    write_volume(Volume(np.arange(128, dtype=np.int16).reshape(4, 4, 8), np.eye(4)), tmp_path / "a.nii")
    (tmp_path / "t.csv").write_text("scan,labels\na.nii,a.seg.nrrd\n")
    boxes = np.array([[[0, 0, 0], [4, 4, 4]], [[0, 0, 4], [4, 4, 8]]])
    found = superpatches_of(
        read_table(tmp_path / "t.csv", target="labels"),
        [SuperpatchVectors(boxes, np.ones(2, np.float32), ())],
        ["gas", "stone"],
        least_voxels=5,
        progress=lambda message: None,
        cancelled=lambda: False,
    )
    assert found.targets.tolist() == [[ABSENT, ABSENT], [UNKNOWN, PRESENT]]
    assert found.places[:, 2].tolist() == [-0.5, 0.5]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": 32}, "A superpatch of 32 voxels does not fit tiny, which takes 16 at most"),
        ({"least_voxels": 0}, "at least 1 voxel"),
        ({"least_voxels": 500}, "No structure of cases.csv is in some, but not all superpatches"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    cases: Path, tiny_model: Path, tmp_path: Path, options: dict[str, int], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        train_presence(cases, tmp_path, model=tiny_model, **{"size": EDGE, **options})
    assert not (tmp_path / "metrics.json").exists()


def test_labels_that_cannot_be_used_are_named(cases: Path, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text(
        f"scan,labels\n{cases.parent / 's0.nii'},bad.nii\n{cases.parent / 's1.nii'},bad.nii\n"
    )
    (tmp_path / "bad.nii").write_bytes(b"\0" * 400)
    with pytest.raises(VolumeError, match=r"The labels bad.nii of .*s0.nii cannot be used: "):
        train_presence(tmp_path / "cases.csv", tmp_path / "out", model=tiny_model, size=EDGE)


def test_a_damaged_classifier_is_refused(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    content = bytearray((trained[0] / "classifier.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "classifier.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged: its checksum does not match"):
        load_classifier(tmp_path)
