"""Statistics of a batch are those of all its samples, however these are shared among processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.training import Run, load_config, pretrain
from Testing.Core.training.test_sharing import events_of, train

#: Two shapes of crops, which all processes must crop alike; a large weight of the regularisation; and a momentum that
#: does not depend on the number of steps.
RECIPE = """
method: jepa-vcr
preset: tiny
model: {superpatch_size: [32, 32, 32], gamma: 2.0, variance_over: batch, regularise: both, momentum: [0.9, 0.9]}
crop: {size: [16, 16, 16], zoom_probability: 0.5}
mask: {mode: nested, vary_probability: 0.5}
hold_out: ["scan1*"]
steps: 8
warmup_steps: 2
batch_size: 5
checkpoint_every: 4
preview_every: 0
validate_every: 8
cooldown: 0
"""


@pytest.mark.process
def test_processes_have_the_statistics_of_one(tmp_path: Path) -> None:
    """Of 5 crops, 2 processes take 3 and 2, and hold all weights; then 3 take 2, 2 and 1, and share the weights."""
    scans = tmp_path / "scans"
    scans.mkdir()
    for number, depth in enumerate((20, 24, 8)):
        voxels = np.random.default_rng(number).normal(0, 300, (depth, 40, 40)).astype(np.int16)
        write_volume(Volume(voxels, np.eye(4)), scans / f"scan{number}.nii.gz")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)
    alone = tmp_path / "alone"
    pretrain(Run.create(alone), load_config(recipe), sorted(scans.iterdir()), device="cpu")
    train(scans, tmp_path, 2, "--steps", "4")
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("strategy: auto", "strategy: fsdp"))
    train(scans, tmp_path, 3, "--resume", "--steps", "8")
    mine, expected = (steps_of(run) for run in (tmp_path / "run", alone))
    for kind in ("loss", "gradient_norm"):  # AdamW would hide a wrong scale of the gradients
        assert mine[kind] == pytest.approx(expected[kind], rel=2e-5)


def steps_of(run: Path) -> dict[str, list[float]]:
    steps = [event for event in events_of(run) if event["event"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, 9))
    return {kind: [event[kind] for event in steps] for kind in ("loss", "gradient_norm")}
