"""Reconstruction of a whole CT: time over the bare network passes, and memory over input and outputs."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

SLICES, WIDTH = 133, 512


def reconstruction_rows(scan: Path | None) -> list[tuple[str, str, str]]:
    """Rows of the table, measured in a fresh process so that its memory peak is its own."""
    command = [sys.executable, "-m", "Testing.Benchmarks.reconstruction", *([str(scan)] if scan else [])]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads(output.splitlines()[-1])
    over = found["seconds"] / found["bare_seconds"]
    shape = " x ".join(str(size) for size in found["shape"][::-1])
    return [
        (
            f"Bare network passes over {found['superpatches']} superpatches",
            f"{found['bare_seconds']:.1f} s",
            "1.0 x",
        ),
        (
            f"Reconstruction of {shape}, bundled model, files included",
            f"{found['seconds']:.1f} s",
            f"{over:.2f} x",
        ),
        (
            "Its peak memory beyond program, input and outputs",
            f"{found['extra_gib']:.2f} GiB",
            f"peak {found['peak_gib']:.2f} GiB",
        ),
    ]


def measure(scan: Path | None) -> dict[str, object]:
    """Time a reconstruction with its files, then only its network passes on the same superpatches."""
    from MAESILCore.data.volume import read_volume
    from MAESILCore.inference import reconstruct, save_reconstruction
    from MAESILCore.lattice import MaskStrategy
    from MAESILCore.models.checkpoint import load_checkpoint
    from MAESILCore.phantom import make_phantom

    model = load_checkpoint()
    # Whatever is loaded at the first use belongs to the program.
    model.reconstruct(torch.zeros(1, 1, 16, 16, 16), torch.ones(1, 2, 2, 2, dtype=torch.bool))
    program = peak_bytes()
    volume = (
        read_volume(scan) if scan else make_phantom((SLICES, WIDTH, WIDTH), spacing=(0.7, 0.7, 2.5)).volume
    )
    passes = Passes(model)
    started = time.perf_counter()
    result = reconstruct(volume, passes, strategy=MaskStrategy(), seed=0, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        save_reconstruction(result, Path(folder) / "out")
    seconds = time.perf_counter() - started
    after = peak_bytes()
    outputs = sum(
        part.voxels.nbytes
        for part in (result.reconstruction, result.mosaic, result.error)
        if part is not None
    )
    return {
        "shape": volume.shape,
        "superpatches": len(result.grid),
        "seconds": seconds,
        "bare_seconds": passes.seconds,
        "extra_gib": (after - program - volume.voxels.nbytes - outputs) / 2**30,
        "peak_gib": after / 2**30,
    }


class Passes:
    """A model that adds up the time its network passes take."""

    def __init__(self, model: object) -> None:
        self.model, self.seconds = model, 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)

    def reconstruct(self, superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Time and pass on."""
        started = time.perf_counter()
        prediction = self.model.reconstruct(superpatches, hidden)  # type: ignore[attr-defined]
        self.seconds += time.perf_counter() - started
        return prediction


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if (
        status.is_file()
    ):  # on Linux the usage counters below still hold the peak of the process that forked this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]) if len(sys.argv) > 1 else None)))
