"""Two gloo processes on a CPU that hold the preset `paper` whole (`ddp`) or sharded (`fsdp`): memory and time."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from Testing.Benchmarks.loop import RECIPE, WARM_UP, make_store, train

PRESET, SIZE, CROPS = "paper", 32, 2
#: Steps of a training that is timed, and of one whose memory is watched.
_TIMED, _WATCHED = 9, 6
#: glibc then gives freed tensors back at once, for more time: what a process holds is what it uses.
_FREEING = {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
#: Seconds between two looks at the memory.
_LOOK = 0.05


def sharding_rows() -> list[tuple[str, str, str]]:
    """Rows of the table: what, measured, ratio. The scans are phantoms, since small crops of any will do."""
    memory, seconds = dict[str, float](), dict[str, float]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, recipe = make_store(folder, []), folder / "recipe.yaml"
        for strategy in ("ddp", "fsdp"):
            used, watched = list[int](), folder / f"{strategy}-memory"

            def watch(
                running: list[subprocess.Popen[str]], used: list[int] = used, run: Path = watched
            ) -> None:
                used += resident(running[1], run)

            _write(recipe, strategy, _TIMED)
            steps = train(store, recipe, folder / f"{strategy}-time", processes=2, threads=1)
            seconds[strategy] = float(np.median(np.diff([step["time"] for step in steps])[WARM_UP:]))
            _write(recipe, strategy, _WATCHED)
            train(store, recipe, watched, processes=2, threads=1, variables=_FREEING, watch=watch)
            memory[strategy] = float(np.median(used)) / 2**30
    what = f"of {PRESET}, crops of {SIZE}^3, 2 gloo processes of one thread"
    return [
        (f"Memory of the second process {what}: whole", f"{memory['ddp']:.2f} GiB", "1.00 x"),
        ("The same, sharded", f"{memory['fsdp']:.2f} GiB", f"{memory['fsdp'] / memory['ddp']:.2f} x"),
        (f"Step {what}: whole", f"{seconds['ddp']:.2f} s", "1.00 x"),
        ("The same, sharded", f"{seconds['fsdp']:.2f} s", f"{seconds['fsdp'] / seconds['ddp']:.2f} x"),
    ]


def _write(recipe: Path, strategy: str, steps: int) -> None:
    text = RECIPE.format(preset=PRESET, size=SIZE, steps=steps, crops=CROPS)
    recipe.write_text(f"{text}strategy: {strategy}\n")


def resident(process: subprocess.Popen[str], run: Path) -> list[int]:
    """The resident bytes of a process at many moments between the second and the last step of its run."""
    found = list[int]()
    watched, events = psutil.Process(process.pid), run / "events.jsonl"
    while process.poll() is None:
        steps = events.read_text(encoding="ascii").count('"event": "step"') if events.is_file() else 0
        if 2 <= steps < _WATCHED:
            found.append(watched.memory_info().rss)
        time.sleep(_LOOK)
    return found
