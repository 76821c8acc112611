"""Features of a whole CT: time over the bare network passes, memory, and the time from a click to a similarity map."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from Testing.Benchmarks.reconstruction import SLICES, WIDTH, peak_bytes

#: Clicks that are timed; the first one of a map measures the lengths of all its vectors.
_CLICKS = 10


def feature_rows(scan: Path | None) -> list[tuple[str, str, str]]:
    """Rows of the table, each measured in a fresh process so that its memory peak is its own."""
    rows = []
    for levels in ("deepest", "all"):
        command = [
            sys.executable,
            "-m",
            "Testing.Benchmarks.features",
            levels,
            *([str(scan)] if scan else []),
        ]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = json.loads(output.splitlines()[-1])
        shape = " x ".join(str(size) for size in found["shape"][::-1])
        over = found["seconds"] / found["bare_seconds"]
        what = f"Features of {shape}, {levels} of {found['levels']} levels, files included"
        rows += [
            (f"Bare network passes over {found['tiles']} tiles", f"{found['bare_seconds']:.1f} s", "1.0 x"),
            (what, f"{found['seconds']:.1f} s", f"{over:.2f} x"),
            (
                "Its peak memory beyond program, input and maps",
                f"{found['extra_gib']:.2f} GiB",
                f"peak {found['peak_gib']:.2f} GiB",
            ),
        ]
    clicks = found["clicks"]
    rows.append(("Click to similarity map, the first one", f"{clicks[0] * 1000:.0f} ms", ""))
    rows.append(("Click to similarity map, the slowest later one", f"{max(clicks[1:]) * 1000:.0f} ms", ""))
    return rows


def measure(levels: str, scan: Path | None) -> dict[str, object]:
    """Time the features of a scan with their files, and the network passes among it, then clicks."""
    from MAESILCore.data.volume import read_volume
    from MAESILCore.inference import encode_levels, save_features
    from MAESILCore.lattice import similarity
    from MAESILCore.methods.base import Features
    from MAESILCore.models.checkpoint import load_checkpoint
    from MAESILCore.phantom import make_phantom

    model = load_checkpoint()
    features, spent = model.method.features, []

    def timed(superpatches: torch.Tensor, numbers: Sequence[int] = (-1,)) -> list[Features]:
        started = time.perf_counter()
        found = features(superpatches, numbers)
        spent.append(time.perf_counter() - started)
        return found

    # Whatever is loaded at the first use belongs to the program.
    model.method.features(torch.zeros(1, 1, 16, 16, 16))
    program = peak_bytes()
    volume = (
        read_volume(scan) if scan else make_phantom((SLICES, WIDTH, WIDTH), spacing=(0.7, 0.7, 2.5)).volume
    )
    model.method.features = timed  # type: ignore[method-assign]
    started = time.perf_counter()
    found = encode_levels(volume, model, (-1,) if levels == "deepest" else None, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        save_features(found, folder, volume=volume, model=model)
    seconds, after = time.perf_counter() - started, peak_bytes()
    clicks = []
    for number in range(_CLICKS):
        started = time.perf_counter()
        similarity(found[-1].map, (number, 30, 30))
        clicks.append(time.perf_counter() - started)
    maps = sum(one.map.vectors.nbytes for one in found)
    return {
        "shape": volume.shape,
        "tiles": len(spent),
        "levels": len(model.abilities.levels),
        "seconds": seconds,
        "bare_seconds": sum(spent),
        "extra_gib": (after - program - volume.voxels.nbytes - maps) / 2**30,
        "peak_gib": after / 2**30,
        "clicks": clicks,
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None)))
