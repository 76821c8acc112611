"""`maesil pretrain --background`, `runs`, `watch`, `stop` and `resume` as a person meets them."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MAESILCore import Volume, cli, write_volume
from MAESILCore.cli.runs import _figures as figures_of
from MAESILCore.jobfolder import Event, JobFolder, jobs_in
from MAESILCore.jobs.process import end_trees
from MAESILCore.jobs.runs import resume, stop, summary_of
from Testing.runfolders import add_run

RECIPE = """
preset: tiny
model: {superpatch_size: [16, 16, 16], residual_fill: false}
crop: {size: [16, 16, 16]}
warmup_steps: 1
batch_size: 1
checkpoint_every: 50
preview_every: 0
"""


@pytest.fixture
def some_scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    voxels = np.random.default_rng(1).normal(0, 300, (20, 24, 28)).astype(np.int16)
    write_volume(Volume(voxels, np.eye(4)), folder / "scan.nii.gz")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return folder


@pytest.fixture(autouse=True)
def no_process_is_left(tmp_path: Path) -> Iterator[None]:
    """A test that fails ends what it started."""
    yield
    for job in jobs_in(tmp_path / "runs"):
        holder = job.lock.holder()
        if holder is not None:
            end_trees([holder.pid], at_once=True)


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")


def started(scans: Path, steps: int) -> Path:
    """A run in the background."""
    run = scans.parent / "runs" / "first"
    recipe = str(scans.parent / "recipe.yaml")
    more = ["--recipe", recipe, "--steps", str(steps), "--device", "cpu", "--background"]
    assert cli.main(["pretrain", str(scans), "--out", str(run), *more]) == 0
    return run


def listed(folder: Path, capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capfd.readouterr()
    assert cli.main(["runs", str(folder), "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capfd.readouterr().out)
    return found


def wait_for_step(run: Path, step: int) -> None:
    until = time.monotonic() + 120
    while (summary := summary_of(run)) is None or summary.step < step:
        assert time.monotonic() < until
        time.sleep(0.05)


def wait_for_text(run: Path, log: Path, text: str) -> None:
    """Write the event again until the watcher, which skips what was before it, has printed it."""
    until = time.monotonic() + 60
    while text not in log.read_text(encoding="utf-8"):
        assert time.monotonic() < until
        JobFolder(run).write(Event("log", text))
        time.sleep(0.3)


@pytest.mark.process
def test_a_run_in_the_background_is_listed_stopped_and_resumed(
    some_scans: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started(some_scans, 100_000)
    assert "Started in the background" in capfd.readouterr().out
    (row,) = listed(run.parent, capfd)
    assert (row["state"], row["folder"], row["preset"]) == ("running", str(run), "tiny")
    assert cli.main(["resume", str(run), "--background"]) == 2
    assert "already running" in capfd.readouterr().err
    assert cli.main(["resume", str(run)]) == 2
    assert "is already working in" in capfd.readouterr().err
    wait_for_step(run, 2)

    assert cli.main(["stop", str(run)]) == 0
    assert "Stopped after step" in capfd.readouterr().out
    assert cli.main(["stop", str(run)]) == 0
    assert "nothing to stop" in capfd.readouterr().out
    (row,) = listed(run.parent, capfd)
    assert row["state"] == "cancelled"
    assert cli.main(["watch", str(run)]) == 3
    assert "cancelled: Stopped after step" in capfd.readouterr().out

    # Its name is enough in the default folder; the shell and the background are the same run.
    monkeypatch.setenv("MAESIL_RUNS", str(run.parent))
    assert cli.main(["resume", "first", "--steps", str(row["step"] + 2)]) == 0
    (row,) = listed(run.parent, capfd)
    assert row["state"] == "finished"
    assert cli.main(["resume", "first", "--background", "--steps", str(row["step"] + 2)]) == 0
    assert cli.main(["watch", "first"]) == 0
    assert f"{row['step'] + 2}/{row['step'] + 2}" in capfd.readouterr().out
    assert cli.main(["runs"]) == 0
    table = capfd.readouterr().out
    assert "finished" in table
    assert "maesil tiny" in table


@pytest.mark.process
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT that one process sends another")
def test_ctrl_c_ends_the_watching_and_not_the_run(some_scans: Path) -> None:
    run = started(some_scans, 100_000)
    root = str(Path(__file__).resolve().parents[3])
    command = [sys.executable, "-m", "MAESILCore", "watch", str(run)]
    log = some_scans.parent / "watched.txt"
    with open(log, "wb") as out:
        watching = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": root}, stdout=out)
    try:
        wait_for_text(run, log, "Somebody watches.")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 130
    finally:
        watching.kill()
        watching.wait()
    assert "The run goes on" in log.read_text(encoding="utf-8")
    summary = summary_of(run)
    assert summary is not None
    assert summary.state == "running"
    assert stop(run)
    assert cli.main(["watch", str(run)]) == 3


@pytest.mark.process
def test_a_failed_run_gives_its_sentence_and_a_status(
    some_scans: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = started(some_scans, 5)
    assert cli.main(["watch", str(run)]) == 0
    (some_scans / "scan.nii.gz").rename(some_scans / "other.nii.gz")
    job = resume(run, steps=6)
    assert job.wait(120) == "failed"
    job.close()
    capfd.readouterr()
    assert cli.main(["watch", str(run)]) == 1
    assert "failed: " in capfd.readouterr().out


def test_a_run_of_an_older_version_needs_its_scans_once(
    some_scans: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = some_scans.parent / "old"
    recipe = str(some_scans.parent / "recipe.yaml")
    begin = ["pretrain", str(some_scans), "--out", str(run), "--recipe", recipe, "--device", "cpu"]
    assert cli.main([*begin, "--steps", "2"]) == 0
    JobFolder(run).describe("pretraining", {})
    assert cli.main(["resume", str(run), "--steps", "3"]) == 2
    assert "The run old does not know its scans" in capfd.readouterr().err
    assert cli.main(["resume", str(run), str(some_scans), "--steps", "3", "--device", "cpu"]) == 0
    assert cli.main(["resume", str(run), "--steps", "4"]) == 0
    assert [event.step for event in JobFolder(run).events() if event.event == "step"] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["watch", "nowhere"], "nowhere holds no run"),
        (["stop", "nowhere"], "nowhere holds no run"),
        (["resume", "nowhere"], "nowhere holds no run"),
        (["runs", "nowhere"], "nowhere is not a folder"),
        (["resume", "nowhere", "--processes", "2"], "--processes needs --background"),
    ],
)
def test_a_place_without_a_run_is_told(
    command: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(command) == 2
    assert words in capfd.readouterr().err


def test_a_folder_without_runs_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs", str(tmp_path)]) == 0
    assert "There are no runs" in capfd.readouterr().out
    assert listed(tmp_path, capfd) == []


def test_what_a_run_does_before_its_first_step_is_shown(tmp_path: Path) -> None:
    job = JobFolder(tmp_path / "runs" / "run")
    job.path.mkdir(parents=True)
    job.describe("pretraining", {})
    job.write(Event("progress", "reading scan 3 of 47 [thorax]", total=9))
    with job.lock:
        summary = summary_of(job.path)
        assert summary is not None
        assert figures_of(summary) == "reading scan 3 of 47 \\[thorax]"
        job.write(Event("step", step=1, total=9, fields={"loss": 0.5, "superpatches_per_second": 2.0}))
        summary = summary_of(job.path)
        assert summary is not None
        assert figures_of(summary) == "loss 0.50000  2.00 superpatches/s"


def test_a_run_that_is_only_prepared_cannot_be_watched(
    some_scans: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = JobFolder(some_scans.parent / "prepared")
    run.path.mkdir()
    run.describe("pretraining", {"scans": [str(some_scans)], "name": "later"})
    assert cli.main(["watch", str(run.path)]) == 2
    assert "has not been started" in capfd.readouterr().err
    run.write(Event("step", step=3, total=9, fields={"loss": 0.5}))
    assert cli.main(["watch", str(run.path)]) == 1
    assert "interrupted" in capfd.readouterr().out


def test_a_full_disk_is_told_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def cancel(_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / ".maesil-abc"))

    folder = add_run(tmp_path, "run", steps=1)
    monkeypatch.setattr(JobFolder, "cancel", cancel)
    with JobFolder(folder).lock:
        assert cli.main(["stop", str(folder)]) == 2
    assert capfd.readouterr().err == "Error: The disk is full; free some space, then try again.\n"
