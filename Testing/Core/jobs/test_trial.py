"""The cost of a training is measured before its start, in a process of its own."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from MAESILCore import cli
from MAESILCore.errors import Cancelled, ConfigError
from MAESILCore.jobs.trial import TrainingEstimate, Trial
from MAESILCore.training import load_config
from MAESILCore.training.trial import estimate_training

TINY: dict[str, Any] = {
    "model": {"superpatch_size": [16, 16, 16], "patch_size": [8, 8, 8], "residual_fill": False},
    "crop": {"size": [16, 16, 16]},
    "batch_size": 1,
}


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def ended(trial: Trial) -> Trial:
    until = time.monotonic() + 120
    while not trial.poll():
        assert time.monotonic() < until
        time.sleep(0.05)
    return trial


def test_time_and_memory_are_measured_and_nothing_remains(tmp_path: Path) -> None:
    """And more memory for a larger model."""
    trial = ended(Trial(preset="tiny", device="cpu", overrides=TINY))
    assert trial.result is not None, trial.problem
    assert trial.result.seconds_per_step > 0
    # Python with PyTorch alone takes that much.
    assert 100e6 < trial.result.bytes < 8e9
    assert trial.result.device == "cpu"
    assert list(tmp_path.glob("maesil-*")) == []
    larger = ended(Trial(preset="small", device="cpu", overrides={**TINY, "model": {"residual_fill": False}}))
    assert larger.result is not None, larger.problem
    assert larger.result.bytes > trial.result.bytes + 100e6


def test_a_recipe_that_does_not_fit_is_told(tmp_path: Path) -> None:
    trial = ended(Trial(preset="gigantic", device="cpu"))
    assert trial.result is None
    assert "no preset 'gigantic'" in trial.problem
    assert list(tmp_path.glob("maesil-*")) == []
    with pytest.raises(ConfigError, match="no device"):
        Trial(device="abacus")


def test_a_trial_can_be_ended(tmp_path: Path) -> None:
    trial = Trial(preset="tiny", device="cpu", overrides=TINY)
    trial.close()
    assert trial.is_over
    assert list(tmp_path.glob("maesil-*")) == []
    config = load_config(None, {"preset": "tiny", **TINY})
    with pytest.raises(Cancelled):
        estimate_training(config, "cpu", lambda: True)
    assert list(tmp_path.glob("maesil-*")) == []


def test_the_cost_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cost = TrainingEstimate(0.5, 3 << 30, "cuda:0")
    assert cost.text(7200) == (
        "A step takes about 0.5 s on cuda:0, so 7,200 steps take about 60 min; 3.0 GiB of memory are needed."
    )
    (tmp_path / "scans").mkdir()
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "preset: tiny\nmodel: {superpatch_size: [16, 16, 16]}\ncrop: {size: [16, 16, 16]}\nsteps: 7\n"
    )
    out = tmp_path / "run"
    asked = [
        "pretrain",
        str(tmp_path / "scans"),
        "--out",
        str(out),
        "--recipe",
        str(recipe),
        "--device",
        "cpu",
    ]
    assert cli.main([*asked, "--estimate"]) == 0
    assert "7 steps take" in capfd.readouterr().out
    assert not out.exists()
