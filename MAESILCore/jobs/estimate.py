"""Estimates how long a reconstruction takes, from the speed of a model and the amount of work."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from MAESILCore.wording import Sentence

if TYPE_CHECKING:
    from MAESILCore.inference import Reconstructor
    from MAESILCore.lattice import Mask, SuperpatchGrid

#: Seconds to start Python, import PyTorch and load the model.
_START_SECONDS = 5.0
#: Cost of each stage on an ordinary core: fixed seconds, and seconds per million voxels.
_STAGE_SECONDS: dict[str, tuple[float, float]] = {
    "writing": (0.0, 0.02),
    "scoring": (0.0, 0.8),
    "superpatches": (0.0, 0.02),
    "exporting": (4.0, 0.3),
}
#: Seconds per million voxels of one control in two windows.
CONTROL_SECONDS = 8.0


def voxels_to_pass(grid: SuperpatchGrid, coverage: int, mask: Mask | None = None) -> int:
    """Number of voxels in all passes; voxels in overlaps and under several masks count repeatedly.

    Args:
        grid: the grid with its overlap; tiles of air are counted, too.
        coverage: number of masks; 0 for a single mask.
        mask: the single mask, if given; tiles without a hidden patch are not counted.
    """
    wanted = np.ones(grid.lattice_shape, dtype=bool)
    if mask is not None and mask.hidden.any():
        wanted = mask.hidden
    tiling = grid.tiles_around(wanted)
    tiles = sum(wanted[box.slices].any() for box in tiling or ())
    patches = int(tiles) * math.prod(tiling.size) if tiling else 0
    return patches * math.prod(grid.patch_size) * max(1, coverage)


def measure_seconds_per_megavoxel(
    model: Reconstructor, device: str = "auto", batch_size: int | None = None
) -> float:
    """Time one batch of full superpatches, on a GPU after a warm-up batch.

    Raises:
        ConfigError: the device is not there.
        OutOfMemoryError: not enough memory for one superpatch.
    """
    from MAESILCore.inference.network import NetworkPasses

    network = NetworkPasses(model.reconstruct, model, device, batch_size)
    lattice = [size // patch for size, patch in zip(model.superpatch_size, model.patch_size, strict=True)]
    rounds = 1 if network.device.type == "cpu" else 2
    seconds = 0.0
    for _ in range(rounds):
        superpatches = np.full((network.batch_size, 1, *model.superpatch_size), 0.5, dtype=np.float32)
        hidden = np.zeros((len(superpatches), *lattice), dtype=bool)
        hidden.reshape(len(hidden), -1)[:, ::4] = True
        started = time.perf_counter()
        network.predict(superpatches, ~hidden)
        seconds = time.perf_counter() - started
    return seconds / (superpatches.size / 1e6)


def stages_of(voxels: int, *, scores: bool, export: bool = False, controls: int = 0) -> dict[str, float]:
    """The stages after the passes, with the expected seconds of each.

    Args:
        voxels: number of voxels of the scan.
        scores: whether the whole volume is scored.
        export: whether files for other programs are written.
        controls: number of controls that are scored.
    """
    names = ["writing", *["scoring"] * scores, "superpatches", *["exporting"] * export]
    seconds = {name: _STAGE_SECONDS[name][0] + _STAGE_SECONDS[name][1] * voxels / 1e6 for name in names}
    if scores:
        seconds["scoring"] += controls * CONTROL_SECONDS * voxels / 1e6
    return seconds


def estimate_seconds(
    grid: SuperpatchGrid,
    coverage: int,
    seconds_per_megavoxel: float,
    mask: Mask | None = None,
    *,
    scores: bool = True,
) -> float:
    """Expected seconds of a reconstruction, from start to result.

    Args:
        grid: the grid with the overlap of the reconstruction.
        coverage: number of masks; 0 for a single mask.
        seconds_per_megavoxel: speed of the model on the device.
        mask: the single mask, if given; tiles without a hidden patch are not counted.
        scores: whether the whole volume is scored.
    """
    after = sum(stages_of(math.prod(grid.shape), scores=scores).values())
    passes = voxels_to_pass(grid, coverage, mask) / 1e6 * seconds_per_megavoxel
    return _START_SECONDS + passes + after


def estimate_text(seconds: float) -> Sentence:
    """A duration, such as "about 40 s", "about 3 min", "about 1.5 h"."""
    if seconds < 10:
        return Sentence("duration.moment", "a few seconds")
    if seconds < 90:
        return Sentence("duration.seconds", "about {count} s", count=f"{round(seconds, -1):.0f}")
    if seconds < 90 * 60:
        return Sentence("duration.minutes", "about {count} min", count=f"{seconds / 60:.0f}")
    return Sentence("duration.hours", "about {count} h", count=f"{seconds / 3600:.1f}")
