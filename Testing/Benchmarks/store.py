"""Crops from a store: speed against MONAI's PersistentDataset, size against gzip NIfTI, and memory of 1,000 scans."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.data.formats.names import extension_of
from MAESILCore.data.intensity import Intensity
from MAESILCore.data.volume import write_volume
from MAESILCore.store.decoded import LIMIT
from MAESILCore.store.index import Entry, Index, Source
from MAESILCore.store.layout import INDEX, QUARANTINE_TABLE, SCANS, STORE
from MAESILCore.store.opened import Store
from MAESILCore.store.preparing import prepare
from MAESILCore.training.corpus import Corpus, inspect
from MAESILCore.training.crops import CropConfig, Drawing
from MAESILCore.training.loader import drawn_ahead
from MAESILCore.training.source import Sample, SampleKey, TrainingData
from MAESILCore.training.stored import StoredScans
from Testing.Benchmarks.timing import best_of

SIZE, CROPS = 128, 8
#: No augmentation, as MONAI's crop has none.
PLAIN = CropConfig(zoom=(1.0, 1.0), zoom_probability=0.0, flip=False, swap_probability=0.0, minimum_body=0.0)
SCANS_IN_MEMORY_TEST, STEPS = 1000, 12
#: Steps of `CROPS` crops that worker processes draw.
WORKED = 6


def store_rows(rounds: int, scan: Path | None, data: Path) -> list[tuple[str, str, str]]:
    """Rows of the table: what, measured, ratio.

    Args:
        rounds: turns of each contender.
        scan: a CT as a scanner makes it; None for a phantom of that size.
        data: folder with `train`, scans of a quarter of the pixels; skipped if it is missing.
    """
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if scan is None:
            from MAESILCore.phantom import make_phantom

            scan = folder / "phantom.nii.gz"
            write_volume(make_phantom((133, 512, 512), spacing=(0.7, 0.7, 2.5)).volume, scan)
        rows += _rows_of(folder, "512 x 512 pixels", [scan], rounds)
        small = sorted((data / "train").glob("*_CT.nii.gz"))
        if small:
            rows += _rows_of(folder, f"{len(small)} scans of 256 x 256 or less", small, rounds)
        rows += _workers_rows(small or [scan])
        rows.append(_memory_row(folder / "store of 512 x 512 pixels"))
    return rows


def _rows_of(folder: Path, what: str, scans: list[Path], rounds: int) -> list[tuple[str, str, str]]:
    place = folder / f"store of {what}"
    prepare(scans, place)
    store = Store(place)
    contenders = {"MONAI": _monai(scans, folder / f"cache of {what}"), "disk": _ours(store, 0)}
    contenders["memory"] = _ours(store, LIMIT)
    for _ in range(2 * len(scans)):  # decode what is kept
        contenders["memory"]()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = best_of(contenders, rounds)
    torch.set_num_threads(threads)
    speeds = {name: CROPS / taken for name, taken in seconds.items()}
    rows = [
        (f"Crops a second, MONAI PersistentDataset, {what}", f"{speeds['MONAI']:.1f}", "1.0 x"),
        *(
            (
                f"Crops a second, store, {how}",
                f"{speeds[name]:.1f}",
                f"{speeds[name] / speeds['MONAI']:.1f} x as fast",
            )
            for name, how in (("disk", "decoded for each crop"), ("memory", "scans that fit into its memory"))
        ),
    ]
    if all(extension_of(scan) == ".nii.gz" for scan in scans):
        files = sum(scan.stat().st_size for scan in scans)
        size = sum(path.stat().st_size for path in (place / SCANS).rglob("*") if path.is_file())
        rows.append(
            (
                "Size of the store, against gzip NIfTI",
                f"{size / 2**20:.0f} MiB, {files / 2**20:.0f} MiB",
                f"{size / files:.2f} x as large",
            )
        )
    return rows


def _ours(store: Store, memory: int) -> Callable[[], object]:
    """Draws crops of the voxels in [0, 1] at random offsets."""
    source = StoredScans(store, range(len(store)), _drawing(PLAIN), memory)
    steps = iter(range(10**9))

    def draw() -> object:
        step = next(steps)
        return [source.draw(SampleKey(0, step, index)).voxels for index in range(CROPS)]

    return draw


def _workers_rows(scans: Sequence[Path]) -> list[tuple[str, str, str]]:
    """Crops a second out of gzip NIfTI files, each decoded for one crop, by a thread and by worker processes."""
    source = Corpus(inspect(Discovery.of(scans).scans), _drawing(PLAIN), cache_bytes=1)

    def keys(step: int) -> list[SampleKey]:
        return [SampleKey(0, step, index) for index in range(CROPS)]

    speeds = {}
    for workers in (0, 2):
        with closing(drawn_ahead(source, keys, range(1 + WORKED), workers)) as ahead:
            next(ahead)  # the workers have started
            started = time.perf_counter()
            for _ in ahead:
                pass
            speeds[workers] = WORKED * CROPS / (time.perf_counter() - started)
    return [
        ("Crops a second, gzip NIfTI, drawn by a thread", f"{speeds[0]:.1f}", "1.0 x"),
        ("Crops a second, 2 workers", f"{speeds[2]:.1f}", f"{speeds[2] / speeds[0]:.1f} x as fast"),
    ]


def _monai(scans: Sequence[Path], cache: Path) -> Callable[[], object]:
    """The same crops as MONAI's users get them: windowed volumes in the cache, then a random crop, contiguous."""
    from monai import transforms
    from monai.data import PersistentDataset

    steps = [
        transforms.LoadImaged("image"),
        transforms.EnsureChannelFirstd("image"),
        transforms.ScaleIntensityRanged("image", -1000, 1000, 0, 1, clip=True),
        transforms.RandSpatialCropd("image", (SIZE,) * 3, random_size=False),
    ]
    chosen: Any = PersistentDataset(
        [{"image": str(scan)} for scan in scans], transforms.Compose(steps), cache_dir=cache
    )
    for number in range(len(scans)):  # fill the cache
        chosen[number]
    # As ours: scans by the square root of their size.
    weights = np.sqrt([float(chosen[number]["image"].numel()) for number in range(len(scans))])
    generator = np.random.default_rng(0)

    def draw() -> object:
        numbers = generator.choice(len(scans), CROPS, p=weights / weights.sum())
        return [chosen[int(number)]["image"].contiguous() for number in numbers]

    return draw


def _drawing(crop: CropConfig) -> Drawing:
    return Drawing(crop, None, Intensity(), (8, 8, 8), (SIZE,) * 3)


def _memory_row(store: Path) -> tuple[str, str, str]:
    """Peak memory of a short training over that of the same training on crops in memory."""
    many = store.with_name("store of many")
    _repeat(store, many)
    peaks = {}
    for kind in ("memory", "store"):
        command = [sys.executable, "-m", "Testing.Benchmarks.store", kind, str(many)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks[kind] = int(output.split()[-1]) / 2**20
    return (
        f"Memory of a training on {SCANS_IN_MEMORY_TEST} scans beyond the model's own",
        f"{peaks['store'] - peaks['memory']:.2f} GiB",
        f"peak {peaks['store']:.2f} GiB; kept voxels grow to {LIMIT / 2**30:.2f} GiB",
    )


def _repeat(store: Path, many: Path) -> None:
    """A store that lists the scans of another one again and again."""
    many.mkdir()
    (many / SCANS).symlink_to(store / SCANS)
    for name in (STORE, QUARANTINE_TABLE):
        (many / name).write_bytes((store / name).read_bytes())
    entries = [entry for entry in Index(store).entries() if entry.scan is not None]
    lines = []
    for number in range(SCANS_IN_MEMORY_TEST):
        entry: Entry = entries[number % len(entries)]
        lines.append(replace(entry, source=Source(f"{number:04d}.nii.gz", str(number), 1, 1)).line())
    (many / INDEX).write_text("".join(lines))


class _InMemory:
    """A source of one crop."""

    def __init__(self) -> None:
        self._voxels = np.random.default_rng(0).random((SIZE,) * 3, dtype=np.float32)

    def __len__(self) -> int:
        return 1

    def describe(self) -> str:
        return '[["crop", [128, 128, 128]]]\n'

    def draw(self, key: SampleKey) -> Sample:
        from MAESILCore.lattice import MaskStrategy

        mask = MaskStrategy().sample((SIZE // 8,) * 3, key.step)
        return Sample(self._voxels.copy(), np.array(mask.stages), (0, 0, 0), (1.0, 1.0, 1.0))


def peak_of_training(kind: str, store: Path) -> int:
    """Peak memory in KiB of this process after some steps of preset `tiny`."""
    from MAESILCore.training import Run, load_config, pretrain

    config = load_config(None, {"preset": "tiny", "steps": STEPS, "batch_size": 2})

    def in_memory(*_: object) -> TrainingData:
        return TrainingData(_InMemory())

    scans: Any = in_memory if kind == "memory" else [store]
    with tempfile.TemporaryDirectory() as folder:
        pretrain(Run.create(Path(folder) / "run"), config, scans, device="cpu")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    print(peak_of_training(sys.argv[1], Path(sys.argv[2])))
