"""`maesil compare`: cells at equal steps and time, scores, tables and figures, and going on after a stop."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from MAESILCore.cli import main
from MAESILCore.compare import compare, load_comparison
from MAESILCore.compare.cells import cells_of, seconds_per_step
from MAESILCore.compare.config import CompareConfig
from MAESILCore.compare.inputs import training_data
from MAESILCore.compare.tables import Table, tables_of
from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.errors import Cancelled, ConfigError
from MAESILCore.jobfolder import JobFolder
from MAESILCore.methods import BUILT_IN, create

SIZES = {"superpatch_size": [16, 16, 16], "patch_size": [4, 4, 4]}
COMMON: dict[str, Any] = {
    "preset": "tiny",
    "model": SIZES,
    "crop": {"size": [16, 16, 16]},
    "batch_size": 2,
    "mask": {"mode": "nested"},
}
DESCRIPTION: dict[str, Any] = {
    "title": "Two masks",
    "common": COMMON,
    "methods": {
        "two stages": {"method": "maesil"},
        "random": {"method": "maesil", "mask": {"mode": "random"}},
    },
    "seeds": [0, 1],
    "views": ["steps", "time"],
    "steps": 3,
    "evaluation": {"masks": {"nested": {}}, "controls": ["mean"]},
}


def a_scan(seed: int) -> Volume:
    k, j, i = np.ogrid[:20, :24, :24]
    voxels = 400 * np.sin(k / 3 + seed) * np.cos(j / 4) + 8 * i - 300
    return Volume(voxels.astype(np.int16), np.eye(4), f"scan{seed}")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("compare")
    for folder, seeds in (("train", (0, 1)), ("test", (2, 3))):
        for seed in seeds:
            (root / folder).mkdir(exist_ok=True)
            write_volume(a_scan(seed), root / folder / f"scan{seed}.nii.gz")
    (root / "two.yaml").write_text(yaml.safe_dump(DESCRIPTION | {"baseline": "random"}, sort_keys=False))
    return {name: root / name for name in ("train", "test", "two.yaml", "out")}


@pytest.fixture(scope="module")
def compared(places: dict[str, Path]) -> dict[str, Path]:
    """A comparison that was stopped in its second training and then went on."""
    config, done = load_comparison(places["two.yaml"]), list[str]()

    def stop() -> bool:
        return any("random, seed 0, equal steps: step 1" in message for message in done)

    @contextmanager
    def watched(*_: object) -> Iterator[tuple[Callable[..., None], Callable[[], bool]]]:
        yield (lambda _done, _total, message: done.append(message)), stop

    options = ["--scans", "train", "--tests", "test", "--out", "out", "--example", "test/scan2.nii.gz"]
    paths = [str(places["out"].parent / one) if one[0] != "-" else one for one in options]
    command = ["compare", str(places["two.yaml"]), *paths, "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("MAESILCore.cli.compare.watched", watched)
        assert main(command) != 0
    page = (places["out"] / "comparison.md").read_text()
    assert "1 of 8 trainings" in page
    assert "over those of 2 seeds that are done" in page
    assert "two stages" in page
    first, second, *_ = cells_of(config, places["out"])
    assert first.scores() is not None
    assert second.scores() is None
    before = (first.folder / "model.safetensors").stat().st_mtime_ns
    assert main(command) == 0
    assert (first.folder / "model.safetensors").stat().st_mtime_ns == before
    return places


def test_every_cell_is_a_run_with_scores(compared: dict[str, Path]) -> None:
    config = load_comparison(compared["two.yaml"])
    cells = list(cells_of(config, compared["out"]))
    assert [(cell.view, cell.row, cell.seed) for cell in cells[:3]] == [
        ("steps", "two stages", 0),
        ("steps", "random", 0),
        ("steps", "two stages", 1),
    ]
    assert len(cells) == 8
    budget = json.loads((compared["out"] / "budget.json").read_text())
    for cell in cells:
        scores = cell.scores()
        assert scores is not None
        steps = 3 if cell.view == "steps" else budget["steps"][cell.row]
        assert scores["facts"]["steps"] == steps
        assert scores["facts"]["latent_per_voxel"] == pytest.approx(48 / 64)
        assert scores["masks"]["nested"]["psnr_hidden"]["n"] == 2
    # The same crops for all rows of a seed, other ones for another seed.
    assert budget["steps"]["two stages"] == 3
    seconds = seconds_per_step(cells[0])
    assert seconds is not None
    assert seconds > 0


def test_the_tables_hold_means_over_seeds(compared: dict[str, Path]) -> None:
    config = load_comparison(compared["two.yaml"])
    cells = list(cells_of(config, compared["out"]))
    hidden, differences, shown, *others = tables_of(config, cells)
    assert len(others) == 3
    assert [row[0] for row in hidden.rows] == ["two stages", "random", "mean (control)"]
    values = [
        (cell.scores() or {})["masks"]["nested"]["psnr_hidden"]["mean"]
        for cell in cells
        if (cell.view, cell.row) == ("steps", "random")
    ]
    assert hidden.rows[1][1] == f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"
    assert [row[0] for row in differences.rows] == ["two stages"]
    by_row = {
        row: [
            (cell.scores() or {})["masks"]["nested"]["psnr_hidden"]["mean"]
            for cell in cells
            if (cell.view, cell.row) == ("steps", row)
        ]
        for row in config.methods
    }
    gaps = np.subtract(by_row["two stages"], by_row["random"])
    assert differences.rows[0][1] == f"{gaps.mean():+.2f} ± {gaps.std(ddof=1):.2f}"
    assert "Nothing hidden" in shown.caption
    assert shown.rows[0][1] == "0.75"


def test_the_files_of_a_comparison(compared: dict[str, Path]) -> None:
    page = (compared["out"] / "comparison.md").read_text()
    assert page.startswith("# Two masks\n")
    assert "8 of 8 trainings" in page
    assert "Test scans: scan2, scan3." in page
    assert "`maesil compare two.yaml --scans train --tests test --example scan2.nii.gz --out out`" in page
    assert str(compared["out"]) not in page
    with (compared["out"] / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["view"], row["row"], row["seed"]) for row in rows} == {
        (view, row, seed) for view in ("steps", "time") for row in DESCRIPTION["methods"] for seed in "01"
    }
    latex = (compared["out"] / "comparison.tex").read_text()
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{table}") == 6
    assert r"75\%" in latex
    for picture in ("latent.png", "reconstructions.png"):
        assert (compared["out"] / picture).read_bytes().startswith(b"\x89PNG")


def test_a_description_is_written_whole_or_not_at_all(
    places: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("os.replace", full)
        with pytest.raises(OSError, match="full"):
            compare(CompareConfig.model_validate(DESCRIPTION), [places["train"]], [places["test"]], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_keeps_one_comparison(compared: dict[str, Path], tmp_path: Path) -> None:
    other = CompareConfig.model_validate(DESCRIPTION | {"steps": 4})
    with pytest.raises(ConfigError, match="holds another comparison, with other steps and baseline: choose"):
        compare(other, [compared["train"]], [compared["test"]], compared["out"], device="cpu")
    (tmp_path / "comparison.json").write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        compare(other, [compared["train"]], [compared["test"]], tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--scans", "nowhere", "--tests", "test"], "There is no file or folder"),
        (["--scans", "train", "--tests", "nowhere"], "There is no file or folder"),
        (
            ["--scans", "train", "--tests", "train"],
            "(scan0.nii.gz, scan1.nii.gz): give --tests of other subjects",
        ),
        (
            ["--scans", "train", "--tests", "test", "--hold-out", "s9*"],
            "The hold_out pattern 's9*' matches none",
        ),
        (
            ["--scans", "train", "--tests", "test", "--exclude", "s9*"],
            "The exclude pattern 's9*' matches none",
        ),
        (
            ["--scans", "train", "--tests", "test", "--steps", "0"],
            "steps: must be greater than or equal to 1",
        ),
    ],
)
def test_mistakes_are_found_before_the_first_training(
    options: list[str],
    complaint: str,
    places: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folders = {"train", "test", "nowhere"}
    words = [str(places["out"].parent / word) if word in folders else word for word in options]
    assert main(["compare", str(places["two.yaml"]), *words, "--out", str(tmp_path / "out")]) == 2
    assert complaint in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.rglob("*.*"))


def test_scans_that_are_held_out_may_be_scored(places: dict[str, Path]) -> None:
    """They are not trained on."""
    config = load_comparison(places["two.yaml"], hold_out=["scan1*"], exclude=["scan0*"])
    data = training_data(config, [places["train"]], [places["train"]])
    assert isinstance(data, Discovery)
    assert [scan.name for scan in data.scans] == ["scan0", "scan1"]


def test_options_replace_fields_of_a_comparison(places: dict[str, Path]) -> None:
    config = load_comparison(places["two.yaml"], steps=9, seeds=[5], hold_out=["s1*"], exclude=["s2*"])
    assert (config.steps, config.seeds, config.evaluation.exclude) == (9, (5,), ("s2*",))
    assert config.recipe("random", 5, 9).hold_out == ("s1*",)
    assert config.evaluation.controls == ("mean",)
    with pytest.raises(ConfigError, match="There is no comparison mri"):
        load_comparison("mri")


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"methods": {"a": {"method": "mesil"}}}, "The row a of the comparison: There is no method 'mesil'"),
        (
            {"methods": {"a": {"method": "maesil", "steps": 3}}},
            "a: steps is set by the comparison, leave it out",
        ),
        (
            {"methods": {"a": {"method": "maesil", "window": 3}}},
            "The row a of the comparison: The recipe does not",
        ),
        ({"reference": "b"}, "reference: there is no row 'b' among the methods"),
        ({"baseline": "b"}, "baseline: there is no row 'b' among the methods"),
        ({"seeds": [1, 1]}, "seeds: each must be given once"),
        ({"views": ["time"]}, "time needs the view steps"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(
    fields: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(DESCRIPTION | fields, sort_keys=False))
    with pytest.raises(ConfigError, match=complaint):
        load_comparison(tmp_path / "one.yaml")


def test_a_row_overrides_the_common_fields(places: dict[str, Path]) -> None:
    config = load_comparison(places["two.yaml"])
    recipe = config.recipe("random", 5, 7)
    assert (recipe.seed, recipe.steps, recipe.name, recipe.preset) == (5, 7, "random", "tiny")
    assert recipe.mask is not None
    assert recipe.mask.mode == "random"
    assert recipe.model == SIZES


def test_bundled_comparisons_fit() -> None:
    config = load_comparison("ct")
    assert {fields.get("method", row) for row, fields in config.methods.items()} == set(BUILT_IN)
    sizes = {
        row: create(config.methods[row].get("method", row), *_model_of(config, row)) for row in config.methods
    }
    latent = {row: method.abilities.latent_per_voxel for row, method in sizes.items()}
    assert latent["ae, latent of mae"] == latent["mae"] == 48 / 512


def _model_of(config: CompareConfig, row: str) -> tuple[dict[str, Any], str | None]:
    recipe = config.recipe(row, 0, 1)
    return recipe.model, recipe.preset


def test_latex_escapes_what_it_must() -> None:
    text = Table("75% of a_b", ("x", "y"), [("a & b", "1 ± 2")]).latex()
    assert r"75\% of a\_b" in text
    assert r"a \& b & 1 $\pm$ 2 \\" in text


@pytest.mark.slow
def test_a_method_without_voxels_is_compared_by_its_features(places: dict[str, Path], tmp_path: Path) -> None:
    common = {**COMMON, "hold_out": ["scan1*"]}
    fields = {"methods": {"jepa-vcr": {}}, "seeds": [0], "views": ["steps"], "common": common}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(DESCRIPTION | fields))
    config = load_comparison(tmp_path / "one.yaml")
    cells = compare(config, [places["train"]], [places["test"]], tmp_path / "out", device="cpu")
    (table,) = tables_of(config, cells)
    assert table.headings == ("Method", "Spread", "Effective rank", "Steps")
    ((name, spread, rank, steps),) = table.rows
    assert (name, steps) == ("jepa-vcr", "3")
    assert float(spread) > 0
    assert float(rank) >= 1


@pytest.mark.slow
def test_processes_share_a_folder(
    places: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell that another process holds is left out until that process lets it go; equal times wait for all steps."""
    monkeypatch.setattr("MAESILCore.compare.sharing._REST_SECONDS", 0)
    fields = {"methods": {"ae": {}, "mae": {}}, "seeds": [0], "steps": 2}
    config = CompareConfig.model_validate(DESCRIPTION | fields)
    said = list[str]()

    def say(done: int, total: int, message: str) -> None:
        said.append(f"{done} of {total}, {message}")
        if "another process" in message:
            other.release()

    first, *_ = cells_of(config, tmp_path)
    first.folder.mkdir(parents=True)
    other = JobFolder(first.folder).lock
    other.__enter__()
    cells = compare(config, [places["train"]], [places["test"]], tmp_path, device="cpu", progress=say)
    assert all(cell.is_done for cell in cells)
    waited = said.index("1 of 4, ae, seed 0, equal steps: another process works on it")
    before, after = "\n".join(said[:waited]), "\n".join(said[waited:])
    assert "mae, seed 0, equal steps: step 2 of 2" in before
    assert "ae, seed 0, equal steps: step" not in before.replace("mae", "")
    assert "time" not in before
    assert after.index("ae, seed 0, equal steps: step 2 of 2") < after.index("ae, seed 0, equal time")
    assert said.count("4 of 4, Compared.") == 1


def test_waiting_for_other_processes_can_be_stopped(places: dict[str, Path], tmp_path: Path) -> None:
    config = CompareConfig.model_validate(DESCRIPTION | {"seeds": [0], "views": ["steps"]})
    said, cells = list[str](), list(cells_of(config, tmp_path))
    with ExitStack() as others:
        for cell in cells:
            cell.folder.mkdir(parents=True)
            others.enter_context(JobFolder(cell.folder).lock)
        with pytest.raises(Cancelled):
            compare(
                config,
                [places["train"]],
                [places["test"]],
                tmp_path,
                progress=lambda _done, _total, message: said.append(message),
                cancelled=lambda: bool(said),
            )
    assert said == ["two stages, seed 0, equal steps: another process works on it"]


@pytest.mark.slow
def test_one_step_has_no_duration(places: dict[str, Path], tmp_path: Path) -> None:
    fields = {"methods": {"ae": {}}, "seeds": [0], "steps": 1}
    config = CompareConfig.model_validate(DESCRIPTION | fields)
    with pytest.raises(ConfigError, match="A single step does not tell how long a step takes"):
        compare(config, [places["train"]], [places["test"]], tmp_path / "out", device="cpu")
    (shown,) = tables_of(config, list(cells_of(config, tmp_path / "out")))
    assert shown.rows[0][-1] == "1"
