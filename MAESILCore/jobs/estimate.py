"""How long a reconstruction takes: how fast a model is on a device, and what there is to do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from MAESILCore.inference import Reconstructor
    from MAESILCore.lattice import Mask, SuperpatchGrid

#: Start of Python, PyTorch and model.
_START_SECONDS = 5.0
#: What each stage takes on an ordinary core: seconds in any case, and seconds for a million voxels.
_STAGE_SECONDS: dict[str, tuple[float, float]] = {
    "writing": (0.0, 0.02),
    "scoring": (0.0, 0.8),
    "superpatches": (0.0, 0.02),
    "exporting": (4.0, 0.3),
}
#: What a fill without learning takes in two windows, in seconds for a million voxels.
CONTROL_SECONDS = 8.0


def voxels_to_pass(grid: SuperpatchGrid, coverage: int, mask: Mask | None = None) -> int:
    """Voxels that go through the network, those in shared parts of tiles and under several masks anew.

    Args:
        grid: with its overlap. What holds only air is counted, too.
        coverage: masks; 0 for a single one.
        mask: of a single one, which spares tiles where it hides nothing.
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
    """Time one batch of full superpatches, after one that warms the device up.

    Raises:
        ConfigError: the device is not there.
        OutOfMemoryError: not enough memory for one superpatch.
    """
    from MAESILCore.inference.network import NetworkPasses

    network = NetworkPasses(model.reconstruct, model, device, batch_size)
    rounds = 1 if network.device.type == "cpu" else 2
    seconds = 0.0
    for _ in range(rounds):
        superpatches = np.full((network.batch_size, 1, *model.superpatch_size), 0.5, dtype=np.float32)
        hidden = np.zeros((len(superpatches), *_lattice(model)), dtype=bool)
        hidden.reshape(len(hidden), -1)[:, ::4] = True
        started = time.perf_counter()
        network.predict(superpatches, ~hidden)
        seconds = time.perf_counter() - started
    return seconds / (superpatches.size / 1e6)


def _lattice(model: Reconstructor) -> tuple[int, ...]:
    return tuple(size // patch for size, patch in zip(model.superpatch_size, model.patch_size, strict=True))


def stages_of(voxels: int, *, scores: bool, export: bool = False, controls: int = 0) -> dict[str, float]:
    """The stages after the passes, and the seconds that each takes.

    Args:
        voxels: of the scan.
        scores: whether the volume as a whole is scored.
        export: whether files for other programs are written.
        controls: number of fills without learning that are scored as well.
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
    """How long a reconstruction takes, from start to result.

    Args:
        grid: with the overlap that the reconstruction will have.
        coverage: masks; 0 for a single one.
        seconds_per_megavoxel: of the model on the device.
        mask: a single mask, which spares superpatches where it hides nothing.
        scores: whether the result is scored.
    """
    after = sum(stages_of(math.prod(grid.shape), scores=scores).values())
    passes = voxels_to_pass(grid, coverage, mask) / 1e6 * seconds_per_megavoxel
    return _START_SECONDS + passes + after


def estimate_text(seconds: float, translate: Callable[[str], str] = str) -> str:
    """An estimated duration for people: "about 40 s", "about 3 min", "about 1.5 h"; `translate` gets the words."""
    if seconds < 10:
        return translate("a few seconds")
    if seconds < 90:
        return translate("about {count} s").format(count=f"{round(seconds, -1):.0f}")
    if seconds < 90 * 60:
        return translate("about {count} min").format(count=f"{seconds / 60:.0f}")
    return translate("about {count} h").format(count=f"{seconds / 3600:.1f}")
