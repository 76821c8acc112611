"""The training loop on a CPU: how long it waits for data, and two processes against two threads."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from MAESILCore.data.volume import write_volume
from MAESILCore.phantom import make_phantom
from MAESILCore.store.preparing import prepare

PRESET, CROPS, WARM_UP = "tiny", 4, 3
#: Scans of the store.
_SCANS = 4
RECIPE = """
preset: {preset}
crop: {{size: [{size}, {size}, {size}]}}
model: {{superpatch_size: [{size}, {size}, {size}]}}
steps: {steps}
warmup_steps: 2
batch_size: {crops}
checkpoint_every: 100000
validate_every: 100000
preview_every: 0
"""


def loop_rows(rounds: int, data: Path, size: int = 128, steps: int = 16) -> list[tuple[str, str, str]]:
    """Rows of the table: what, measured, ratio.

    Args:
        rounds: turns of each contender.
        data: folder with `train`, scans to train on; without it, on phantoms.
        size: voxels of a crop along each axis.
        steps: steps of a training.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = make_store(folder, sorted((data / "train").glob("*_CT.nii.gz"))[:_SCANS])
        recipe = folder / "recipe.yaml"
        recipe.write_text(RECIPE.format(preset=PRESET, size=size, steps=steps, crops=CROPS))
        one, two, waits = list[float](), list[float](), list[float]()
        for turn in range(rounds):
            alone = train(store, recipe, folder / f"one-{turn}", processes=1, threads=2)
            one.append(crops_per_second(alone))
            waits += [float(step["data_wait"]) for step in alone[1:]]
            two.append(crops_per_second(train(store, recipe, folder / f"two-{turn}", processes=2, threads=1)))
    best_one, best_two = max(one), max(two)
    return [
        (
            f"Share of a training step ({PRESET}, CPU, {CROPS} crops of {size}^3) spent waiting for data",
            f"{statistics.mean(waits):.2%}, at most {max(waits):.2%}",
            f"{len(waits)} steps; the first of each run is left out",
        ),
        ("Crops a second, 1 process of two threads", f"{best_one:.2f}", "1.00 x"),
        ("The same, 2 gloo processes of one thread", f"{best_two:.2f}", f"{best_two / best_one:.2f} x"),
    ]


def crops_per_second(steps: list[dict[str, float]]) -> float:
    """Crops of a step over the median time between two steps, those of the warm-up left out.

    The `superpatches_per_second` of the events is a mean over 20 steps, so it would hold the slow first ones.
    """
    return CROPS / float(np.median(np.diff([step["time"] for step in steps])[WARM_UP:]))


def make_store(folder: Path, scans: list[Path]) -> Path:
    if not scans:
        for seed in range(_SCANS):
            scans.append(folder / f"phantom{seed}.nii.gz")
            write_volume(make_phantom((96, 192, 192), seed=seed).volume, scans[-1])
    prepare(scans, folder / "store")
    return folder / "store"


def train(
    store: Path,
    recipe: Path,
    run: Path,
    *,
    processes: int,
    threads: int,
    variables: Mapping[str, str] = {},
    watch: Callable[[list[subprocess.Popen[str]]], None] = lambda _: None,
) -> list[dict[str, float]]:
    """The step events of a training whose processes are started as torchrun does.

    Args:
        store: the store or scans.
        recipe: the YAML file.
        run: the run folder.
        processes: number of processes.
        threads: threads of each.
        variables: more of the environment.
        watch: called once, with the running processes.

    Raises:
        RuntimeError: a process has failed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "MAESILCore", "pretrain", str(store), "--out", str(run)]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": str(threads)}
    shared |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    running = [
        subprocess.Popen(
            [*command, "--recipe", str(recipe), "--device", "cpu"],
            env={**os.environ, **variables, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    try:
        watch(running)
        said = [process.communicate()[1] for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    for process, text in zip(running, said, strict=True):
        if process.returncode:
            raise RuntimeError(" ".join(text.split())[-300:])
    events = map(json.loads, (run / "events.jsonl").read_text(encoding="ascii").splitlines())
    return [event for event in events if event["event"] == "step"]
