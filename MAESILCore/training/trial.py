"""Measures what a training costs before it is started: seconds per step and memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch

from MAESILCore.devices import pick_device
from MAESILCore.errors import Cancelled
from MAESILCore.jobfolder import Event, JobFolder
from MAESILCore.methods.base import MethodConfig
from MAESILCore.optional import require
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.crops import Drawing, draw_crop, sample_of
from MAESILCore.training.run import Run
from MAESILCore.training.scans import drawing_of
from MAESILCore.training.source import Opening, Sample, SampleKey, TrainingData
from MAESILCore.training.trainer import pretrain

#: Steps of a trial. The first half, which is slower, does not count.
_STEPS = 8
#: Seconds after which a trial takes no further step.
_ENOUGH_SECONDS = 20.0


class TrainingCost(NamedTuple):
    """What a training costs on a device.

    Attributes:
        seconds_per_step: time of one optimiser step, give or take a third on an otherwise idle computer. Validations,
            previews and the wait for scans on a slow disk come on top.
        bytes: largest memory; of the device for a GPU, else of the process. The cache of scans comes on top.
        device: name of the device.
    """

    seconds_per_step: float
    bytes: int
    device: str


def estimate_training(
    config: PretrainConfig, device: str = "auto", cancelled: Callable[[], bool] = lambda: False
) -> TrainingCost:
    """Take some steps of a training on made-up scans in crops of full size, and measure them.

    Call it in a process of its own: the memory of the process counts, and a device may run out of it.

    Args:
        config: the recipe.
        device: auto, cpu, cuda, cuda:N or mps.
        cancelled: called after each step; True stops the trial.

    Raises:
        Cancelled: the trial was stopped.
        ConfigError: the recipe does not fit, or the device is not there.
        RuntimeError: the device has too little memory.
    """
    times: list[float] = []

    def note(event: Event) -> None:
        if event.event in ("started", "step"):
            times.append(time.perf_counter())
        if event.event == "step":
            if cancelled():
                raise Cancelled("Stopped.")
            if len(times) > _STEPS or times[-1] - times[0] > _ENOUGH_SECONDS:
                raise _EnoughError

    changes: dict[str, Any] = {"steps": max(_STEPS + 1, config.steps), "hold_out": ()}
    with TemporaryDirectory(prefix="maesil-trial-", ignore_cleanup_errors=True) as folder:
        run = Run.prepared(JobFolder(Path(folder)), note, {})
        with suppress(_EnoughError):
            pretrain(run, config.model_copy(update=changes), _open, device=device)
    place = pick_device(device)
    steps = np.diff(times)
    return TrainingCost(float(np.median(steps[len(steps) // 2 :])), _peak(place), str(place))


class _EnoughError(Cancelled):
    """The trial has taken its steps."""


def _open(config: PretrainConfig, sizes: MethodConfig, opening: Opening) -> TrainingData:
    return TrainingData(_MadeUp(drawing_of(config, sizes)))


class _MadeUp:
    """A `SampleSource` of noise in which every crop has the full size."""

    def __init__(self, drawing: Drawing) -> None:
        self._drawing = drawing
        shape = [round(2 * size) for size in drawing.crop.size]
        self._voxels = np.random.default_rng(0).integers(-200, 200, shape, dtype=np.int16)

    def __len__(self) -> int:
        return 1

    def describe(self) -> str:
        return "[]"

    def draw(self, key: SampleKey) -> Sample:
        drawing = self._drawing
        generator = np.random.default_rng((key.seed, key.step, key.index))
        window = drawing.intensity.window_of(self._voxels)
        crop = draw_crop(self._voxels, drawing.crop, window, drawing.patch_size, generator, (1.0, 1.0, 1.0))
        return sample_of(*crop, drawing, generator)


def _peak(device: torch.device) -> int:
    """The largest memory so far, in bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    if sys.platform == "win32":
        psutil: Any = require("psutil", "Measuring memory")
        return int(psutil.Process().memory_info().peak_wset)
    status = Path("/proc/self/status")
    if status.is_file():
        # On Linux `getrusage` would count the process that started this one, too.
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
