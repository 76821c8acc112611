"""A codebook is the same however the samples of a step are shared among processes and passes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.training import Run, load_config, pretrain
from Testing.commands import started

#: Codes that are often revived, of crops of several shapes.
RECIPE = """
method: vq-vae
preset: tiny
model: {superpatch_size: [16, 16, 16], patch_size: [4, 4, 4], revive_below: 0.5, decay: 0.9, codebook: KIND}
crop: {size: [16, 16, 16], zoom_probability: 0.5}
steps: 5
warmup_steps: 2
batch_size: 3
checkpoint_every: 5
preview_every: 0
validate_every: 5
cooldown: 0
"""


@pytest.mark.process
@pytest.mark.parametrize(("kind", "strategy"), [("average", "ddp"), ("gradient", "fsdp")])
def test_two_processes_keep_the_codebook_of_one(kind: str, strategy: str, tmp_path: Path) -> None:
    """Of 3 crops, one process has 2 and the other 1, so with sharding it makes a pass that must not count."""
    (tmp_path / "scans").mkdir()
    for number, depth in enumerate((20, 8)):
        voxels = np.random.default_rng(number).normal(0, 300, (depth, 24, 24)).astype(np.int16)
        write_volume(Volume(voxels, np.eye(4)), tmp_path / "scans" / f"scan{number}.nii.gz")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.replace("KIND", kind))
    scans, run, alone = tmp_path / "scans", tmp_path / "run", tmp_path / "alone"
    pretrain(Run.create(alone), load_config(recipe), sorted(scans.iterdir()), device="cpu")

    recipe.write_text(f"{recipe.read_text()}strategy: {strategy}\ncrops_per_pass: 1\n")
    command = ["pretrain", str(scans), "--out", str(run), "--device", "cpu", "--recipe", str(recipe)]
    with started(command, tmp_path, 2) as running:
        outcome = [one.wait(300) for one in running]
    assert [status for status, _ in outcome] == [0, 0], outcome

    curves = [
        [event["loss"] for event in map(json.loads, lines) if event["event"] == "step"]
        for lines in ((folder / "events.jsonl").read_text().splitlines() for folder in (run, alone))
    ]
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)
    mine, expected = (load_file(folder / "checkpoints/step-00000005.safetensors") for folder in (run, alone))
    assert mine.keys() == expected.keys()
    for name in (name for name in expected if "codebook" in name):
        torch.testing.assert_close(mine[name], expected[name], rtol=1e-3, atol=1e-4)
    assert expected["model.codebook.usage"].min() > 0  # every code was used or revived
