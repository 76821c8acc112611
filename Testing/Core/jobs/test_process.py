"""Jobs as processes: they finish, can be ended at any time, and leave nothing behind when they or others die."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from MAESILCore import Volume
from MAESILCore.errors import ConfigError
from MAESILCore.inference import reconstruct
from MAESILCore.jobfolder import Event, JobFolder, jobs_in, lock, rows
from MAESILCore.jobfolder.failures import TEXTS
from MAESILCore.jobs import JobProcess, kind_of, prepare_reconstruction
from MAESILCore.jobs.process import NICENESS
from MAESILCore.lattice import MaskStrategy
from MAESILCore.models.checkpoint import load_checkpoint

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the stand-ins for 3D Slicer's Python are shell scripts"
)

REPOSITORY = Path(__file__).resolve().parents[3]
OBLIQUE = np.array([[0.7, 0.1, 0, 31.0], [-0.1, 0.7, 0, -80.5], [0, 0, 2.0, 12.25], [0, 0, 0, 1]])

#: Makes a package unknown, as if it were not installed.
WITHOUT = """
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""

#: Seconds within which a cancelled job has to be over; the machine of a test may be busy.
AT_ONCE = 5.0

PythonMaker = Callable[..., str]
Maker = Callable[..., JobFolder]


@pytest.fixture
def a_root(tmp_path: Path) -> Path:
    return tmp_path / "Jöbs 日本"


@pytest.fixture
def a_scan() -> Volume:
    k, j, i = np.ogrid[:30, :37, :45]
    voxels = 500 * np.sin(k / 5) * np.cos(j / 7) + 10 * i - 500
    return Volume(voxels.astype(np.int16), OBLIQUE, "Jané Döe", ("A note.",))


@pytest.fixture
def make_toy(a_root: Path, toy_packages: Path) -> Maker:
    """Make the folder of a toy job."""

    def make(do: str, name: str = "toy") -> JobFolder:
        folder = JobFolder(a_root / name)
        folder.path.mkdir(parents=True)
        folder.describe("toy", {"do": do})
        return folder

    return make


@pytest.fixture
def a_python(tmp_path: Path) -> PythonMaker:
    """A Python like that of 3D Slicer, a launcher whose child is the real one, which does something first."""

    def make(program: str = "", after: str = "exit $?") -> str:
        patched, launcher = tmp_path / "patched.py", tmp_path / "PythonSlicer"
        patched.write_text(
            "import os, runpy, sys\n"
            f"sys.path.insert(0, {str(REPOSITORY)!r})\n"
            "sys.argv[:2] = []\n"
            f"{program}\n"
            "runpy.run_path(sys.argv[0], run_name='__main__')\n",
            encoding="utf-8",
        )
        launcher.write_text(
            f'#!/bin/sh\n{shlex.quote(sys.executable)} {shlex.quote(str(patched))} "$@"\n{after}\n',
            encoding="utf-8",
        )
        launcher.chmod(0o755)
        return str(launcher)

    return make


def pid_of(folder: JobFolder) -> int:
    """The process that really works, once it does."""
    path = folder.path / "pid"
    wait_until(lambda: path.exists() and bool(path.read_text()))
    return int(path.read_text())


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody asked for its status does not.

    Linux closes the files of a killed process, by which its end is noticed, a moment before it counts as ended.
    """
    if Path("/proc/self/stat").exists():
        stat = Path(f"/proc/{pid}/stat")
        state = stat.read_text().rpartition(")")[2].strip() if stat.exists() else ""
    else:
        ask = ["ps", "-o", "stat=", "-p", str(pid)]
        state = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


@pytest.fixture
def running(make_toy: Maker, a_python: PythonMaker) -> Iterator[Callable[..., JobProcess]]:
    """Start a toy job behind a launcher, and wait until it is at work."""
    jobs: list[JobProcess] = []

    def start(do: str, **options: float) -> JobProcess:
        job = JobProcess(make_toy(do, f"toy{len(jobs)}").path, a_python(), **options)
        jobs.append(job)
        job.start()
        pid_of(job.folder)
        wait_until(lambda: bool(job.poll()))
        assert job.state == "running"
        return job

    yield start
    for job in jobs:
        if job.detached and not job.is_over:
            job._end(at_once=True)
            job.wait(AT_ONCE)
        job.close()


def test_a_kind_that_another_package_brings_goes_through_the_worker(make_toy: Maker, a_root: Path) -> None:
    folder = make_toy("count")
    with JobProcess(folder.path) as job:
        job.start()
        assert job.wait(60) == "finished", job.log
        assert (job.message, job.fraction, job.device) == ("Counted.", 1.0, "a toy")
        events = folder.events()
        assert [event.event for event in events] == ["started", *["step"] * 4, "finished"]
        assert [row.fields["loss"] for row in rows(events, "step")] == [1.0, 0.5, 1 / 3, 0.25]
        assert not (folder.path / "lock").exists()
    assert not list(a_root.iterdir())
    assert job.state == "finished"


def test_a_kind_that_nobody_brings_is_refused(make_toy: Maker) -> None:
    folder = make_toy("count")
    folder.describe("unheard of", {})
    with pytest.raises(ConfigError, match="no kind of job 'unheard of'"):
        JobProcess(folder.path).start()
    assert kind_of("reconstruction").noun == "reconstruction"


def test_a_finished_reconstruction_leaves_what_the_library_itself_would_make(
    a_root: Path, a_scan: Volume, tiny_model: Path
) -> None:
    request = prepare_reconstruction(
        a_root, a_scan, model=str(tiny_model), strategy=MaskStrategy("random", 0.6), seed=5, device="cpu"
    )
    with JobProcess(request.folder) as job:
        job.start()
        events = []

        def is_over() -> bool:
            events.extend(job.poll())
            return job.is_over

        wait_until(is_over, 120.0)
        assert (job.state, job.fraction) == ("finished", 1.0), job.message + job.log
        assert "tiny" in job.message
        assert [event.event for event in events if event.event != "progress"] == ["started", "finished"]
        started = next(event for event in events if event.event == "started")
        assert job.device == started.fields["device"]
        assert str(job.device).startswith("CPU")
        # More than 20 superpatches are worth a measurement.
        assert started.seconds_left is not None
        steps = [event.step for event in events if event.event == "progress"]
        assert steps == sorted(steps)
        expected = reconstruct(
            a_scan, load_checkpoint(tiny_model), strategy=MaskStrategy("random", 0.6), seed=5, device="cpu"
        )
        folder = request.folder
        for name in ("reconstruction", "mosaic", "error"):
            array = np.load(folder / f"{name}.npy")
            assert array.dtype == np.float32
            np.testing.assert_allclose(array, getattr(expected, name).voxels, atol=0.01)
        np.testing.assert_array_equal(np.load(folder / "mask.npy"), expected.mask.stages)
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        assert (result["name"], result["model"], result["device_id"]) == ("Jané Döe", "tiny", "cpu")
        assert result["arrays"].keys() == {"mask", "reconstruction", "mosaic", "error"}
        assert result["window_hu"] == [-1000, 1000]
        assert "A note." in result["notes"]
        assert json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["model"]["psnr_hidden"] > 0
        assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
        assert "Döe" not in job.log
    assert not list(a_root.iterdir())
    assert job.state == "finished"


@pytest.mark.parametrize("do", ["sleep", "hang"])
def test_a_job_can_be_cancelled_in_the_middle_of_a_pass(
    running: Callable[..., JobProcess], a_root: Path, do: str
) -> None:
    job = running(do, kill_after=10.0 if do == "sleep" else 0.2)
    pid = pid_of(job.folder)
    job.cancel()
    assert (job.state, job.message) == ("cancelling", "Cancelling.")
    if do == "hang":  # which only `poll` ends: had `cancel` waited for the process, it would be gone
        assert lives(pid)
    assert job.wait(AT_ONCE) == "cancelled"
    assert (job.message, job.message.code) == ("Cancelled; nothing was kept.", "job.cancelled")
    wait_until(lambda: not lives(pid), AT_ONCE)
    job.close()
    assert not list(a_root.iterdir())


def test_closing_a_running_job_ends_it_and_removes_its_folder_at_once(
    running: Callable[..., JobProcess], a_root: Path
) -> None:
    job = running("hang")
    pid = pid_of(job.folder)
    began = time.monotonic()
    job.close()
    assert time.monotonic() - began < AT_ONCE
    assert job.state == "cancelled"
    wait_until(lambda: not lives(pid), AT_ONCE)
    assert not list(a_root.iterdir())
    job.close()
    assert job.poll() == []


def test_a_terminated_worker_says_that_it_was_cancelled(running: Callable[..., JobProcess]) -> None:
    job = running("sleep")
    os.kill(pid_of(job.folder), signal.SIGTERM)
    assert job.wait(AT_ONCE) == "cancelled"


def test_a_killed_worker_is_one_sentence(running: Callable[..., JobProcess]) -> None:
    job = running("sleep")
    os.kill(pid_of(job.folder), signal.SIGKILL)
    assert job.wait(AT_ONCE) == "failed"
    assert (job.message, job.message.code) == (TEXTS["job.killed"], "job.killed")
    last = job.folder.last_event()
    assert last is not None
    assert (last.event, last.message, last.message.code) == ("failed", job.message, "job.killed")


def test_a_worker_whose_launcher_is_killed_still_works_and_can_be_ended(
    running: Callable[..., JobProcess],
) -> None:
    import psutil

    job = running("hang", kill_after=0.1)
    pid = pid_of(job.folder)
    launcher = psutil.Process(pid).parent()
    assert launcher.pid != os.getpid()
    launcher.kill()
    wait_until(lambda: not lives(launcher.pid))
    assert job.wait(0.3) == "running"
    job.cancel()
    assert job.wait(AT_ONCE) == "cancelled"
    wait_until(lambda: not lives(pid), AT_ONCE)


def test_a_launcher_that_does_not_end_is_ended(make_toy: Maker, a_python: PythonMaker) -> None:
    with JobProcess(make_toy("count").path, a_python(after="sleep 600")) as job:
        job.start()
        assert job.wait(30) == "finished", job.message


PARENT = """
import sys, time
from MAESILCore.jobs import JobProcess
job = JobProcess(sys.argv[1], detached=sys.argv[2] == "detached")
job.start()
while not job.poll(): time.sleep(0.02)
sys.stdout.write("running\\n"); sys.stdout.flush(); time.sleep(600)
"""


def killed_parent(folder: JobFolder, how: str) -> int:
    """Have another process start the job, and kill that; returns the process id of the worker."""
    command = [sys.executable, "-c", PARENT, str(folder.path), how]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"running\n"
        pid = pid_of(folder)
        assert lives(pid)
        parent.kill()
    return pid


def test_an_attached_job_ends_and_cleans_up_when_its_parent_dies(make_toy: Maker) -> None:
    folder = make_toy("sleep")
    pid = killed_parent(folder, "attached")
    wait_until(lambda: not lives(pid), AT_ONCE)
    assert not folder.path.exists()


def test_a_detached_job_outlives_its_parent_and_is_found_again(make_toy: Maker, a_root: Path) -> None:
    folder = make_toy("listen")
    pid = killed_parent(folder, "detached")
    (found,) = jobs_in(a_root)
    assert found.state() == "running"
    job = JobProcess.find(found.path)
    assert (job.state, job.message, job.device) == ("running", "Toying.", "a toy")
    assert lives(pid)
    job.cancel()
    assert job.wait(AT_ONCE) == "cancelled"
    assert job.message == "The toy was put away."
    wait_until(lambda: not lives(pid), AT_ONCE)
    job.close()
    assert (folder.path / "kept").read_text() == "a checkpoint"
    assert not (folder.path / "cancel").exists()
    assert found.state() == "cancelled"
    assert JobProcess.find(folder.path).state == "cancelled"


def test_a_detached_job_that_hangs_is_ended_by_whoever_found_it(make_toy: Maker) -> None:
    folder = make_toy("hang")
    pid = killed_parent(folder, "detached")
    job = JobProcess.find(folder.path, kill_after=0.1)
    job.cancel()
    assert job.wait(2 * AT_ONCE) == "failed"
    assert job.message == "The job ended without a message; see its log."
    wait_until(lambda: not lives(pid), AT_ONCE)
    assert folder.state() == "dead"


def test_a_detached_job_keeps_its_folder_and_can_be_started_again(
    make_toy: Maker, running: Callable[..., JobProcess]
) -> None:
    first = running("sleep", detached=True)
    with pytest.raises(ConfigError, match=r"job in .* is already running"):
        JobProcess(first.folder.path, detached=True).start()
    os.kill(pid_of(first.folder), signal.SIGKILL)
    assert first.wait(AT_ONCE) == "failed"
    first.close()
    assert first.folder.state() == "failed"
    first.folder.describe("toy", {"do": "count"})
    again = JobProcess(first.folder.path, detached=True)
    again.start()
    assert again.wait(60) == "finished"
    names = [event.event for event in first.folder.events()]
    assert names == ["started", "failed", "started", *["step"] * 4, "finished"]
    again.close()
    assert first.folder.path.is_dir()


def test_a_job_that_nobody_has_started_is_not_found(make_toy: Maker) -> None:
    with pytest.raises(ConfigError, match=r"job in .* has not been started"):
        JobProcess.find(make_toy("count").path)


def test_a_job_of_another_machine_without_heartbeat_is_dead(make_toy: Maker) -> None:
    folder = make_toy("sleep")
    folder.write(Event("started", "Toying."))
    path = folder.path / "lock"
    path.write_text(json.dumps({"pid": 1, "started": 1.0, "host": "another machine"}))
    job = JobProcess.find(folder.path)
    assert job.state == "running"
    stale = time.time() - 2 * lock.STALE
    os.utime(path, (stale, stale))
    job.poll()
    assert (job.state, job.message.code, folder.state()) == ("failed", "job.lost", "dead")


def test_a_folder_that_vanishes_ends_the_job_with_a_sentence(running: Callable[..., JobProcess]) -> None:
    job = running("sleep")
    job.folder.path.rename(job.folder.path.with_name("elsewhere"))
    assert job.wait(AT_ONCE) == "failed"
    assert job.message == TEXTS["job.vanished"]


def test_what_libraries_print_goes_to_the_log(make_toy: Maker, a_python: PythonMaker) -> None:
    with JobProcess(make_toy("print").path, a_python("os.write(1, b'from a launcher\\n')")) as job:
        job.start()
        assert job.wait(30) == "finished"
        assert job.message == "Printed."
        for line in ("{not json", "from Python", "from a launcher"):
            assert line in job.log


@pytest.mark.parametrize(
    ("do", "message", "code"),
    [
        ("refuse", "The toy is broken; buy another one.", ""),
        (
            "crash",
            "MAESIL failed unexpectedly (ZeroDivisionError: a riddle); see the log of the job.",
            "job.unexpected",
        ),
        ("abort", "The process ended unexpectedly with status 9 (fatal: a riddle).", "job.unexpected-end"),
    ],
)
def test_a_failure_leaves_an_event_with_its_sentence(
    make_toy: Maker, do: str, message: str, code: str
) -> None:
    folder = make_toy(do)
    job = JobProcess(folder.path, detached=True)
    job.start()
    assert job.wait(60) == "failed"
    assert (job.message, getattr(job.message, "code", "")) == (message, code)
    job.close()
    last = folder.last_event()
    assert last is not None
    assert (last.event, last.message, getattr(last.message, "code", "")) == ("failed", message, code)
    assert folder.state() == "failed"


@pytest.mark.parametrize(
    ("package", "sentence"),
    [
        ("torch", TEXTS["job.no-pytorch"]),
        ("numpy", "The package numpy is not installed"),
        ("pydantic", "The package pydantic"),
        ("psutil", "Running a job needs the package psutil"),
    ],
)
def test_a_python_without_a_package_is_told_in_a_sentence(
    a_root: Path, a_scan: Volume, a_python: PythonMaker, package: str, sentence: str
) -> None:
    folder = prepare_reconstruction(a_root, a_scan).folder
    with JobProcess(folder, a_python(WITHOUT.format(package=package))) as job:
        job.start()
        assert job.wait(60) == "failed"
        assert job.message.startswith(sentence)
        assert "Traceback" in job.log
        assert str(folder) not in job.log


def test_a_python_that_is_not_there_is_refused_and_the_folder_removed(
    make_toy: Maker, tmp_path: Path
) -> None:
    folder = make_toy("count")
    with pytest.raises(ConfigError, match=r"cannot be started \(No such file"):
        JobProcess(folder.path, str(tmp_path / "no-python")).start()
    assert not folder.path.exists()


def test_a_program_that_is_no_python_is_told_in_a_sentence(make_toy: Maker) -> None:
    with JobProcess(make_toy("count").path, "/bin/false") as job:
        job.start()
        assert job.wait(30) == "failed"
        assert job.message == "The process ended unexpectedly with status 1 (its output is empty)."


def test_a_result_that_is_finished_while_being_cancelled_is_not_kept(
    running: Callable[..., JobProcess],
) -> None:
    job = running("ignore")
    job.cancel()
    assert job.wait(30) == "cancelled"
    detached = running("ignore", detached=True)
    detached.cancel()
    assert detached.wait(30) == "finished"
    assert detached.message == "Done all the same."


def test_a_job_gives_way_to_the_window_and_leaves_the_priority_of_its_parent(
    running: Callable[..., JobProcess],
) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    job = running("sleep")
    assert os.getpriority(os.PRIO_PROCESS, pid_of(job.folder)) == min(own + NICENESS, 19)
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_a_job_on_the_processor_uses_every_core_that_pytorch_would(
    a_root: Path, a_scan: Volume, tiny_model: Path
) -> None:
    usual = [sys.executable, "-c", "import torch; print(torch.get_num_threads())"]
    threads = int(subprocess.run(usual, check=True, capture_output=True, text=True).stdout)
    request = prepare_reconstruction(a_root, a_scan, model=str(tiny_model), device="cpu")
    with JobProcess(request.folder) as job:
        job.start()
        assert job.wait(120.0) == "finished", job.message
        assert job.device == f"CPU, {threads} thread{'s' * (threads > 1)}"
        assert job.device in job.message
