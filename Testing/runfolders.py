"""Run folders as a training writes them, without a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.jobfolder import Event, JobFolder
from MAESILCore.jobs.pretraining import prepare_pretraining

#: Of previews, in (k, j, i).
SHAPE = (12, 20, 24)


def add_run(
    root: Path,
    name: str,
    *,
    steps: int = 0,
    total: int = 40,
    end: str = "",
    message: str = "",
    started: float = 1000.0,
    **choices: object,
) -> Path:
    """A run of method maesil that has taken some steps.

    Args:
        root: the folder of runs.
        name: name of the run.
        steps: steps taken; every tenth is followed by a validation.
        total: steps requested.
        end: the last event, such as finished; "" for a process that was killed, or, without a step, was never started.
        message: sentence of the last event.
        started: time of the first event, seconds since 1970.
        choices: further ones of `prepare_pretraining`.
    """
    scans = root.parent / "scans"
    scans.mkdir(parents=True, exist_ok=True)
    folder = prepare_pretraining(
        root, [scans], **{"name": name, "method": "maesil", "preset": "tiny", "steps": total, **choices}
    )
    if not steps:
        return folder
    job = JobFolder(folder)
    job.write(Event("started", step=0, total=total, time=started))
    for step in range(1, steps + 1):
        add_step(folder, step, total, started)
    if end:
        job.write(Event(end, message, steps, total, time=started + steps + 1))
    return folder


def add_step(folder: Path, step: int, total: int = 40, started: float = 1000.0) -> None:
    """One more step of a run, and a validation after every tenth."""
    job, time = JobFolder(folder), started + step
    fields = {"loss": 1.0 / step, "learning_rate": 1e-3, "superpatches_per_second": 2.0}
    job.write(Event("step", "", step, total, 100.0 * (total - step), fields, time))
    if step % 10 == 0:
        scores = {"psnr_hidden": 20.0 + step / 10, "ssim_hidden": 0.5}
        job.write(Event("validation", "", step, total, None, scores, time))


def add_preview(folder: Path, step: int) -> None:
    """The files of a preview: the scan, the model's input and its prediction."""
    place, truth = folder / "previews", np.zeros(SHAPE, np.int16)
    place.mkdir(exist_ok=True)
    truth[:, 5:15, 5:15] = 100
    masked, geometry = truth.copy(), np.diag([1.0, 1.0, 2.0, 1.0])
    masked[:, ::4] = -1000
    for name, voxels in (("truth", truth), ("hidden", masked), (f"step-{step:08d}", truth + step)):
        write_volume(Volume(voxels.astype(np.int16), geometry), place / f"{name}.nii.gz")
    (place / f"step-{step:08d}.png").write_bytes(b"")


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Within the block, a process works on the run: that of the test."""
    with JobFolder(folder).lock:
        yield
