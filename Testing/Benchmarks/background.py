"""Jobs in the background: what all cores gain, and how quick a slider is beside them, with and without low priority.

The slider beside a training is measured last, between two turns without it.
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from MAESILCore.data.volume import Volume
    from MAESILCore.jobs import JobProcess

ROOT = Path(__file__).resolve().parents[2]
#: Of the phantom that is reconstructed, and of the volume whose mask is moved meanwhile.
SHAPE = (96, 192, 192)
#: Seconds between two moves of the slider: a hand that moves on once it sees the change.
_PAUSE = 0.05

#: A launcher whose jobs keep the usual priority.
_EQUAL = """
import os, runpy, sys
os.nice = lambda by: 0
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def background_rows() -> list[tuple[str, str, str]]:
    """Rows of the table, measured in a fresh process."""
    if sys.platform == "win32":
        return [("Jobs in the background", "not measured", "the launcher is a shell script")]
    command = [sys.executable, "-m", "Testing.Benchmarks.background"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return [("Jobs in the background", "not measured", done.stderr.strip().splitlines()[-1][:60])]
    found = json.loads(done.stdout.splitlines()[-1])
    one, every, alone = found["seconds 1 thread"], found["seconds all threads"], found["alone"]["median"]
    k, j, i = SHAPE
    rows = [
        (
            f"Job on {i} x {j} x {k} voxels, one mask, scores, at low priority: 1 thread",
            f"{one:.1f} s",
            "1.00 x",
        ),
        ("The same on all cores", f"{every:.1f} s", f"{every / one:.2f} x"),
        ("Slider to overlays drawn in four views, no job", f"{alone:.0f} ms", "1.0 x"),
    ]
    for name, title in (
        ("1 thread", "beside a job of 1 thread less than there are cores, at usual priority"),
        ("equal", "beside a job on all cores, at usual priority"),
        ("low", "beside a job on all cores, at low priority"),
    ):
        ms = found[name]
        rows.append(
            (
                f"The same {title}",
                f"{ms['median']:.0f} ms, 95 % below {ms['p95']:.0f} ms",
                f"{ms['median'] / alone:.1f} x",
            )
        )
    ms, alone = found["training"], found["no training"]["median"]
    rows.append(
        (
            "The same beside a training of preset tiny on all cores, at low priority",
            f"{ms['median']:.0f} ms, 95 % below {ms['p95']:.0f} ms",
            f"{ms['median'] / alone:.1f} x ({alone:.0f} ms before and after it)",
        )
    )
    return rows


def measure() -> dict[str, object]:
    """Seconds of jobs, and milliseconds of the slider beside them."""
    from MAESILCore.phantom import make_phantom

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    fewer = max(1, cores - 1)
    volume = make_phantom(SHAPE, spacing=(2.0, 2.0, 3.7)).volume
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one, every = float("inf"), float("inf")
        # In turns, and the best of each: other programs slow a job of low priority down.
        for _ in range(3):
            one = min(one, _seconds(folder, volume, 1))
            every = min(every, _seconds(folder, volume, None))
        found: dict[str, object] = {"seconds 1 thread": one, "seconds all threads": every}
        with _slider() as move:
            found |= _beside_jobs(folder, volume, move, fewer)
    return found


def _beside_jobs(
    folder: Path, volume: Volume, move: Callable[[], float], fewer: int
) -> dict[str, dict[str, float]]:
    """The slider alone and beside jobs, of which one has `fewer` threads than there are cores."""
    found, equal = {"alone": _summary([move() for _ in range(30)])}, _launcher(folder)
    for case, python, threads in (
        ("1 thread", equal, fewer),
        ("equal", equal, None),
        ("low", sys.executable, None),
    ):
        found[case] = _summary(_beside(_job(folder, volume, python, threads, coverage=16), move))
    quiet = _paused(move, 20)
    found["training"] = _summary(_beside(_training(folder, volume), move))
    found["no training"] = _summary(quiet + _paused(move, 20))
    return found


def _seconds(folder: Path, volume: Volume, threads: int | None) -> float:
    """Wall time of a job from its start to its end."""
    with _job(folder, volume, sys.executable, threads, coverage=0) as job:
        started = time.perf_counter()
        job.start()
        if job.wait() != "finished":
            raise RuntimeError(job.message)
        return time.perf_counter() - started


def _paused(move: Callable[[], float], times: int) -> list[float]:
    """Milliseconds of the moves with the pauses of a hand."""
    found = []
    for _ in range(times):
        found.append(move())
        time.sleep(_PAUSE)
    return found


def _beside(prepared: AbstractContextManager[JobProcess], move: Callable[[], float]) -> list[float]:
    """Milliseconds of the moves while a job takes its passes or steps."""
    with prepared as job:
        job.start()
        while not job.fraction and not job.is_over:
            job.poll()
            time.sleep(0.02)
        times = []
        while len(times) < 40 and not job.is_over:
            times += _paused(move, 1)
            job.poll()
        if job.is_over:
            raise RuntimeError(job.message)
        return times


@contextmanager
def _job(
    folder: Path, volume: Volume, python: str, threads: int | None, coverage: int
) -> Iterator[JobProcess]:
    from MAESILCore.jobs import JobProcess, prepare_reconstruction
    from MAESILCore.lattice import MaskStrategy, SuperpatchGrid

    mask = None if coverage else MaskStrategy().sample_grid(SuperpatchGrid(SHAPE), 0)
    before = os.environ.get("OMP_NUM_THREADS")
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        request = prepare_reconstruction(folder, volume, mask=mask, coverage=coverage, device="cpu")
        with JobProcess(request.folder, python=python) as job:
            yield job
    finally:
        os.environ.pop("OMP_NUM_THREADS", None)
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


@contextmanager
def _training(folder: Path, volume: Volume) -> Iterator[JobProcess]:
    from MAESILCore.data.volume import write_volume
    from MAESILCore.jobs import JobProcess
    from MAESILCore.jobs.pretraining import prepare_pretraining

    scan = folder / "scan.nii.gz"
    write_volume(volume, scan)
    rare = {"preview_every": 0, "validate_every": 10**6, "checkpoint_every": 10**6}
    run = prepare_pretraining(
        folder, [scan], preset="tiny", steps=10**5, device="cpu", overrides={**rare, "hold_out": []}
    )
    with JobProcess(run) as job:
        yield job


@contextmanager
def _slider() -> Iterator[Callable[[], float]]:
    """What moves the slider once and draws the four views; its milliseconds. The application must live as long."""
    sys.path[:0] = [str(ROOT / "MAESILSlicer"), str(ROOT / "Testing"), str(ROOT / "Testing" / "Slicer")]
    import numpy as np
    import slicer

    from MAESILCore.lattice import MaskStrategy, SuperpatchGrid
    from MAESILSlicerLib.overlays.overlays import Overlays
    from offscreen import SLICES, THREE_D, OffscreenApplication, OffscreenViews
    from volumes import addTestVolume

    application = OffscreenApplication()
    slicer.mrmlScene = application.scene
    views = OffscreenViews(application, (512, 512))
    node = addTestVolume(application.scene, voxels=np.zeros(SHAPE, np.int16), spacing=(2.0, 2.0, 3.7))
    views.showVolume(node)
    overlays, grid, turns = Overlays(application.scene), SuperpatchGrid(SHAPE), count()
    overlays.show(node, grid)

    def move() -> float:
        turn = next(turns)
        started = time.perf_counter()
        overlays.setMask(MaskStrategy(plane_ratio=(0.45, 0.5, 0.55)[turn % 3]).sample_grid(grid, turn))
        for name in (*SLICES, THREE_D):
            views.view(name).render()
        return 1000.0 * (time.perf_counter() - started)

    for _ in range(3):
        move()
    try:
        yield move
    finally:
        application.close()


def _launcher(folder: Path) -> str:
    program, launcher = folder / "equal.py", folder / "python-equal"
    program.write_text(_EQUAL, encoding="utf-8")
    launcher.write_text(
        f'#!/bin/sh\nshift\nexec {shlex.quote(sys.executable)} -u {shlex.quote(str(program))} "$@"\n',
        encoding="utf-8",
    )
    launcher.chmod(0o755)
    return str(launcher)


def _summary(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {"median": statistics.median(ordered), "p95": ordered[int(0.95 * (len(ordered) - 1))]}


if __name__ == "__main__":
    print(json.dumps(measure()))
