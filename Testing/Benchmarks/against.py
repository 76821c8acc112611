"""A whole CT, today's code beside an older revision of it, both measured by this file in one run."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OLD = "051c664"
SHAPE = (133, 512, 512)

#: Rows and the number of masks in each; 0 is a single one.
WORK = {"One mask": 0, "Coverage of 4": 4}


def against_rows(scan: Path | None, shape: tuple[int, int, int] = SHAPE) -> list[tuple[str, str, str]]:
    """Rows of the table; without the old revision in the history, they hold today's code alone."""
    size = " x ".join(map(str, shape[::-1]))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        is_old_there = export(OLD, Path(folder), "MAESILCore", "Resources/Models")
        for name, coverage in WORK.items():
            old = seconds(Path(folder), scan, shape, coverage) if is_old_there else None
            new = seconds(ROOT, scan, shape, coverage)
            what = f"{name}, {size}, bundled model, processor time"
            if old is None:
                rows.append((what, f"{new:.0f} s", f"{OLD} is not in this clone's history"))
            else:
                rows.append((what, f"{new:.0f} s, {OLD} {old:.0f} s", f"{new / old:.2f} x"))
    return rows


def export(revision: str, folder: Path, *paths: str) -> bool:
    """Unpack some paths of a revision into a folder; False if the history does not have it."""
    archive = folder / "old.tar"
    command = ["git", "-C", str(ROOT), "archive", "-o", str(archive), revision, *paths]
    try:
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return False
    except FileNotFoundError:
        return False
    import tarfile

    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return True


def seconds(root: Path, scan: Path | None, shape: tuple[int, int, int], coverage: int) -> float:
    """Processor seconds of one reconstruction by the code in `root`, in a fresh process."""
    command = [sys.executable, str(Path(__file__).resolve()), str(coverage), *map(str, shape)]
    # Only this root: the old code must not find today's packages.
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
    if scan is not None:
        command += ["--scan", str(scan)]
    done = subprocess.run(command, env=environment, cwd=root, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    if Path(found["package"]).resolve() != (root / "MAESILCore").resolve():
        message = f"measured {found['package']} in place of {root}"
        raise RuntimeError(message)
    return float(found["seconds"])


def measure(scan: Path | None, shape: tuple[int, int, int], coverage: int) -> dict[str, object]:
    """Run in the child process, with the old names or today's."""
    import numpy as np

    import MAESILCore

    try:
        from MAESILCore.data.volume import Volume, read_volume
        from MAESILCore.inference import reconstruct
        from MAESILCore.models.checkpoint import load_checkpoint
    except ModuleNotFoundError:  # before the rooms
        from MAESILCore.checkpoint import load_checkpoint  # type: ignore[import-not-found, no-redef]
        from MAESILCore.reconstruct import reconstruct  # type: ignore[import-not-found, no-redef]
        from MAESILCore.volume import Volume, read_volume  # type: ignore[import-not-found, no-redef]
    from MAESILCore.phantom import make_phantom

    volume = read_volume(scan) if scan else make_phantom(shape, spacing=(0.7, 0.7, 2.5)).volume
    # The middle of the scan; what it is short of is its edge repeated.
    starts = [max(0, (have - want) // 2) for have, want in zip(volume.shape, shape, strict=True)]
    part = volume.voxels[tuple(slice(a, a + n) for a, n in zip(starts, shape, strict=True))]
    part = np.pad(part, [(0, n - have) for n, have in zip(shape, part.shape, strict=True)], mode="edge")
    model = load_checkpoint()
    started = time.process_time()
    reconstruct(Volume(part, volume.ijk_to_ras, "scan"), model, coverage=coverage, device="cpu")
    spent = time.process_time() - started
    return {"package": str(Path(MAESILCore.__file__).parent), "seconds": spent}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("coverage", type=int)
    parser.add_argument("shape", type=int, nargs=3)
    parser.add_argument("--scan", type=Path)
    options = parser.parse_args()
    print(json.dumps(measure(options.scan, tuple(options.shape), options.coverage)))
