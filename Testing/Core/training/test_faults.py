"""What goes wrong during a training ends it with one sentence, and no finished work is lost."""

from __future__ import annotations

import errno
import itertools
import json
import os
import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
import torch

from MAESILCore.errors import CheckpointError, ConfigError, VolumeError
from MAESILCore.jobfolder import Event, lock, rows
from MAESILCore.methods.base import Losses
from MAESILCore.methods.maesil import Maesil
from MAESILCore.models import sealed
from MAESILCore.models.checkpoint import load_tensors
from MAESILCore.training import PretrainConfig, Run, pretrain
from MAESILCore.training.trainer import MOST_SKIPPED

Recipe = Callable[..., PretrainConfig]


def train(run: Run, config: PretrainConfig, scans: list[Path], **options: Any) -> Path:  # noqa: ANN401
    return pretrain(run, config, scans, device="cpu", **options)


def again(run: Run, scans: list[Path], **options: Any) -> Run:  # noqa: ANN401
    """Resume a run to its end."""
    resumed = Run.open(run.folder)
    train(resumed, resumed.config(), scans, **options)
    return resumed


def have_same_weights(one: Run, other: Run) -> bool:
    first, second = (load_tensors(run.checkpoints.paths()[-1], "") for run in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def whole(small_scans: list[Path], small_recipe: Recipe, tmp_path: Path) -> Run:
    """An undisturbed run."""
    run = Run.create(tmp_path / "whole")
    train(run, small_recipe(), small_scans)
    return run


class FullDisk:
    """A file on a disk with room for some bytes."""

    def __init__(self, file: IO[bytes], room: int) -> None:
        self._file, self._room = file, room

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, content: bytes) -> int:
        if len(content) > self._room:
            self._file.write(content[: self._room])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._room -= len(content)
        return self._file.write(content)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._file, name)


@pytest.mark.parametrize("room", [0, 1000, 300_000])
def test_a_disk_that_gets_full_leaves_a_run_that_goes_on(
    small_scans: list[Path],
    small_recipe: Recipe,
    whole: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    room: int,
) -> None:
    run = Run.create(tmp_path / "run")

    def opened(path: Path, mode: str) -> object:
        file = open(path, mode)  # noqa: SIM115 - as `open`
        return FullDisk(file, room) if path.name == "step-00000004.safetensors" else file

    monkeypatch.setattr(sealed, "open", opened, raising=False)
    with pytest.raises(CheckpointError, match=r"step-00000004.*the disk is full; free some space"):
        train(run, small_recipe(), small_scans)
    last = run.job.last_event()
    assert last is not None
    assert (last.event, getattr(last.message, "code", "")) == ("failed", "job.folder-disk-full")
    assert [path.name for path in run.checkpoints.paths()] == [
        "step-00000002.safetensors",
        "step-00000003.safetensors",
    ]
    assert not list(run.folder.rglob(".maesil-*"))
    monkeypatch.undo()
    assert have_same_weights(again(run, small_scans), whole)


def test_events_that_cannot_be_written_end_the_run_and_stay_readable(
    small_scans: list[Path], small_recipe: Recipe, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, write = Run.create(tmp_path / "run"), Event.encode

    def cut(event: Event) -> bytes:
        if event.event == "step" and event.step == 5:
            with open(run.folder / "events.jsonl", "ab") as file:
                file.write(write(event)[:20])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(event)

    monkeypatch.setattr(Event, "encode", cut)
    with pytest.raises(OSError, match="No space left"):
        train(run, small_recipe(), small_scans)
    assert run.job.state() == "failed"
    assert [row.step for row in rows(run.job.events(), "step")] == [1, 2, 3, 4]
    monkeypatch.undo()
    resumed = again(run, small_scans)
    assert have_same_weights(resumed, whole)
    assert [row.step for row in rows(resumed.job.events(), "step")] == [1, 2, 3, 4, 5, 6]


def test_a_scan_that_vanishes_is_named_and_the_steps_before_are_kept(
    small_scans: list[Path], small_recipe: Recipe, whole: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "scans"
    shutil.copytree(small_scans[0].parent, folder)
    scans = [folder / path.name for path in small_scans]
    run = Run.create(tmp_path / "run")

    def remove(event: Event) -> None:
        if event.event == "step" and event.step == 1:
            scans[1].unlink()
            scans[2].unlink()

    config = small_recipe(cache_gib=1e-9, checkpoint_every=100, validate_every=100)
    with pytest.raises(
        VolumeError, match=r"^The scan scan[12]\.nii\.gz can no longer be read\. Restore it, then"
    ):
        train(run, config, scans, progress=remove)
    last = run.job.last_event()
    assert last is not None
    assert last.event == "failed"
    assert "can no longer be read" in last.message
    (kept,) = run.checkpoints.paths()
    assert int(kept.stem[-8:]) == last.step > 0
    for scan in small_scans[1:]:
        shutil.copy(scan, folder)
    # The validation in between changes no weight.
    assert have_same_weights(again(run, scans), whole)


def test_slow_steps_are_saved_by_time(
    small_scans: list[Path], small_recipe: Recipe, whole: Run, tmp_path: Path
) -> None:
    run = Run.create(tmp_path / "run")
    config = small_recipe(checkpoint_every=100, checkpoint_minutes=1e-9, validate_every=100)
    train(run, config, small_scans)
    saved = [event.step for event in run.job.events() if event.event == "checkpoint"]
    assert saved == list(range(1, config.steps + 1))
    assert have_same_weights(run, whole)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory"), KeyboardInterrupt()])
def test_an_error_in_a_step_loses_no_step_before(
    small_scans: list[Path],
    small_recipe: Recipe,
    whole: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    losses = Maesil.training_losses

    def fail(self: Maesil, batch: Any, step: Any) -> Losses:  # noqa: ANN401
        if step.number == 4:
            raise error
        return losses(self, batch, step)

    monkeypatch.setattr(Maesil, "training_losses", fail)
    run = Run.create(tmp_path / "run")
    with pytest.raises(type(error)):
        train(run, small_recipe(checkpoint_every=100), small_scans)
    assert run.checkpoints.paths()[-1].name == "step-00000004.safetensors"
    monkeypatch.undo()
    assert have_same_weights(again(run, small_scans), whole)


def test_a_step_that_fails_half_way_is_not_saved(
    small_scans: list[Path], small_recipe: Recipe, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Maesil, step: Any) -> None:  # noqa: ANN401
        if step.number == 4:
            raise MemoryError

    monkeypatch.setattr(Maesil, "after_step", fail)
    run = Run.create(tmp_path / "run")
    with pytest.raises(MemoryError):
        train(run, small_recipe(checkpoint_every=100, validate_every=2), small_scans)
    assert run.checkpoints.best.exists()
    kept = [int(path.stem[-8:]) for path in run.checkpoints.paths()]
    assert kept
    assert max(kept) <= 4
    monkeypatch.undo()
    assert have_same_weights(again(run, small_scans), whole)


def test_a_final_model_that_was_damaged_is_written_again(small_scans: list[Path], whole: Run) -> None:
    path = whole.folder / "model.safetensors"
    before = path.read_bytes()
    path.write_bytes(before[:-9] + bytes(9))
    again(whole, small_scans)
    assert path.read_bytes() == before


def broken_steps(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """Make the loss of some steps, from 1, not finite."""
    losses = Maesil.training_losses

    def broken(self: Maesil, batch: Any, step: Any) -> Losses:  # noqa: ANN401
        found = losses(self, batch, step)
        factor = float("nan") if step.number + 1 in steps else 1.0
        return Losses(found.total * factor, found.parts)

    monkeypatch.setattr(Maesil, "training_losses", broken)


def test_a_step_that_is_not_finite_stops_the_run_and_names_the_scans(
    small_scans: list[Path], small_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_steps(monkeypatch, {3})
    run = Run.create(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"step 3 are not finite, with crops of scan\d.*a scan is damaged"):
        train(run, small_recipe(), small_scans)
    (skipped,) = (event for event in run.job.events() if event.event == "skipped")
    assert (run.job.state(), skipped.step) == ("failed", 3)
    assert skipped.fields["loss"] is None
    assert len(skipped.fields["crops"]) == 2
    for crop in skipped.fields["crops"]:
        assert crop["scan"] in ("scan1.nii.gz", "scan2.nii.gz")
        assert len(crop["corner"]) == 3
    monkeypatch.undo()
    again(run, small_scans)  # from step 2
    assert [row.step for row in rows(run.job.events(), "step")] == [1, 2, 3, 4, 5, 6]


def test_steps_that_are_not_finite_are_skipped_exactly(
    small_scans: list[Path], small_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_steps(monkeypatch, {2, 4})
    config = small_recipe(on_nan="skip")
    once, stopped = Run.create(tmp_path / "once"), Run.create(tmp_path / "stopped")
    train(once, config, small_scans)
    events = once.job.events()
    assert [event.step for event in events if event.event == "skipped"] == [2, 4]
    assert [row.step for row in rows(events, "step")] == [1, 3, 5, 6]
    first = load_tensors(once.checkpoints.paths()[-1], "count.")
    assert {name: int(count) for name, count in first.items()} == {
        "averaged": 5,
        "skipped": 0,
        "validated": 6,
    }

    def stop_after(step: int) -> Callable[[], bool]:
        return lambda: any(event.step >= step for event in stopped.job.events())

    for step in (2, 4):  # where the newest checkpoint is in the middle of what was skipped
        with pytest.raises(Exception, match="Stopped after step"):
            train(stopped, config, small_scans, cancelled=stop_after(step))
    assert have_same_weights(again(stopped, small_scans), once)


def test_a_run_that_only_skips_ends(
    small_scans: list[Path], small_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_steps(monkeypatch, set(range(2, 99)))
    run = Run.create(tmp_path / "run")
    config = small_recipe(on_nan="skip", steps=60, checkpoint_every=4, validate_every=100)
    words = rf"step {MOST_SKIPPED + 1} are not finite.*{MOST_SKIPPED} such steps in a row"
    with pytest.raises(ConfigError, match=words):
        train(run, config, small_scans)
    # The count goes on with the checkpoint of step 8, after seven of them.
    with pytest.raises(ConfigError, match=rf"step {MOST_SKIPPED + 1} are not finite"):
        again(run, small_scans)


def test_a_moved_run_goes_on_with_its_scans_elsewhere_and_a_lock_of_another_machine(
    small_scans: list[Path], small_recipe: Recipe, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.05)
    run = Run.create(tmp_path / "here" / "run")
    with pytest.raises(Exception, match="Stopped after step 3"):
        train(run, small_recipe(), small_scans, cancelled=lambda: bool(rows(run.job.events(), "step")[2:]))
    left = run.folder / "lock"
    left.write_text(json.dumps({"pid": 4, "started": 1.0, "host": platform.node() + "-2"}))
    long_ago = time.time() - 600
    os.utime(left, (long_ago, long_ago))
    moved = shutil.move(run.folder, tmp_path / "there")
    scans = [Path(shutil.copy(scan, tmp_path / scan.name)) for scan in small_scans]
    resumed = again(Run.open(moved), scans)
    assert have_same_weights(resumed, whole)
    files = (path for path in resumed.folder.iterdir() if path.is_file() and path.suffix != ".safetensors")
    text = "".join(path.read_text() for path in files)
    assert str(tmp_path) not in text


def test_a_clock_that_is_set_back_changes_neither_speeds_nor_the_end(
    small_scans: list[Path], small_recipe: Recipe, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, hours = Run.create(tmp_path / "run"), itertools.count(500_000)
    monkeypatch.setattr(
        time, "time", lambda: 3600.0 * (1_000_000 - next(hours))
    )  # an hour back with each look
    train(run, small_recipe(), small_scans)
    monkeypatch.undo()
    assert have_same_weights(run, whole)
    assert run.job.state() == "finished"
    steps = rows(run.job.events(), "step")
    assert steps[-1].time < steps[0].time - 3600
    assert all((row.seconds_left or 0) >= 0 and 0 <= row.fields["data_wait"] <= 1 for row in steps)
    assert all(row.fields["superpatches_per_second"] > 0 for row in steps)


def test_a_stop_during_the_validation_validates_after_the_resume(
    small_scans: list[Path], small_recipe: Recipe, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked, validate = Run.create(tmp_path / "run"), list[int](), Maesil.validate

    def note(self: Maesil, batch: Any) -> dict[str, float]:  # noqa: ANN401
        asked.append(1)
        return validate(self, batch)

    monkeypatch.setattr(Maesil, "validate", note)
    with pytest.raises(Exception, match="Stopped after step 3"):
        train(run, small_recipe(), small_scans, cancelled=lambda: len(asked) == 2)
    assert not rows(run.job.events(), "validation")
    resumed = again(run, small_scans)
    assert have_same_weights(resumed, whole)
    scores = [
        [(row.step, row.fields) for row in rows(one.job.events(), "validation")] for one in (resumed, whole)
    ]
    assert scores[0] == scores[1]
    assert len(scores[0]) == 2
    assert resumed.checkpoints.best_score() == whole.checkpoints.best_score()
