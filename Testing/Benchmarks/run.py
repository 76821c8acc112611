"""`make bench`: how fast and how big MAESIL is, as one table."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def import_row(rounds: int = 7) -> tuple[str, str, str]:
    """Time `import MAESILCore` in fresh interpreters, less the start of an empty one."""

    def fresh(code: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - started

    empty = min(fresh("pass") for _ in range(rounds))
    full = min(fresh("import MAESILCore") for _ in range(rounds))
    return ("import MAESILCore", f"{(full - empty) * 1000:.0f} ms", "")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender")
    parser.add_argument(
        "--scan", type=Path, help="CT for the reconstruction; else data/native, else a phantom"
    )
    parser.add_argument("--preset", default="tiny", help="sizes of the methods in the part methods")
    parser.add_argument("--only", nargs="+", metavar="PART", help="some parts of the table")
    options = parser.parse_args()

    import torch
    from rich.console import Console
    from rich.table import Table

    from MAESILCore.devices import pick_device
    from Testing.Benchmarks.against import against_rows
    from Testing.Benchmarks.background import background_rows
    from Testing.Benchmarks.checkpoints import checkpoint_rows
    from Testing.Benchmarks.estimate import estimate_rows
    from Testing.Benchmarks.features import feature_rows
    from Testing.Benchmarks.lattices import lattice_rows
    from Testing.Benchmarks.loop import loop_rows
    from Testing.Benchmarks.methods import method_rows, one_crop_rows
    from Testing.Benchmarks.overlays import overlay_rows
    from Testing.Benchmarks.probe import probe_rows
    from Testing.Benchmarks.reconstruction import reconstruction_rows
    from Testing.Benchmarks.search import search_rows
    from Testing.Benchmarks.segmentation import learning_rows, segmentation_rows, tile_rows
    from Testing.Benchmarks.sharding import sharding_rows
    from Testing.Benchmarks.store import store_rows
    from Testing.Benchmarks.training import training_rows
    from Testing.Benchmarks.web import web_rows

    warnings.filterwarnings("ignore", message="torch.meshgrid")
    data = Path(os.environ.get("MAESIL_DATA", ROOT.parent / "shared" / "data"))
    native = data / "native" / "LIDC-IDRI-0001_native_CT.nii.gz"
    scan = options.scan or (native if native.is_file() else None)
    device = pick_device("auto")
    title = f"{device}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}, {platform.machine()}"
    table = Table("what", "measured", "ratio", title=title)
    parts: dict[str, Callable[[], Iterable[tuple[str, str, str]]]] = {
        "import": lambda: [import_row()],
        "overlays": lambda: overlay_rows(options.rounds),
        "training": lambda: training_rows(options.rounds, device),
        "methods": lambda: [
            *method_rows(options.rounds, device, options.preset),
            *one_crop_rows(min(options.rounds, 3)),
        ],
        "checkpoints": lambda: checkpoint_rows(options.rounds, device),
        "store": lambda: store_rows(options.rounds, scan, data),
        "loop": lambda: loop_rows(min(options.rounds, 3), data),
        "sharding": sharding_rows,
        "estimate": lambda: estimate_rows(data),
        "background": background_rows,
        "reconstruction": lambda: reconstruction_rows(scan),
        "features": lambda: feature_rows(scan),
        "search": lambda: search_rows(scan),
        "segmentation": lambda: segmentation_rows(scan),
        "tiles": tile_rows,
        "learning": learning_rows,
        "lattices": lambda: lattice_rows(data),
        "probe": lambda: probe_rows(data),
        "against": lambda: against_rows(scan),
        "web": lambda: web_rows(scan),
    }
    unknown = set(options.only or ()) - set(parts)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; choose from {', '.join(parts)}")
    for part in options.only or parts:
        for row in parts[part]():
            table.add_row(*row)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
