"""What `maesil pretrain --estimate` says of time and memory, beside real trainings from files and from a store."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from MAESILCore.data.volume import write_volume
from MAESILCore.jobfolder import Event
from MAESILCore.phantom import make_phantom
from MAESILCore.store.preparing import prepare
from MAESILCore.training import Run, load_config, pretrain
from MAESILCore.training.trial import _peak as peak_memory
from MAESILCore.training.trial import estimate_training

PRESETS = ("tiny", "small")
ESTIMATE, FILES, STORE = "estimate", "from files", "from a store"
#: As many steps as a trial takes; the first half, which is slower, does not count there, either.
STEPS, CROPS, SCANS = 8, 2, 4


def estimate_rows(
    data: Path, presets: Sequence[str] = PRESETS, size: int = 128
) -> list[tuple[str, str, str]]:
    """Rows of the table: what, measured, ratio to the estimate.

    Args:
        data: folder with `train`, scans to train on; without it, phantoms.
        presets: presets of the default method.
        size: voxels of a crop along each axis.
    """
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scans = sorted((data / "train").glob("*_CT.nii.gz"))[:SCANS]
        for seed in range(0 if scans else SCANS):
            scans.append(folder / f"phantom{seed}.nii.gz")
            write_volume(make_phantom((96, 192, 192), seed=seed).volume, scans[-1])
        prepare(scans, folder / "store")
        for preset in presets:
            seconds, memory = _measured(ESTIMATE, preset, size, [])
            what = f"A step of {preset}, {CROPS} crops of {size}^3"
            rows.append((f"{what}, --estimate", _text(seconds, memory), "1.00 x"))
            for kind, source in ((FILES, scans), (STORE, [folder / "store"])):
                real, used = _measured(kind, preset, size, source)
                ratio = f"time {real / seconds:.2f} x, memory {used / memory:.2f} x"
                rows.append((f"{what}, {kind}", _text(real, used), ratio))
    return rows


def _text(seconds: float, memory: float) -> str:
    return f"{seconds:.2f} s, {memory / 2**30:.2f} GiB"


def _measured(kind: str, preset: str, size: int, scans: Sequence[Path]) -> tuple[float, float]:
    """Seconds of a step and the largest memory in bytes, of a process of its own."""
    command = [sys.executable, "-m", "Testing.Benchmarks.estimate", kind, preset, str(size), *map(str, scans)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, memory = json.loads(output.splitlines()[-1])
    return seconds, memory


def measure(kind: str, preset: str, size: int, scans: Sequence[Path]) -> tuple[float, int]:
    """What the process measures: on the CPU, without validations and previews."""
    changes: dict[str, Any] = {
        "preset": preset,
        "model": {"superpatch_size": [size] * 3},
        "crop": {"size": [size] * 3},
        "batch_size": CROPS,
        "steps": STEPS,
        "warmup_steps": 1,
        "preview_every": 0,
        "hold_out": [],
    }
    config = load_config(None, changes)
    if kind == ESTIMATE:
        cost = estimate_training(config, "cpu")
        return cost.seconds_per_step, cost.bytes
    times: list[float] = []

    def note(event: Event) -> None:
        if event.event == "step":
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        pretrain(Run.create(Path(folder) / "run"), config, scans, device="cpu", progress=note)
    steps = [later - earlier for earlier, later in pairwise(times)]
    return statistics.median(steps[len(steps) // 2 :]), peak_memory(torch.device("cpu"))


if __name__ == "__main__":
    kind, preset, size, *scans = sys.argv[1:]
    print(json.dumps(measure(kind, preset, int(size), [Path(scan) for scan in scans])))
