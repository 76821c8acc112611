"""How fast a model is on a device, by one pass."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from MAESILCore.inference import Reconstructor
    from MAESILCore.lattice import Mask, SuperpatchGrid


def voxels_to_pass(grid: SuperpatchGrid, coverage: int, mask: Mask | None = None) -> int:
    """Voxels that go through the network, those in shared parts of superpatches and under several masks anew.

    Args:
        grid: with its overlap.
        coverage: masks; 0 for a single one.
        mask: of a single one, which spares superpatches where it hides nothing.
    """
    spares = mask is not None and mask.stages.any()
    boxes = [grid.box(index) for index in range(len(grid))]
    patches = sum(
        math.prod(box.shape) for box in boxes if mask is None or not spares or mask.stages[box.slices].any()
    )
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

    network = NetworkPasses(model, device, batch_size)
    rounds = 1 if network.device.type == "cpu" else 2
    seconds = 0.0
    for _ in range(rounds):
        superpatches = np.full((network.batch_size, *model.superpatch_size), 0.5, dtype=np.float32)
        hidden = np.zeros((len(superpatches), *_lattice(model)), dtype=bool)
        hidden.reshape(len(hidden), -1)[:, ::4] = True
        started = time.perf_counter()
        network.predict(superpatches, ~hidden)
        seconds = time.perf_counter() - started
    return seconds / (superpatches.size / 1e6)


def _lattice(model: Reconstructor) -> tuple[int, ...]:
    return tuple(size // patch for size, patch in zip(model.superpatch_size, model.patch_size, strict=True))
