"""`maesil pretrain` as a person meets it: a run, a stop, a resume, two processes, and mistakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from MAESILCore import Volume, cli, load_checkpoint, write_volume

RECIPE = """
preset: tiny
model: {superpatch_size: [32, 32, 32]}
crop: {size: [16, 24, 24]}
steps: 4
warmup_steps: 1
batch_size: 1
checkpoint_every: 2
"""


@pytest.fixture
def a_corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(2):
        voxels = np.random.default_rng(number).normal(0, 300, (20, 40, 40)).astype(np.int16)
        write_volume(Volume(voxels, np.eye(4)), folder / f"scan{number}.nii.gz")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return folder


def arguments(corpus: Path, *more: str) -> list[str]:
    return ["pretrain", str(corpus), "--out", str(corpus.parent / "run"), "--device", "cpu", *more]


def steps_of(corpus: Path) -> list[int]:
    lines = (corpus.parent / "run" / "events.jsonl").read_text().splitlines()
    return [event["step"] for event in map(json.loads, lines) if event["event"] == "step"]


def environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}


def test_a_run_ends_with_a_model_and_can_be_prolonged(
    a_corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = str(a_corpus.parent / "recipe.yaml")
    assert cli.main(arguments(a_corpus, "--recipe", recipe)) == 0
    assert "model.safetensors" in capfd.readouterr().out.replace("\n", "")
    assert cli.main(arguments(a_corpus, "--resume", "--steps", "6")) == 0
    assert steps_of(a_corpus) == [1, 2, 3, 4, 5, 6]
    assert load_checkpoint(a_corpus.parent / "run" / "model.safetensors").card.step == 6


def test_ctrl_c_keeps_a_checkpoint_and_a_resume_goes_on(a_corpus: Path) -> None:
    recipe = str(a_corpus.parent / "recipe.yaml")
    command = [sys.executable, "-m", "MAESILCore", *arguments(a_corpus, "--recipe", recipe)]
    process = subprocess.Popen([*command, "--steps", "100000"], env=environment(), stderr=subprocess.PIPE)
    events = a_corpus.parent / "run" / "events.jsonl"
    patience = time.monotonic() + 120
    while not (events.is_file() and '"step", "step": 3' in events.read_text()):
        assert process.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Stopped" in complaint
    assert b"Traceback" not in complaint
    done = steps_of(a_corpus)[-1]
    assert cli.main(arguments(a_corpus, "--resume", "--steps", str(done + 2))) == 0
    assert steps_of(a_corpus) == list(range(1, done + 3))


def test_two_processes_share_a_run(a_corpus: Path) -> None:
    recipe = str(a_corpus.parent / "recipe.yaml")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "MAESILCore"]
    command = [sys.executable, *launcher, *arguments(a_corpus, "--recipe", recipe)]
    finished = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    assert steps_of(a_corpus) == [1, 2, 3, 4]
    assert len(list((a_corpus.parent / "run" / "checkpoints").iterdir())) == 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--preset", "gigantic"], "no preset 'gigantic'"),
        (["--recipe", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["--resume"], "holds no run to resume"),
        (["--device", "abacus"], "no device 'abacus'"),
        (["--initial", "nowhere.safetensors"], "no checkpoint nowhere.safetensors"),
    ],
)
def test_a_mistake_gets_one_sentence_and_leaves_no_run(
    a_corpus: Path, capfd: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    assert cli.main(arguments(a_corpus, *more)) == 2
    assert words in capfd.readouterr().err
    assert not (a_corpus.parent / "run").exists()


def test_a_resumed_run_keeps_its_recipe(a_corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments(a_corpus, "--recipe", str(a_corpus.parent / "recipe.yaml"))) == 0
    assert cli.main(arguments(a_corpus, "--resume", "--seed", "5")) == 2
    assert "only --steps" in capfd.readouterr().err
