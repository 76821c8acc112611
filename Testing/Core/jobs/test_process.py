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
from MAESILCore.jobs import JobProcess, ReconstructionRequest, prepare_job
from MAESILCore.jobs.failures import KILLED, NO_PYTORCH, VANISHED
from MAESILCore.jobs.priority import NICENESS
from MAESILCore.lattice import MaskStrategy
from MAESILCore.models.checkpoint import load_checkpoint

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the stand-ins for 3D Slicer's Python are shell scripts"
)

REPOSITORY = Path(__file__).resolve().parents[3]
OBLIQUE = np.array([[0.7, 0.1, 0, 31.0], [-0.1, 0.7, 0, -80.5], [0, 0, 2.0, 12.25], [0, 0, 0, 1]])

#: What a worker does instead of its work, after a first word. `sleep` of ctypes.PyDLL keeps Python's lock, so that no
#: thread of the worker can run.
WORK_FOR_EVER = "Work.run = lambda self: (self.tick(), time.sleep(600))"
HANG = "Work.run = lambda self: (self.tick(), ctypes.PyDLL(None).sleep(600))"

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


@pytest.fixture
def a_root(tmp_path: Path) -> Path:
    return tmp_path / "Jöbs 日本"


@pytest.fixture
def a_scan() -> Volume:
    k, j, i = np.ogrid[:30, :37, :45]
    voxels = 500 * np.sin(k / 5) * np.cos(j / 7) + 10 * i - 500
    return Volume(voxels.astype(np.int16), OBLIQUE, "Jané Döe", ("A note.",))


@pytest.fixture
def a_job(a_root: Path, a_scan: Volume) -> ReconstructionRequest:
    return prepare_job(a_root, a_scan)


@pytest.fixture
def a_python(tmp_path: Path) -> PythonMaker:
    """A Python like that of 3D Slicer, a launcher whose child is the real one, which does something first."""

    def make(program: str, stdin: str = "/dev/stdin") -> str:
        patched, launcher, pid = tmp_path / "patched.py", tmp_path / "PythonSlicer", tmp_path / "pid"
        patched.write_text(
            "import ctypes, os, pathlib, runpy, sys, time\n"
            f"sys.path.insert(0, {str(REPOSITORY)!r})\n"
            "sys.argv[:2] = []\n"
            f"pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))\n"
            f"{program}\n"
            "runpy.run_path(sys.argv[0], run_name='__main__')\n",
            encoding="utf-8",
        )
        launcher.write_text(
            f'#!/bin/sh\n{shlex.quote(sys.executable)} {shlex.quote(str(patched))} "$@" < {stdin}\nexit $?\n',
            encoding="utf-8",
        )
        launcher.chmod(0o755)
        return str(launcher)

    return make


def working(program: str) -> str:
    """A program that changes how jobs work."""
    return f"from MAESILCore.jobs.work import Work\n{program}"


@pytest.fixture
def worker_pid(tmp_path: Path) -> Callable[[], int]:
    """The process that really works, once it does."""

    def read() -> int:
        path = tmp_path / "pid"
        wait_until(lambda: path.exists() and bool(path.read_text()))
        return int(path.read_text())

    return read


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
def running(a_job: ReconstructionRequest, a_python: PythonMaker) -> Iterator[Callable[..., JobProcess]]:
    """Start a job with a program, and wait until the worker is at work."""
    jobs: list[JobProcess] = []

    def start(program: str, **options: float) -> JobProcess:
        job = JobProcess(a_job, a_python(working(program)), **options)
        jobs.append(job)
        job.start()
        wait_until(lambda: bool(job.poll()))
        assert job.state == "running"
        return job

    yield start
    for job in jobs:
        job.close()


def test_a_finished_job_leaves_what_the_library_itself_would_make(
    a_root: Path, a_scan: Volume, tiny_model: Path
) -> None:
    request = prepare_job(
        a_root, a_scan, model=str(tiny_model), mode="random", ratio=0.6, seed=5, device="cpu"
    )
    with JobProcess(request) as job:
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
        assert job.device == started.device
        assert str(started.device).startswith("CPU")
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


@pytest.mark.parametrize("program", [WORK_FOR_EVER, HANG])
def test_a_job_can_be_cancelled_in_the_middle_of_a_pass(
    running: Callable[..., JobProcess], worker_pid: Callable[[], int], a_root: Path, program: str
) -> None:
    job = running(program, kill_after=10.0 if program == WORK_FOR_EVER else 0.2)
    pid = worker_pid()
    job.cancel()
    assert (job.state, job.message) == ("cancelling", "Cancelling.")
    if program == HANG:  # which only `poll` ends: had `cancel` waited for the process, it would be gone
        assert lives(pid)
    assert job.wait(AT_ONCE) == "cancelled"
    assert job.message == "Cancelled; nothing was kept."
    wait_until(lambda: not lives(pid), AT_ONCE)
    job.close()
    assert not list(a_root.iterdir())


def test_closing_a_running_job_ends_it_and_removes_its_folder_at_once(
    running: Callable[..., JobProcess], worker_pid: Callable[[], int], a_root: Path
) -> None:
    job, pid = running(HANG), worker_pid()
    began = time.monotonic()
    job.close()
    assert time.monotonic() - began < AT_ONCE
    assert job.state == "cancelled"
    wait_until(lambda: not lives(pid), AT_ONCE)
    assert not list(a_root.iterdir())
    job.close()
    assert job.poll() == []


def test_a_terminated_worker_says_that_it_was_cancelled(
    running: Callable[..., JobProcess], worker_pid: Callable[[], int]
) -> None:
    job = running(WORK_FOR_EVER)
    os.kill(worker_pid(), signal.SIGTERM)
    assert job.wait(AT_ONCE) == "cancelled"


def test_a_killed_worker_is_one_sentence(
    running: Callable[..., JobProcess], worker_pid: Callable[[], int]
) -> None:
    job = running(WORK_FOR_EVER)
    os.kill(worker_pid(), signal.SIGKILL)
    assert job.wait(AT_ONCE) == "failed"
    assert job.message == KILLED


def test_a_worker_ends_and_cleans_up_when_its_parent_dies(
    a_job: ReconstructionRequest, a_python: PythonMaker, worker_pid: Callable[[], int]
) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from MAESILCore.jobs import JobProcess, ReconstructionRequest\n"
        "job = JobProcess(ReconstructionRequest.read(Path(sys.argv[1])), sys.argv[2])\n"
        "job.start()\n"
        "while not job.poll(): time.sleep(0.02)\n"
        "sys.stdout.write('running\\n'); sys.stdout.flush(); time.sleep(600)\n"
    )
    command = [
        sys.executable,
        "-c",
        program,
        str(a_job.folder / "job.json"),
        a_python(working(WORK_FOR_EVER)),
    ]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"running\n"
        pid = worker_pid()
        assert lives(pid)
        parent.kill()
    wait_until(lambda: not lives(pid), AT_ONCE)
    assert not a_job.folder.exists()


def test_a_launcher_that_does_not_pass_stdin_on_is_not_taken_for_a_dead_parent(
    a_job: ReconstructionRequest, a_python: PythonMaker
) -> None:
    program = working("def run(self): time.sleep(1.5); return 'Done.'\nWork.run = run")
    (a_job.folder / "result.json").write_text("{}")
    with JobProcess(a_job, a_python(program, stdin="/dev/null")) as job:
        job.start()
        assert job.wait(30) == "finished", job.message


def test_a_folder_that_vanishes_ends_the_job_with_a_sentence(
    running: Callable[..., JobProcess], a_job: ReconstructionRequest
) -> None:
    job = running(WORK_FOR_EVER)
    a_job.folder.rename(a_job.folder.with_name("elsewhere"))
    assert job.wait(AT_ONCE) == "failed"
    assert job.message == VANISHED


def test_what_libraries_print_goes_to_the_log(a_job: ReconstructionRequest, a_python: PythonMaker) -> None:
    noise = (
        "def run(self):\n"
        "    os.write(1, b'{not json\\n'); print('from Python', flush=True)\n"
        "    return 'Done.'\n"
        "Work.run = run\n"
        "os.write(1, b'from a launcher\\n')"
    )
    (a_job.folder / "result.json").write_text("{}")
    with JobProcess(a_job, a_python(working(noise))) as job:
        job.start()
        assert job.wait(30) == "finished"
        assert job.message == "Done."
        for line in ("{not json", "from Python", "from a launcher"):
            assert line in job.log


@pytest.mark.parametrize(
    ("package", "sentence"),
    [
        ("torch", NO_PYTORCH),
        ("numpy", "The package numpy is not installed"),
        ("pydantic", "The package pydantic"),
    ],
)
def test_a_python_without_a_package_is_told_in_a_sentence(
    a_job: ReconstructionRequest, a_python: PythonMaker, package: str, sentence: str
) -> None:
    with JobProcess(a_job, a_python(WITHOUT.format(package=package))) as job:
        job.start()
        assert job.wait(60) == "failed"
        assert job.message.startswith(sentence)
        assert "Traceback" in job.log
        assert str(a_job.folder) not in job.log


def test_a_python_that_is_not_there_is_refused_and_the_folder_removed(
    a_job: ReconstructionRequest, tmp_path: Path
) -> None:
    job = JobProcess(a_job, str(tmp_path / "no-python"))
    with pytest.raises(ConfigError, match=r"cannot be started \(No such file"):
        job.start()
    assert not a_job.folder.exists()


def test_a_program_that_is_no_python_is_told_in_a_sentence(a_job: ReconstructionRequest) -> None:
    with JobProcess(a_job, "/bin/false") as job:
        job.start()
        assert job.wait(30) == "failed"
        assert job.message == "The process ended unexpectedly with status 1 (it wrote no reason)."


def test_a_result_that_is_finished_while_being_cancelled_is_not_kept(
    running: Callable[..., JobProcess], a_job: ReconstructionRequest
) -> None:
    (a_job.folder / "result.json").write_text("{}")
    job = running(
        "def run(self):\n"
        "    self.tick()\n"
        "    while not (self._request.folder / 'cancel').exists(): pass\n"
        "    return 'Done.'\n"
        "Work.run = run"
    )
    job.cancel()
    assert job.wait(30) == "cancelled"


def test_a_job_gives_way_to_the_window_and_leaves_the_priority_of_its_parent(
    a_job: ReconstructionRequest, a_python: PythonMaker, worker_pid: Callable[[], int]
) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with JobProcess(a_job, python=a_python(working(WORK_FOR_EVER))) as job:
        job.start()
        pid = worker_pid()
        wait_until(lambda: bool(job.poll()))
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(own + NICENESS, 19)
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_a_job_on_the_processor_uses_every_core_that_pytorch_would(
    a_root: Path, a_scan: Volume, tiny_model: Path
) -> None:
    usual = [sys.executable, "-c", "import torch; print(torch.get_num_threads())"]
    threads = int(subprocess.run(usual, check=True, capture_output=True, text=True).stdout)
    with JobProcess(prepare_job(a_root, a_scan, model=str(tiny_model), device="cpu")) as job:
        job.start()
        assert job.wait(120.0) == "finished", job.message
        assert job.device == f"CPU, {threads} thread{'s' * (threads > 1)}"
        assert job.device in job.message
