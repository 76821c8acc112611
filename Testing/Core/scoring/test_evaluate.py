"""Evaluations with models whose quality is known, on scans made for the purpose."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MAESILCore.cli import main
from MAESILCore.data.volume import Volume, read_volume, write_volume
from MAESILCore.data.window import LUNG_TO_BONE, Window
from MAESILCore.errors import Cancelled, ConfigError, VolumeError
from MAESILCore.inference import walk
from MAESILCore.lattice import MaskStrategy
from MAESILCore.methods import create
from MAESILCore.methods.abilities import UNDECLARED, Abilities
from MAESILCore.models.card import Card
from MAESILCore.models.checkpoint import LoadedModel
from MAESILCore.scoring.controls import CONTROLS
from MAESILCore.scoring.evaluate import evaluate, format_table, run, table_rows, write_results
from MAESILCore.scoring.evaluate.summary import spread
from MAESILCore.scoring.metrics import HIGHEST_PSNR, SCORES

torch.set_num_threads(1)

MATRIX = np.diag([-2.0, -2.0, 3.0, 1.0])
#: The scores that a closing note or a model card quotes.
QUOTED = (
    "psnr_hidden",
    "ssim_hidden",
    "psnr_hidden_body",
    "ssim_hidden_body",
    "psnr_full",
    "ssim_full",
    "psnr_unmasked",
    "ssim_unmasked",
    "psnr_hidden_pooled",
    "mae_hu_hidden_body",
    "bias_hu_hidden_body",
    "blockiness",
    "blockiness_original",
    "blockiness_ratio",
)


@dataclass
class FakeModel:
    """A model that follows a plain function of what it is shown, hidden patches included."""

    answer: Callable[[torch.Tensor], torch.Tensor] = torch.clone
    name: str = "fake"
    superpatch_size: tuple[int, int, int] = (16, 16, 16)
    patch_size: tuple[int, int, int] = (4, 4, 4)
    window: Window = LUNG_TO_BONE
    abilities: Abilities = UNDECLARED

    def reconstruct(self, superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        return self.answer(superpatches)


@pytest.fixture(scope="module", autouse=True)
def nothing_is_blanked() -> Iterator[None]:
    """Scores are known for models that see the answer, which a reconstruction hides from them."""

    seen = walk._seen
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            walk,
            "_seen",
            lambda voxels, grid, step, prepare: seen(voxels, grid, walk.Step(step.box), prepare),
        )
        yield


def scan_voxels(seed: int = 0, shape: tuple[int, int, int] = (12, 20, 18)) -> np.ndarray:
    """A block of textured tissue in air, in HU."""
    rng = np.random.default_rng(seed)
    hu = np.full(shape, -1000, dtype=np.int16)
    hu[:, 3:-3, 3:-3] = rng.integers(-60, 120, (shape[0], shape[1] - 6, shape[2] - 6))
    return hu


def write(folder: Path, name: str, voxels: np.ndarray) -> Path:
    write_volume(Volume(voxels, MATRIX), folder / name)
    return folder / name


@pytest.fixture
def a_folder(tmp_path: Path) -> Path:
    """Two scans."""
    write(tmp_path, "first.nii.gz", scan_voxels(1))
    write(tmp_path, "second.nrrd", scan_voxels(2))
    return tmp_path


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a perfect model on two scans, with a coverage."""
    folder = tmp_path_factory.mktemp("scans")
    write(folder, "first.nii.gz", scan_voxels(1))
    write(folder, "second.nrrd", scan_voxels(2))
    return evaluate([folder], FakeModel(), coverage=2, device="cpu", command="maesil evaluate scans")


def test_the_results_survive_json_and_hold_every_score(results: dict[str, Any]) -> None:
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    assert [case["name"] for case in results["cases"]] == ["first", "second"]
    assert set(QUOTED) <= set(SCORES)
    for case in results["cases"]:
        assert case["shape_kji"] == [12, 20, 18]
        assert case["spacing_mm_ijk"] == [2.0, 2.0, 3.0]
        assert set(case["controls"]) == set(CONTROLS) >= {"mean", "nearest", "harmonic"}
        for scores in [case["model"], *case["controls"].values()]:
            assert set(scores) == {*SCORES, "soft_tissue"}
            assert set(scores["soft_tissue"]) == set(SCORES)
    for summary in [results["summary"]["model"], *results["summary"]["controls"].values()]:
        assert set(summary) == {*SCORES, "soft_tissue"}
        assert {"mean", "sd"} <= set(summary["psnr_hidden"])


def test_a_perfect_model_beats_every_control(results: dict[str, Any]) -> None:
    for case in results["cases"]:
        assert case["model"]["psnr_hidden"] == pytest.approx(HIGHEST_PSNR)
        assert case["model"]["ssim_hidden"] == pytest.approx(1.0)
        for control in case["controls"].values():
            assert control["psnr_hidden"] < 40.0
            assert control["ssim_hidden"] < 0.9
            assert control["psnr_unmasked"] is None
    gain = results["summary"]["gain_over_best_control"]
    assert gain["psnr_hidden"]["lowest"] > 60.0
    assert gain["soft_tissue"]["ssim_hidden"]["mean"] > 0.1


def test_the_gain_is_taken_over_the_best_control_of_each_case(results: dict[str, Any]) -> None:
    expected = [
        case["model"]["psnr_hidden"] - max(scores["psnr_hidden"] for scores in case["controls"].values())
        for case in results["cases"]
    ]
    gain = results["summary"]["gain_over_best_control"]["psnr_hidden"]
    assert gain["mean"] == pytest.approx(np.mean(expected))
    assert gain["sd"] == pytest.approx(np.std(expected, ddof=1))
    for name, over in results["summary"]["gain_over"].items():
        control = np.mean([case["controls"][name]["psnr_hidden"] for case in results["cases"]])
        assert over["psnr_hidden"]["mean"] == pytest.approx(HIGHEST_PSNR - control)


def test_a_coverage_is_scored_apart_from_the_single_mask(results: dict[str, Any]) -> None:
    coverage = results["cases"][0]["coverage"]
    assert coverage["masks"] >= 2
    assert coverage["psnr"] == pytest.approx(HIGHEST_PSNR)
    assert not {"psnr_hidden", "psnr_full", "psnr_unmasked"} & set(coverage)
    assert "coverage" not in results["cases"][0]["model"]


def test_the_setup_says_how_to_make_it_again_and_names_no_path(
    results: dict[str, Any], a_folder: Path
) -> None:
    setup = results["setup"]
    assert setup["mask"]["mode"] == "nested"
    assert setup["mask"]["hidden_share"] == 0.75
    assert (setup["seed"], setup["model"], setup["window_hu"]) == (0, "fake", [-1000.0, 1000.0])
    assert set(setup["versions"]) >= {"maesil", "torch", "numpy"}
    assert "LPIPS" in setup["lpips_note"]
    assert str(a_folder.parent) not in json.dumps(results)


def test_a_model_that_is_wrong_by_a_known_amount_gets_that_score(a_folder: Path) -> None:
    brighter = FakeModel(lambda shown: shown + 0.01)
    scores = evaluate([a_folder], brighter, controls=("mean",), device="cpu")["cases"][0]["model"]
    assert scores["psnr_hidden"] == pytest.approx(40.0, abs=0.01)
    assert scores["psnr_unmasked"] == pytest.approx(40.0, abs=0.01)
    assert scores["psnr_full"] == pytest.approx(40.0 + 10 * np.log10(4 / 3), abs=0.15)
    assert scores["mae_hu_hidden_body"] == pytest.approx(20.0, abs=0.05)
    assert scores["bias_hu_hidden_body"] == pytest.approx(20.0, abs=0.05)
    assert scores["soft_tissue"]["mae_hu_hidden_body"] == pytest.approx(20.0, abs=0.05)


def test_a_model_that_copies_what_it_sees_has_no_unmasked_score(a_folder: Path) -> None:
    model = FakeModel(lambda shown: shown, abilities=Abilities(True, True, (), keeps_visible=True))
    case = evaluate([a_folder], model, controls=("mean",), device="cpu")["cases"][0]
    assert case["model"]["psnr_unmasked"] is None
    assert case["model"]["soft_tissue"]["ssim_unmasked"] is None
    assert any("visible voxels back as they are" in note for note in case["notes"])


def test_model_and_controls_fill_in_the_mask_that_the_seed_draws(a_folder: Path) -> None:
    strategy = MaskStrategy("random", ratio=0.5)
    one, again, other = (
        evaluate([a_folder], FakeModel(), strategy=strategy, seed=seed, controls=("nearest",), device="cpu")
        for seed in (1, 1, 2)
    )
    assert one["cases"] == again["cases"]
    assert one["cases"][0]["controls"] != other["cases"][0]["controls"]
    assert one["cases"][0]["hidden_fraction"] == pytest.approx(0.5, abs=0.05)
    assert one["cases"][0]["hidden_voxel_fraction"] == pytest.approx(0.5, abs=0.05)


def test_labels_repetitions_and_what_is_not_hu_are_left_out(a_folder: Path) -> None:
    first = scan_voxels(1)
    write(a_folder, "label.nii.gz", (first > -500).astype(np.uint8))
    write(a_folder, "raw.nii.gz", first + 1024)
    # The same scan on its head, in another format and as floating point numbers.
    write(a_folder, "turned.mha", np.ascontiguousarray(first[::-1, :, ::-1].astype(np.float32)))
    (a_folder / "broken.nii.gz").write_bytes((a_folder / "first.nii.gz").read_bytes()[:400])
    write(a_folder, "small_copy.nrrd", scan_voxels(3))
    found = evaluate([a_folder], FakeModel(), controls=(), exclude=["small_*"], device="cpu")
    assert [case["name"] for case in found["cases"]] == ["first", "second"]
    reasons = {entry["name"]: entry["reason"] for entry in found["left_out"]}
    assert set(reasons) == {"label.nii.gz", "raw.nii.gz", "turned.mha", "broken.nii.gz", "small_copy.nrrd"}
    assert "label map" in reasons["label.nii.gz"]
    assert "not HU" in reasons["raw.nii.gz"]
    assert reasons["turned.mha"] == "The same scan as first.nii.gz."
    assert reasons["small_copy.nrrd"] == "Excluded by small_*."
    assert "broken.nii.gz" in reasons["broken.nii.gz"]
    assert "gain_over_best_control" not in found["summary"]


def test_a_scan_is_evaluated_once_also_under_the_same_name_in_two_folders(tmp_path: Path) -> None:
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, "scan.nii.gz", scan_voxels(1))
    found = evaluate([tmp_path], FakeModel(), controls=(), device="cpu")
    assert [case["name"] for case in found["cases"]] == ["monday/scan"]
    assert found["left_out"] == [
        {"name": "tuesday/scan.nii.gz", "reason": "The same scan as monday/scan.nii.gz."}
    ]


def test_a_scan_whose_reader_fails_is_left_out_and_named(
    a_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (a_folder / "third").mkdir()
    write(a_folder / "third", "ct.nii.gz", scan_voxels(3))
    reading = read_volume

    def read_or_fail(path: Path) -> Volume:
        if path.name == "first.nii.gz":
            raise ValueError("w2 should be positive,\n but is -1e-5")
        if path.parent.name == "third":
            raise VolumeError("ct.nii.gz is damaged.")
        return reading(path)

    monkeypatch.setattr("MAESILCore.data.scans.read_volume", read_or_fail)
    found = evaluate([a_folder], FakeModel(), controls=(), device="cpu")
    assert [case["name"] for case in found["cases"]] == ["second"]
    assert found["left_out"] == [
        {
            "name": "first.nii.gz",
            "reason": "first.nii.gz: Reading failed unexpectedly (ValueError: w2 should be positive, but is -1e-5); "
            "please report this.",
        },
        {"name": "third/ct.nii.gz", "reason": "third/ct.nii.gz is damaged."},
    ]


def test_a_score_that_fails_leaves_out_one_scan(a_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scoring = run.evaluate_case

    def score_or_fail(volume: Volume, *others: Any) -> dict[str, Any]:  # noqa: ANN401
        if volume.name == "first":
            raise ZeroDivisionError("division by zero")
        return scoring(volume, *others)

    monkeypatch.setattr(run, "evaluate_case", score_or_fail)
    found = evaluate([a_folder], FakeModel(), controls=(), device="cpu")
    assert [case["name"] for case in found["cases"]] == ["second"]
    (left,) = found["left_out"]
    assert left["name"] == "first.nii.gz"
    assert left["reason"].startswith("first.nii.gz: Scoring failed unexpectedly (ZeroDivisionError")
    (a_folder / "second.nrrd").unlink()
    with pytest.raises(VolumeError, match=r"left out: first.nii.gz: Scoring failed") as raised:
        evaluate([a_folder], FakeModel(), controls=(), device="cpu")
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("pattern", ["third*", "first.nii", "tests/*"])
def test_a_pattern_that_matches_no_scan_is_refused(
    pattern: str, a_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"exclude pattern .* matches none of the 2 scans"):
        evaluate([a_folder], FakeModel(), exclude=["first*", pattern], device="cpu")
    scores = tmp_path / "scores.json"
    assert main(["evaluate", str(a_folder), "--json", str(scores), "--exclude", pattern]) == 2
    assert f"The exclude pattern {pattern!r} matches none" in capsys.readouterr().err
    assert not scores.exists()


def test_scans_that_are_not_in_hu_can_be_included(tmp_path: Path) -> None:
    write(tmp_path, "raw.nii.gz", scan_voxels(1) + 1024)
    with pytest.raises(VolumeError, match=r"was left out: raw.nii.gz: The values .* are not HU"):
        evaluate([tmp_path], FakeModel(), device="cpu")
    found = evaluate([tmp_path], FakeModel(), controls=("mean",), include_not_hu=True, device="cpu")
    assert any("not HU" in note for note in found["cases"][0]["notes"])


def test_the_real_test_scans_are_told_apart(scans: Path) -> None:
    paths = [
        scans / "test" / name
        for name in ("STS_042_CT.nii.gz", "STS_042_CT_gtv.nii.gz", "STS_042_dicom", "CTHeadAxial.nhdr")
    ]
    model = FakeModel(superpatch_size=(128, 128, 128), patch_size=(8, 8, 8))
    found = evaluate(paths, model, controls=("mean", "nearest"), device="cpu")
    assert [case["name"] for case in found["cases"]] == ["STS_042_CT"]
    assert len(found["left_out"]) == 3
    controls = found["cases"][0]["controls"]
    assert 10 < controls["mean"]["psnr_hidden"] < controls["nearest"]["psnr_hidden"] < 30


def test_progress_reaches_its_total(a_folder: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    evaluate(
        [a_folder], FakeModel(), controls=("mean",), device="cpu", progress=lambda *state: seen.append(state)
    )
    done = [state[0] for state in seen]
    assert done == sorted(done)
    assert seen[-1][:2] == (4, 4)
    assert any("first" in state[2] for state in seen)


@pytest.mark.parametrize("after", [0, 3, 8])
def test_an_evaluation_can_be_stopped_at_any_time(a_folder: Path, after: int) -> None:
    asked = iter(range(1000))
    with pytest.raises(Cancelled):
        evaluate([a_folder], FakeModel(), device="cpu", cancelled=lambda: next(asked) >= after)


def test_an_unknown_control_is_refused_before_the_work_begins(a_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"'median'.*harmonic"):
        evaluate([a_folder], FakeModel(), controls=("median",), device="cpu")


def test_a_coverage_below_0_is_refused_before_any_work(a_folder: Path) -> None:
    def fail(shown: torch.Tensor) -> torch.Tensor:
        pytest.fail("work was begun")

    with pytest.raises(ConfigError, match="coverage must be 0"):
        evaluate([a_folder], FakeModel(fail), coverage=-1, device="cpu")


def test_a_spread_passes_over_what_is_not_defined() -> None:
    assert spread([1.0, None, 3.0]) == {"mean": 2.0, "sd": pytest.approx(np.sqrt(2.0)), "lowest": 1.0, "n": 2}
    assert spread([5.0]) == {"mean": 5.0, "sd": None, "lowest": 5.0, "n": 1}
    assert spread([None]) == {"mean": None, "sd": None, "lowest": None, "n": 0}


def test_the_table_puts_the_model_first_and_controls_by_their_quality(results: dict[str, Any]) -> None:
    headings, rows = table_rows(results)
    assert rows[0][0] == "fake"
    psnr = [float(row[1].split(" ± ")[0]) for row in rows]
    assert psnr == sorted(psnr, reverse=True)
    assert {row[0] for row in rows[1:]} == set(CONTROLS)
    assert len(headings) == len(rows[0])


def test_the_markdown_table_shows_the_numbers_of_the_summary(results: dict[str, Any]) -> None:
    text = format_table(results)
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) == 2
    widths = {line.count("|") for table in tables for line in table.splitlines()}
    assert len(widths) == 1
    gain = results["summary"]["gain_over_best_control"]
    for score in (gain["psnr_hidden_body"], gain["soft_tissue"]["psnr_hidden_body"]):
        assert f"{score['mean']:+.2f} ± {score['sd']:.2f} dB PSNR on hidden voxels inside the body" in text
    nearest = results["summary"]["controls"]["nearest"]
    for table, scores in zip(tables, (nearest, nearest["soft_tissue"]), strict=True):
        cell = f"| nearest | {scores['psnr_hidden']['mean']:.2f} ± {scores['psnr_hidden']['sd']:.2f} |"
        assert cell in table
    assert "75% of the patches" in text
    assert "`maesil evaluate scans`" in text
    assert "Coverage of" in text
    grids = [
        results["summary"]["coverage"]["blockiness_ratio"],
        nearest["blockiness_ratio"],
        nearest["seams_ratio"],
    ]
    cells = [f"{one['mean']:.2f} ± {one['sd']:.2f}" for one in grids]
    assert f"Blockiness ratio {cells[0]}." in text
    assert f"| {cells[1]} | {cells[2]} |" in tables[0]


def test_the_latent_size_stands_beside_the_unmasked_score(results: dict[str, Any]) -> None:
    def column(**latent: float) -> list[str]:
        headings, rows = table_rows({**results, "setup": {**results["setup"], **latent}})
        place = headings.index("Latent values per voxel")
        assert headings[place - 1] == "PSNR unmasked (dB)"
        return [row[place] for row in rows]

    controls = ["-"] * len(CONTROLS)
    assert column() == ["-", *controls]
    assert column(latent_per_voxel=8 / 512) == ["0.0156", *controls]
    assert column(latent_bits_per_voxel=10 / 512) == ["0.0195 bits", *controls]


def test_results_are_written_whole_or_not_at_all(results: dict[str, Any], tmp_path: Path) -> None:
    target = tmp_path / "new" / "scores.json"
    write_results(results, target)
    assert json.loads(target.read_text()) == results
    assert [path.name for path in target.parent.iterdir()] == ["scores.json"]
    (tmp_path / "file").write_text("")
    with pytest.raises(VolumeError, match="cannot be written"):
        write_results(results, tmp_path / "file" / "scores.json")


@pytest.fixture
def a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every checkpoint is a small untrained model."""
    config = {"superpatch_size": [16, 16, 16], "patch_size": [4, 4, 4]}
    method = create("maesil", config, "tiny").eval()
    card = Card(name="untrained", method="maesil", config=config, window=(-1000.0, 1000.0), mask={}, step=0)
    monkeypatch.setattr(
        "MAESILCore.models.checkpoint.load_checkpoint", lambda path: LoadedModel(method, card)
    )


def test_the_command_writes_scores_and_table(
    a_folder: Path, a_model: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, table = tmp_path / "scores.json", tmp_path / "table.md"
    arguments = ["evaluate", str(a_folder), "--json", str(scores), "--table", str(table), "--device", "cpu"]
    assert main([*arguments, "--mode", "random", "--ratio", "0.5", "--exclude", "second*"]) == 0
    written = json.loads(scores.read_text())
    assert written["setup"]["mask"]["mode"] == "random"
    command = (
        f"maesil evaluate {a_folder.name} --mode random --ratio 0.5 --exclude 'second*' --json scores.json"
    )
    assert written["setup"]["command"] == command
    assert table.read_text() == format_table(written)
    shown = capsys.readouterr().out
    assert "1 scan, window [-1000, 1000] HU" in shown
    assert "untrained" in shown
    assert "biharmonic" in shown
    assert "second.nrrd" in shown


def test_an_option_without_effect_is_refused(
    a_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", str(a_folder), "--json", str(tmp_path / "scores.json")]
    assert main([*arguments, "--ratio", "0.5"]) == 2
    assert "--ratio has no effect in mode nested" in capsys.readouterr().err
    assert not (tmp_path / "scores.json").exists()
