"""The folder of runs: rows and curves from events, read once, whoever wrote them and however they ended."""

from __future__ import annotations

import builtins
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from MAESILCore.jobfolder import Event, JobFolder
from MAESILCore.jobfolder.lock import STALE
from MAESILCore.jobs import runtail
from MAESILCore.jobs.pretraining import PretrainingRequest
from MAESILCore.jobs.runs import Curves, Preview, RunsFolder, RunSummary, describe, model_of_run, stop

REPOSITORY = Path(__file__).resolve().parents[3]


def a_run(root: Path, folder: str, *events: Event, **request: Any) -> JobFolder:  # noqa: ANN401
    job = JobFolder(root / folder)
    job.path.mkdir(parents=True)
    job.describe("pretraining", PretrainingRequest(**request).content)
    for event in events:
        job.write(event)
    return job


def a_step(step: int, loss: float = 0.5, **fields: Any) -> Event:  # noqa: ANN401
    fields = {"loss": loss, "learning_rate": 1e-3, "superpatches_per_second": 2.0, **fields}
    return Event("step", step=step, total=100, seconds_left=7.0, fields=fields, time=1000.0 + step)


def a_validation(step: int, psnr: float) -> Event:
    scores = {"psnr_hidden": psnr, "psnr_hidden_fill": 20.0}
    return Event("validation", f"hidden PSNR {psnr} dB", step=step, fields=scores)


STARTED = Event("started", step=0, total=100, fields={"device": "cpu"}, time=1000.0)


def rows_in(root: Path) -> dict[str, RunSummary]:
    return {run.folder.name: run for run in RunsFolder(root).refresh()}


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Counts the files that are opened, and the calls of `stat`."""
    counts = {"open": 0, "stat": 0}
    originals = {"open": builtins.open, "stat": os.stat}

    def count(name: str) -> Any:  # noqa: ANN401
        def call(*args: Any, **options: Any) -> Any:  # noqa: ANN401
            counts[name] += 1
            return originals[name](*args, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", count("open"))
        patch.setattr(os, "stat", count("stat"))
        yield counts


def test_a_row_holds_the_newest_figures(tmp_path: Path) -> None:
    a_run(
        tmp_path,
        "first",
        STARTED,
        a_step(1),
        a_validation(1, 24.0),
        a_step(2, 0.25),
        name="Lungs",
        preset="tiny",
    )
    (run,) = RunsFolder(tmp_path).refresh()
    assert (run.name, run.method, run.preset, run.state) == ("Lungs", "maesil", "tiny", "dead")
    assert (run.step, run.total, run.loss, run.psnr_hidden) == (2, 100, 0.25, 24.0)
    assert run.score == ("psnr_hidden", 24.0)
    assert run.started == 1000.0
    assert run.seconds_left is None, "nothing runs"
    assert "interrupted" in run.message
    assert json.loads(json.dumps(describe(run)))["folder"] == str(tmp_path / "first")


def test_nothing_is_read_again_while_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(200):
        a_run(tmp_path, f"run{number:03d}", STARTED, a_step(1), Event("finished", step=1))
    for number in range(20):
        # The lock of a process that was killed.
        dead = {"pid": 2**22 + number, "started": 0.0, "host": "gone"}
        (tmp_path / f"run{number:03d}" / "lock").write_text(json.dumps(dead))
        os.utime(tmp_path / f"run{number:03d}" / "lock", (0, 0))
    runs = RunsFolder(tmp_path)
    before = runs.refresh()
    assert len(before) == 200
    with counted(monkeypatch) as counts:
        assert runs.refresh() == before
    # Three files of each folder and of the root, which is no run.
    assert counts["open"] == 0
    assert counts["stat"] <= 3 * 201 + 10

    job = JobFolder(tmp_path / "run117")
    job.write(a_step(2, 0.125))
    with counted(monkeypatch) as counts:
        after = runs.refresh()
    assert [run.folder.name for run in after if run not in before] == ["run117"]
    assert counts["open"] == 1


def test_a_running_run_needs_a_living_process(tmp_path: Path) -> None:
    here = a_run(tmp_path, "here", STARTED, a_step(1))
    elsewhere = a_run(tmp_path, "elsewhere", STARTED, a_step(1))
    lock = elsewhere.path / "lock"
    lock.write_text(json.dumps({"pid": 1, "started": 0.0, "host": "another-machine"}))
    with here.lock:
        runs = RunsFolder(tmp_path)
        found = {run.folder.name: run for run in runs.refresh()}
        assert found["here"].state == "running"
        assert found["here"].seconds_left == 7.0
        assert found["elsewhere"].state == "running", "its heart beats"
        assert stop(elsewhere.path)
        assert elsewhere.is_cancelled
    long_ago = time.time() - 2 * STALE
    os.utime(lock, (long_ago, long_ago))
    found = {run.folder.name: run for run in runs.refresh()}
    assert [found[name].state for name in ("here", "elsewhere")] == ["dead", "dead"]
    assert not stop(here.path)
    assert not here.is_cancelled
    # It is taken up again on the other machine.
    lock.touch()
    assert {run.folder.name: run.state for run in runs.refresh()} == {"here": "dead", "elsewhere": "running"}


def test_a_resumed_run_that_has_not_begun_says_nothing_of_its_last_end(tmp_path: Path) -> None:
    job = a_run(tmp_path, "run", STARTED, a_step(1), Event("cancelled", "Stopped; resume it.", 1))
    runs = RunsFolder(tmp_path)
    assert runs.refresh()[0].message == "Stopped; resume it."
    job.describe("pretraining", PretrainingRequest(scans=("scans",), steps=5).content)
    with job.lock:
        (run,) = runs.refresh()
        assert (run.state, run.message, run.step, run.total) == ("running", "", 1, 5)
        assert (run.seconds_left, run.superpatches_per_second) == (None, None)
        job.write(Event("started", step=1, total=5))
        job.write(a_step(2))
        assert runs.refresh()[0].seconds_left is not None


def test_steps_after_a_resume_void_the_lost_ones(tmp_path: Path) -> None:
    events = [STARTED, a_step(1), a_step(2), a_validation(2, 30.0), a_step(3, 9.0)]
    job = a_run(tmp_path, "run", *events, Event("started", step=1, total=100))
    runs = RunsFolder(tmp_path)
    (run,) = runs.refresh()
    assert (run.step, run.loss, run.psnr_hidden) == (1, None, None)
    curves = runs.curves(job.path)
    assert curves.loss == [(1, 0.5)]
    assert curves.scores == {}
    job.write(a_step(2, 0.25, parts={"voxels": 0.2}, gradient_norm=3.0, data_wait=0.01))
    curves = runs.curves(job.path)
    assert curves.loss == [(1, 0.5), (2, 0.25)]
    assert curves.parts == {"voxels": [(2, 0.2)]}
    assert (curves.gradient_norm, curves.data_wait) == ([(2, 3.0)], [(2, 0.01)])
    assert runs.curves(job.path) is curves


def test_a_run_resumed_at_its_last_step_keeps_its_loss_but_no_speed(tmp_path: Path) -> None:
    again = Event("started", step=2, total=2)
    job = a_run(tmp_path, "run", STARTED, a_step(1), a_step(2, 0.25), again)
    with job.lock:
        (run,) = RunsFolder(tmp_path).refresh()
    assert (run.step, run.loss, run.superpatches_per_second) == (2, 0.25, None)
    job.write(Event("finished", step=2))
    (run,) = RunsFolder(tmp_path).refresh()
    assert (run.state, run.loss) == ("finished", 0.25)


@pytest.mark.skipif(os.name == "nt", reason="links need a permission there")
def test_a_link_in_a_circle_hides_no_runs(tmp_path: Path) -> None:
    a_run(tmp_path, "run", STARTED)
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    assert [run.name for run in RunsFolder(tmp_path).refresh()] == ["run"]


def test_of_a_long_run_only_the_end_is_read_for_its_row_and_a_part_for_its_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtail, "_END", 2000)
    monkeypatch.setattr(runtail, "_BLOCK", 700)
    monkeypatch.setattr(runtail, "MOST_POINTS", 50)
    events = [STARTED, *(a_step(step, 1 / step) for step in range(1, 40)), a_validation(39, 21.5)]
    job = a_run(tmp_path, "long", *events, *(a_step(step, 1 / step) for step in range(40, 501)))
    decode, decoded = Event.decode, []
    monkeypatch.setattr(Event, "decode", classmethod(lambda _, line: decoded.append(line) or decode(line)))
    runs = RunsFolder(tmp_path)
    (run,) = runs.refresh()
    assert (run.step, run.psnr_hidden, run.started) == (500, 21.5, 1000.0)
    assert len(decoded) < 30
    curves = runs.curves(job.path)
    assert 25 <= len(curves.loss) <= 200
    assert all(value == pytest.approx(1 / step, abs=1e-6) for step, value in curves.loss)
    assert curves.scores["psnr_hidden"] == [(39, 21.5)]


def test_a_validation_that_a_resume_has_voided_is_not_shown_of_a_long_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtail, "_END", 1000)
    monkeypatch.setattr(runtail, "_BLOCK", 500)
    lost = [STARTED, a_validation(9, 30.0), Event("started", step=5, total=100)]
    a_run(tmp_path, "long", *lost, *(a_step(step) for step in range(6, 60)))
    (run,) = RunsFolder(tmp_path).refresh()
    assert (run.step, run.psnr_hidden) == (59, None)


def test_a_line_that_is_being_written_counts_once_it_is_whole(tmp_path: Path) -> None:
    job = a_run(tmp_path, "run", STARTED, a_step(1))
    runs = RunsFolder(tmp_path)
    line = a_step(2, 0.25).encode()
    with open(job.path / "events.jsonl", "ab") as stream:
        stream.write(line[:20])
        stream.flush()
        assert runs.refresh()[0].step == 1
        assert runs.curves(job.path).loss == [(1, 0.5)]
        stream.write(line[20:])
    assert runs.refresh()[0].step == 2
    assert runs.curves(job.path).loss == [(1, 0.5), (2, 0.25)]
    (job.path / "events.jsonl").write_bytes(STARTED.encode())  # begun anew
    assert runs.refresh()[0].step == 0
    assert runs.curves(job.path) == Curves()


def test_other_folders_are_no_runs_and_old_runs_are(tmp_path: Path) -> None:
    JobFolder(tmp_path / "job").path.mkdir()
    JobFolder(tmp_path / "job").describe("reconstruction", {})
    (tmp_path / "photos").mkdir()
    (tmp_path / "letter.txt").write_text("mine")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "job.json").write_text('{"kind": "pretr')
    old = tmp_path / "old"
    old.mkdir()
    (old / "config.yaml").write_text("name: maesil\nmethod: mae\npreset: small\nmask:\n  preset: no\n")
    (old / "events.jsonl").write_text('{"event": "stopped", "step": 5, "steps": 9}\n')
    found = rows_in(tmp_path)
    assert list(found) == ["old"]
    run = found["old"]
    assert (run.name, run.method, run.preset, run.state) == ("old", "mae", "small", "cancelled")
    assert (run.step, run.total) == (5, 9)
    # A run is also listed by its own folder.
    assert list(rows_in(old)) == ["old"]
    assert rows_in(tmp_path / "nowhere") == {}


def test_a_deleted_run_goes_and_one_of_the_same_name_is_new(tmp_path: Path) -> None:
    a_run(tmp_path, "run", STARTED, a_step(1), a_step(2))
    runs = RunsFolder(tmp_path)
    assert runs.refresh()[0].step == 2
    shutil.rmtree(tmp_path / "run")
    assert runs.refresh() == []
    a_run(tmp_path, "run", name="Another")
    (run,) = runs.refresh()
    assert (run.name, run.state, run.step) == ("Another", "prepared", 0)


def test_previews_and_the_model_are_found(tmp_path: Path) -> None:
    job = a_run(tmp_path, "run", STARTED)
    runs = RunsFolder(tmp_path)
    assert runs.previews(job.path) == []
    assert model_of_run(job.path) is None
    place = job.path / "previews"
    place.mkdir()
    for name in (
        "step-00000050.png",
        "step-00000050.nii.gz",
        "step-00000005.png",
        "truth.nii.gz",
        "step-1.txt",
    ):
        (place / name).touch()
    truth = place / "truth.nii.gz"
    assert runs.previews(job.path) == [
        Preview(5, place / "step-00000005.png", None, truth),
        Preview(50, place / "step-00000050.png", place / "step-00000050.nii.gz", truth),
    ]
    models = [
        "checkpoints/step-00000010.safetensors",
        "checkpoints/step-00000020.safetensors",
        "checkpoints/best.safetensors",
        "model.safetensors",
    ]
    (job.path / "checkpoints").mkdir()
    for name in models:
        (job.path / name).touch()
        assert model_of_run(job.path) == job.path / name


@pytest.mark.process
def test_runs_are_listed_before_any_package_is_installed(tmp_path: Path) -> None:
    """As in a new 3D Slicer, which has NumPy."""
    a_run(tmp_path, "run", STARTED, a_step(1), Event("finished", step=1))
    waiting = a_run(tmp_path, "waiting", scans=("/scans",), name="Waiting")
    (waiting.path / "lock").write_text(json.dumps({"pid": os.getpid(), "started": 0.0, "host": "elsewhere"}))
    program = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "yaml", "pydantic", "psutil", "scipy", "rich", "lightning_fabric"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Missing())
sys.path.insert(0, {str(REPOSITORY)!r})
from pathlib import Path
from MAESILCore.errors import MissingPackageError
from MAESILCore.jobs.runs import RunsFolder, duplicate, prepare_pretraining, resume
root = Path({str(tmp_path)!r})
print([run.state for run in RunsFolder(root).refresh()])
folder = prepare_pretraining(root, [root], name="new", steps=3)
print(duplicate(folder)["steps"])
try:
    resume(folder)
except MissingPackageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[:2] == ["['running', 'finished']", "3"], done.stderr
    assert "psutil" in done.stdout
    assert (tmp_path / "new").is_dir()
