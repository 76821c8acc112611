"""The board of runs, with real processes: what it starts goes on without it, and is found by another one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.errors import ConfigError
from MAESILCore.jobfolder import Event, JobFolder, jobs_in
from MAESILCore.jobs.process import end_trees
from MAESILSlicerLib.session.board import Board

TINY: dict[str, Any] = {
    "model": {"superpatch_size": [16, 16, 16], "patch_size": [8, 8, 8], "residual_fill": False},
    "crop": {"size": [16, 16, 16]},
    "batch_size": 1,
    "preview_every": 0,
}


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    voxels = np.random.default_rng(1).normal(0, 300, (20, 24, 28)).astype(np.int16)
    write_volume(Volume(voxels, np.eye(4)), folder / "scan.nii.gz")
    return folder


@pytest.fixture(autouse=True)
def no_process_is_left(tmp_path: Path) -> Iterator[None]:
    """A test that fails ends what it started."""
    yield
    for job in jobs_in(tmp_path / "runs"):
        holder = job.lock.holder()
        if holder is not None:
            end_trees([holder.pid], at_once=True)


def until(board: Board, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, board.runs
        time.sleep(0.05)
        board.refresh()


@pytest.mark.process
def test_a_run_goes_on_without_the_board_that_started_it(
    scans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first, second = Board(), Board()
    seen: list[str] = []
    first.open(tmp_path / "runs")
    second.open(tmp_path / "runs")
    first.changed.connect(lambda _topics: seen.append(first.runs[0].state if first.runs else "none"), "runs")
    folder = first.start([scans], name="Lungs", preset="tiny", steps=100_000, device="cpu", overrides=TINY)
    assert seen == ["running"], "at once, before its process works"
    with pytest.raises(ConfigError, match="already running"):
        first.resume(folder)
    first.refresh()
    until(second, lambda: bool(second.runs) and second.runs[0].step >= 2)
    first.close()
    assert "go on in the background: 1" in caplog.text
    assert first.runs == []
    assert second.runs[0].state == "running"
    with pytest.raises(ConfigError, match="stop it before"):
        second.delete(folder)
    assert second.stop(folder)
    until(second, lambda: second.runs[0].state == "cancelled")
    assert second.modelOf(folder) is not None
    assert second.curves(folder).loss

    # Two presses in a row: the second one finds it running.
    second.resume(folder)
    with pytest.raises(ConfigError, match="already running"):
        second.resume(folder)
    assert second.stop(folder), "also while it is starting"
    until(second, lambda: second.runs[0].state == "cancelled")
    choices = second.duplicate(folder)
    assert (choices["name"], choices["preset"], choices["overrides"]) == ("Lungs", "tiny", TINY)
    second.delete(folder)
    assert second.runs == []
    assert not folder.exists()
    caplog.clear()
    second.close()
    assert "go on" not in caplog.text


def test_a_board_tells_only_what_changes(tmp_path: Path) -> None:
    board, seen = Board(), list[frozenset[str]]()
    board.changed.connect(seen.append, "runs")
    assert board.root is None
    assert board.refresh() == []
    with pytest.raises(ValueError, match="Open a folder"):
        board.start([tmp_path])
    board.open(tmp_path)
    seen.clear()
    board.refresh()
    assert seen == []
    job = JobFolder(tmp_path / "run")
    job.path.mkdir()
    job.describe("pretraining", {"name": "Lungs"})
    board.refresh()
    board.refresh()
    assert len(seen) == 1
    job.write(Event("step", step=1, total=2, fields={"loss": 0.5}))
    board.refresh()
    assert len(seen) == 2
    assert board.runs[0].loss == 0.5
