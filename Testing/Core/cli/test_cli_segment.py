"""`maesil segment` as a person meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from MAESILCore import cli, read_segmentation
from MAESILCore.downstream.segmentation.cases import Case
from Testing.Core.downstream.conftest import RECIPE, labelled_cases, labelled_volume

__all__ = ["labelled_cases"]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "validate_every": 2}))
    return path


@pytest.mark.slow
def test_scans_are_learned_from_outlined_and_scored(
    labelled_cases: list[Case], recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "cases.csv"
    rows = (f"{case.scan},{case.labels},{case.patient}" for case in labelled_cases)
    listed.write_text("scan,labels,patient\n" + "\n".join(rows))
    run = tmp_path / "run"
    train = ["segment", "train", str(listed), "--out", str(run), "--recipe", str(recipe), "--device", "cpu"]
    assert cli.main([*train, "--encoder", "none", "--steps", "3", "--hold-out", "scan2"]) == 0
    assert "step 2: dice" in capsys.readouterr().out
    assert cli.main([*train, "--encoder", "none"]) == 2
    assert "already holds a run" in capsys.readouterr().err
    resumed = ["segment", "train", str(listed), "--out", str(run), "--resume"]
    assert cli.main([*resumed, "--seed", "3"]) == 2
    assert "only --steps may be given" in capsys.readouterr().err
    assert cli.main([*resumed, "--steps", "4"]) == 0
    assert cli.main(["resume", str(run), "--steps", "5"]) == 0
    assert cli.main(["resume", str(run), "--processes", "2"]) == 2
    assert "--processes needs --background" in capsys.readouterr().err
    out = tmp_path / "out"
    assert (
        cli.main(["segment", "apply", str(run), labelled_cases[0].scan, "--out", str(out), "--device", "cpu"])
        == 0
    )
    assert "Research use only" in capsys.readouterr().out
    found = read_segmentation(out / "scan0.seg.nrrd", like=labelled_volume(0)[0])
    assert {one.name for one in found.segments} == {"bright", "dark"}
    assert np.array_equal(found.labels, read_segmentation(out / "scan0.nii.gz").labels)
    assert (out / "scan0_uncertainty.nii.gz").is_file()
    scores = tmp_path / "scores"
    assert (
        cli.main(["segment", "evaluate", str(run), str(listed), "--out", str(scores), "--device", "cpu"]) == 0
    )
    assert len(json.loads((scores / "metrics.json").read_text())["cases"]) == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (lambda cases: ["nothing.csv"], "cannot be read"),
        (lambda cases: [str(Path(cases[0].scan).parent)], "give the folder of the labels"),
        (lambda cases: [str(cases), "--steps", "0"], "cannot be read"),
    ],
)
def test_mistakes_give_one_sentence_and_leave_nothing(
    options: Callable[[list[Case]], list[str]],
    problem: str,
    labelled_cases: list[Case],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    assert cli.main(["segment", "train", *options(labelled_cases), "--out", str(run)]) == 2
    shown = capsys.readouterr().err
    assert problem in shown
    assert shown.count("\n") == 1
    assert not run.exists()


@pytest.mark.slow
def test_a_pretraining_is_not_resumed_as_a_segmentation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], repository: Path
) -> None:
    run = repository / "Testing" / "Golden" / "files" / "run"
    assert cli.main(["segment", "train", "x.csv", "--out", str(run), "--resume"]) == 2
    assert "holds a pre-training" in capsys.readouterr().err
