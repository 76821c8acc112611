"""What both faces say of runs, without a face."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from runfolders import add_run, at_work

from MAESILSlicerLib.session import runwords


def test_a_name_is_free_among_those_of_all_runs() -> None:
    assert runwords.freeName("maesil", "tiny", []) == "maesil-tiny"
    assert runwords.freeName("mae", "", ["mae", "mae-3"]) == "mae-2"


def test_a_long_curve_keeps_its_ends_and_its_mean() -> None:
    points = [(step, float(step % 2)) for step in range(1, 10_001)]
    thin = runwords.thinned(points, 100)
    assert len(thin) <= 100
    assert thin[-1] == points[-1]
    assert all(value == pytest.approx(0.5, abs=0.01) for _, value in thin[:-1])
    assert runwords.thinned(points[:100], 100) == points[:100]


def test_a_run_that_is_to_end_does_not_copy_the_rate_of_an_endless_one() -> None:
    copied = {"cooldown": 0.0, "batch_size": 3, "hold_out": ["old"]}
    assert runwords.overridesOf(" s1* ;; s2 ", False, copied) == {"batch_size": 3, "hold_out": ["s1*", "s2"]}
    assert runwords.overridesOf("", True, {"cooldown": 0.3}) == {"cooldown": 0.0}
    assert runwords.overridesOf("", False, {"cooldown": 0.3}) == {"cooldown": 0.3}


def test_the_end_of_a_run_is_told_once_and_only_of_a_run_that_was_seen_running(tmp_path: Path) -> None:
    from MAESILCore.jobs.runs import RunsFolder

    folder, endings = RunsFolder(tmp_path / "runs"), runwords.Endings()
    add_run(tmp_path / "runs", "earlier", steps=3, end="finished")
    night = add_run(tmp_path / "runs", "night", steps=3)
    with at_work(night):
        assert endings.of(folder.refresh()) is None
    told, failed = endings.of(folder.refresh()) or ("", False)
    assert told == "The run night broke off; it can be resumed from its newest checkpoint."
    assert failed
    assert endings.of(folder.refresh()) is None


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (None, ""),
        (("psnr_hidden", 21.26), "21.3 dB"),
        (("psnr_full", 30.0), "30.0 dB, all"),
        (("feature_rank", 19.345), "rank 19.3"),
    ],
)
def test_a_run_shows_the_score_that_its_method_has(
    tmp_path: Path, score: tuple[str, float] | None, text: str
) -> None:
    from MAESILCore.jobs.runs import RunsFolder

    add_run(tmp_path / "runs", "night", steps=3)
    (run,) = RunsFolder(tmp_path / "runs").refresh()
    assert runwords.rowOf(replace(run, score=score)).psnr == text


def test_a_run_that_learns_is_named_after_its_structures() -> None:
    assert runwords.nameOfStructures(["Liver", "Spleen", "Liver"], []) == "Liver, Spleen"
    assert runwords.nameOfStructures(["Liver"], ["Liver"]) == "Liver-2"
    assert runwords.nameOfStructures([f"structure {n}" for n in range(9)], []) == "segmentation"
    assert runwords.nameOfStructures([], []) == "segmentation"
