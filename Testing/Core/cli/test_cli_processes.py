"""`maesil pretrain` in several processes: a death, a failure of one, signals of a scheduler, and a resume."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from MAESILCore import Volume, write_volume
from Testing.commands import Command, started, wait_until

RECIPE = """
preset: tiny
model: {superpatch_size: [32, 32, 32]}
crop: {size: [16, 16, 16]}
steps: 100000
warmup_steps: 1
batch_size: 3
checkpoint_every: 5
preview_every: 0
validate_every: 100000
cooldown: 0
"""

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals"),
]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(2):
        voxels = np.random.default_rng(number).normal(0, 300, (20, 40, 40)).astype(np.int16)
        write_volume(Volume(voxels, np.eye(4)), folder / f"scan{number}.nii.gz")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return folder


@contextmanager
def training(scans: Path, processes: int, *more: str) -> Iterator[list[Command]]:
    """The processes of a training, each started alone as a scheduler does; none outlives the block."""
    given = () if "--resume" in more else ("--recipe", str(scans.parent / "recipe.yaml"))
    command = ["pretrain", str(scans), "--out", str(scans.parent / "run"), "--device", "cpu"]
    with started([*command, *given, *more], scans.parent, processes) as running:
        yield running


def ended(running: list[Command]) -> list[tuple[int, str]]:
    """Exit status and messages of each."""
    return [command.wait(60) for command in running]


def events(scans: Path, kind: str) -> list[dict[str, object]]:
    path = scans.parent / "run" / "events.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def goes_on(scans: Path, processes: int) -> None:
    """Two more steps, with another number of processes."""
    done = max(int(str(event["step"])) for event in events(scans, "checkpoint"))
    with training(scans, processes, "--resume", "--steps", str(done + 2)) as running:
        assert [status for status, _ in ended(running)] == [0] * processes
    assert [event["step"] for event in events(scans, "finished")] == [done + 2]


def choose(strategy: str, scans: Path, recipe: str = RECIPE) -> None:
    (scans.parent / "recipe.yaml").write_text(f"{recipe}strategy: {strategy}\n")


@pytest.mark.parametrize(("killed", "strategy"), [(0, "ddp"), (1, "fsdp")])
def test_a_killed_process_ends_all_and_another_number_goes_on(
    killed: int, strategy: str, scans: Path
) -> None:
    choose(strategy, scans)
    with training(scans, 2) as running:
        wait_until(lambda: events(scans, "checkpoint"), running)
        running[killed].send(signal.SIGKILL)
        outcome = ended(running)
    assert outcome[killed][0] == -signal.SIGKILL
    status, said = outcome[1 - killed]
    assert status == 2
    assert "Another process of this training has ended" in said
    assert "Traceback" not in said
    if killed == 1:
        (failed,) = events(scans, "failed")
        assert "Another process of this training has ended" in str(failed["message"])
    goes_on(scans, 3 if killed else 1)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_scan_that_fails_in_one_process_ends_all(strategy: str, scans: Path) -> None:
    choose(strategy, scans, RECIPE.replace("batch_size: 3", "batch_size: 2") + "cache_gib: 0.00001\n")
    with training(scans, 2) as running:
        wait_until(lambda: events(scans, "step"), running)
        (scans / "scan0.nii.gz").unlink()
        outcome = ended(running)
    assert [status for status, _ in outcome] == [2, 2]
    own = ["scan0.nii.gz" in said and "has failed" not in said for _, said in outcome]
    told = [f"Process {1 - rank} of 2 has failed: " in said for rank, (_, said) in enumerate(outcome)]
    assert any(own)
    assert [one or other for one, other in zip(own, told, strict=True)] == [True, True]
    (failed,) = events(scans, "failed")
    assert "scan0.nii.gz" in str(failed["message"])
    last = events(scans, "step")[-1]["step"]
    assert events(scans, "checkpoint")[-1]["step"] == last


@pytest.mark.parametrize(
    ("processes", "number", "strategy"),
    [(1, signal.SIGUSR1, "ddp"), (1, signal.SIGTERM, "ddp"), (2, signal.SIGUSR1, "fsdp")],
)
def test_a_scheduler_gets_a_checkpoint_and_a_status_of_its_own(
    processes: int, number: signal.Signals, strategy: str, scans: Path
) -> None:
    choose(strategy, scans)
    with training(scans, processes) as running:
        wait_until(lambda: events(scans, "step"), running)
        running[-1].send(number)  # one of them is enough
        outcome = ended(running)
    assert [status for status, _ in outcome] == [75] * processes
    assert all("Stopped after step" in said for _, said in outcome)
    (cancelled,) = events(scans, "cancelled")
    assert events(scans, "checkpoint")[-1]["step"] == cancelled["step"] == events(scans, "step")[-1]["step"]
    goes_on(scans, 3 - processes)
