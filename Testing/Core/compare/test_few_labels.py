"""A comparison of encoders by few labels, as the command makes it, and its mistakes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from MAESILCore import cli
from MAESILCore.compare.fewlabels.cells import ShotCell, chosen_cases, split_cases
from MAESILCore.compare.fewlabels.config import FewLabelsConfig, is_few_labels, load_few_labels
from MAESILCore.compare.fewlabels.scores import scored_of
from MAESILCore.compare.fewlabels.tables import few_label_tables
from MAESILCore.downstream.segmentation.cases import Case
from MAESILCore.downstream.segmentation.learner import Schedule
from MAESILCore.errors import ConfigError
from Testing.Core.downstream.conftest import labelled_cases

__all__ = ["labelled_cases"]

SIZES = {"superpatch_size": [16, 24, 24], "patch_size": [4, 4, 4]}
CONTENT: dict[str, Any] = {
    "task": "segmentation",
    "title": "Balls",
    "data": "Made up.",
    "tests": ["scan2"],
    "shots": [1, 2],
    "seeds": [0],
    "pretraining": {
        "steps": 1,
        "common": {"preset": "tiny", "model": SIZES, "crop": {"size": [8, 12, 12]}, "warmup_steps": 1},
        "methods": {"mae": {}},
    },
    "training": {"crop_size": [16, 24, 24], "width": 4, "steps": 2},
    "rows": {
        "from scratch": {"untrained": "mae"},
        "mae": {"pretrained": "mae"},
        "UNet": {"network": "monai-unet", "width": 4, "equal": "flops"},
        "place": {"control": "place"},
    },
    "reference": "mae",
    "baseline": "from scratch",
}


@pytest.fixture
def comparison(tmp_path: Path) -> Callable[..., Path]:
    """Writes the description with other fields."""

    def write(**fields: Any) -> Path:  # noqa: ANN401 - YAML
        path = tmp_path / "balls.yaml"
        path.write_text(yaml.safe_dump({**CONTENT, **fields}))
        return path

    return write


@pytest.mark.slow
def test_the_command_trains_scores_and_goes_on(
    comparison: Callable[..., Path],
    labelled_cases: list[Case],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, folder = tmp_path / "out", Path(labelled_cases[0].scan).parent
    words = ["compare", str(comparison()), "--scans", str(folder), "--labels", str(folder), "--out", str(out)]
    assert cli.main([*words, "--device", "cpu"]) == 0
    page = (out / "comparison.md").read_text()
    assert "8 of 8 results are there" in page
    assert "1 test cases: scan2." in page
    assert "Difference in Dice points (hundredths) to 'from scratch'" in page
    assert "](dice.png)" in page
    assert (out / "dice.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((out / "comparison.csv").read_text().splitlines()))
    assert len(rows) == 8 * 2
    assert {row["case"] for row in rows} == {"scan2"}
    budget = json.loads((out / "budget.json").read_text())
    scores = json.loads((out / "shots-1" / "UNet-seed0" / "scores.json").read_text())
    assert scores["facts"]["steps"] == max(1, round(2 * budget["mae"] / budget["UNet"]))
    labelled = {
        shots: json.loads((out / f"shots-{shots}" / "mae-seed0" / "scores.json").read_text())["facts"][
            "labelled"
        ]
        for shots in (1, 2)
    }
    assert set(labelled[1]) < set(labelled[2]) == {"scan0", "scan1"}
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    (out / "shots-1" / "UNet-seed0" / "scores.json").unlink()
    assert cli.main([*words, "--device", "cpu"]) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == before
    capsys.readouterr()
    assert cli.main([*words, "--steps", "9"]) == 2
    assert "holds another comparison, with other training" in capsys.readouterr().err
    assert cli.main([*words, "--tests", str(folder)]) == 2
    assert "names its test cases itself" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"rows": {"a": {"pretrained": "vae"}}}, "names 'vae', which is not among the pre-trainings"),
        (
            {"rows": {"a": {"equal": "flops"}}, "reference": "", "baseline": ""},
            "the row whose operations are the budget",
        ),
        ({"rows": {"a": {"equal": "hours"}}}, "equal must be flops"),
        ({"rows": {"a": {"colour": 1}}, "reference": "", "baseline": ""}, "The row a of the comparison"),
        ({"rows": {"a": {"control": "time"}}, "reference": "", "baseline": ""}, "a control must be place"),
        (
            {"rows": {"a": {"control": "place", "steps": 9}}, "reference": "", "baseline": ""},
            "no other field",
        ),
        ({"reference": "place"}, "a control has no operations"),
        (
            {"rows": {"a": {"network": "monai-unet", "encoder": "x"}}, "reference": "", "baseline": ""},
            "no encoder",
        ),
        ({"baseline": "none"}, "there is no row 'none'"),
        ({"training": {"steps": 2}}, "needs `crop_size`"),
        ({"shots": [1, 1]}, "each must be given once"),
        ({"pretraining": {"methods": {"mae": {"colour": 1}}}}, "The pre-training mae of the comparison"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    comparison: Callable[..., Path], fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_few_labels(comparison(**fields))


def test_the_pool_and_the_tests_are_apart() -> None:
    config = FewLabelsConfig.model_validate({**CONTENT, "tests": ["t*"]})
    cases = [Case(f"/{name}.nrrd", f"/{name}l.nrrd", name[0]) for name in ("a1", "b1", "c1", "t1", "t2")]
    pool, tests = split_cases(config, cases)
    assert ([case.name for case in pool], [case.name for case in tests]) == (["a1", "b1", "c1"], ["t1", "t2"])
    one, two = chosen_cases(pool, 3, 1), chosen_cases(pool, 3, 2)
    assert two[:1] == one
    assert chosen_cases(pool, 3, 2) == two
    with pytest.raises(ConfigError, match="No case fits"):
        split_cases(config, pool)
    with pytest.raises(ConfigError, match="1 cases are left"):
        split_cases(config, cases[2:])
    with pytest.raises(ConfigError, match="patient t is in the pool"):
        split_cases(config, [*cases, Case("/x.nrrd", "/xl.nrrd", "t")])


@pytest.mark.parametrize(
    ("name", "shots"), [("hippocampus", (1, 3, 5, 10)), ("organs", (1, 5)), ("sarcoma", (5,))]
)
def test_bundled_comparisons_are_whole(name: str, shots: tuple[int, ...]) -> None:
    assert is_few_labels(name)
    assert not is_few_labels("ct")
    config = load_few_labels(name)
    assert config.shots == shots
    assert len(config.seeds) == 3


@pytest.mark.parametrize("name", ["hippocampus", "organs"])
def test_one_row_has_the_schedule_of_the_pretrained_without_pretraining(name: str) -> None:
    config = load_few_labels(name)
    control = Schedule(config.recipe("from scratch, schedule of the pre-trained", 0), is_pretrained=False)
    learned = Schedule(config.recipe("mae", 0), is_pretrained=True)
    assert control.config.steps == learned.config.steps
    for step in range(control.config.steps):
        assert control.encoder(step) == learned.encoder(step)
        assert control.decoder(step) == learned.decoder(step)


def test_the_hippocampus_is_tested_on_twenty_scans() -> None:
    config = load_few_labels("hippocampus")
    assert len(config.tests) == 20
    with pytest.raises(ConfigError, match="bundled name"):
        load_few_labels("liver")


def test_differences_are_paired_by_case_and_seed(tmp_path: Path) -> None:
    config = FewLabelsConfig.model_validate({**CONTENT, "shots": [1], "seeds": [0, 1]})
    cells = []
    for row, gain in (("from scratch", 0.0), ("mae", 0.05)):
        for seed in (0, 1):
            cell = ShotCell(1, row, seed, tmp_path / f"{row}{seed}")
            cell.folder.mkdir()
            dice = {f"case{n}": 0.5 + 0.1 * n + 0.02 * seed + gain for n in range(4)}
            mean = {"mean": sum(dice.values()) / 4}
            found = {
                "facts": {"steps": 2, "parameters": 1e6, "seconds_per_step": None},
                "cases": [{"case": name, "structure": "s", "dice": value} for name, value in dice.items()],
                "structures": {"mean": dict.fromkeys(("dice", "surface_dice", "hausdorff95"), mean)},
            }
            (cell.folder / "scores.json").write_text(json.dumps(found))
            cells.append(cell)
    scores, differences, seeds, *_ = few_label_tables(config, scored_of(cells))
    assert scores.rows[0][:2] == ("from scratch", "0.660 ± 0.014")
    assert differences.rows == [("mae", "+5.0 (+5.0 to +5.0)")]
    assert seeds.rows == [("mae", "+5.0, +5.0")]
