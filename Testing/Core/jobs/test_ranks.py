"""A background run in two processes: one lock, one last event, and another number of processes after a resume."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from MAESILCore import Volume, write_volume
from MAESILCore.errors import ConfigError
from MAESILCore.jobfolder import ENDS, JobFolder, jobs_in
from MAESILCore.jobs.pretraining import PretrainingRequest, prepare_pretraining
from MAESILCore.jobs.process import end_trees
from MAESILCore.jobs.runs import resume, stop, summary_of

TINY: dict[str, Any] = {
    "model": {"superpatch_size": [16, 16, 16], "patch_size": [8, 8, 8], "residual_fill": False},
    "crop": {"size": [16, 16, 16]},
    "batch_size": 3,
    "preview_every": 0,
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    scans = tmp_path / "scans"
    scans.mkdir()
    voxels = np.random.default_rng(1).normal(0, 300, (20, 24, 28)).astype(np.int16)
    write_volume(Volume(voxels, np.eye(4)), scans / "scan.nii.gz")
    choices = {"preset": "tiny", "steps": 100_000, "device": "cpu", "overrides": TINY}
    yield prepare_pretraining(tmp_path / "runs", [scans], processes=2, **choices)
    for job in jobs_in(tmp_path / "runs"):
        holder = job.lock.holder()
        if holder is not None:
            end_trees([holder.pid], at_once=True)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def step_of(folder: Path) -> int:
    summary = summary_of(folder)
    return 0 if summary is None else summary.step


def ends_of(folder: Path) -> list[str]:
    return [event.event for event in JobFolder(folder).events() if event.event in ENDS]


def below(folder: Path) -> list[psutil.Process]:
    """torchrun, and the processes that it has started."""
    holder = JobFolder(folder).lock.holder()
    return [] if holder is None else psutil.Process(holder.pid).children(recursive=True)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_two_processes_stop_together_and_one_goes_on(folder: Path) -> None:
    job = resume(folder)
    until(lambda: step_of(folder) >= 2)
    started = below(folder)
    assert {process.environ().get("RANK") for process in started} == {None, "0", "1"}, "torchrun and two"
    summary = summary_of(folder)
    assert summary is not None
    assert summary.state == "running"
    assert stop(folder)
    assert job.wait(120) == "cancelled", job.log
    job.close()
    assert ends_of(folder) == ["cancelled"]
    until(lambda: not any(map(is_alive, started)))
    stopped = step_of(folder)
    assert list((folder / "checkpoints").glob(f"step-{stopped:08d}*"))
    assert not (folder / ".relay").exists()
    assert "Stopped after step" in job.message

    job = resume(folder, steps=stopped + 2, processes=1)
    assert job.wait(120) == "finished", job.log
    job.close()
    assert step_of(folder) == stopped + 2
    assert PretrainingRequest.read(folder).processes == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_process_that_dies_ends_the_run_with_one_sentence(folder: Path) -> None:
    job = resume(folder)
    until(lambda: step_of(folder) >= 2)
    (last,) = [process for process in below(folder) if process.environ().get("RANK") == "1"]
    os.kill(last.pid, signal.SIGKILL)
    assert job.wait(120) == "failed", job.log
    job.close()
    assert ends_of(folder) == ["failed"]
    assert "process" in job.message
    assert JobFolder(folder).lock.holder() is None


def test_there_is_at_least_one_process(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        prepare_pretraining(tmp_path / "runs", [tmp_path], processes=0)
