"""Applies a function of superpatches to a volume, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from MAESILCore.errors import Cancelled
from MAESILCore.inference.network import NetworkPasses
from MAESILCore.lattice import LatticeBox, SuperpatchGrid


@dataclass(frozen=True, eq=False)
class Step:
    """One tile of a walk.

    Attributes:
        box: the patches of the tile.
        hidden: (Dk, Dj, Di) bool on the lattice of the whole volume; None for a function that takes no mask.
    """

    box: LatticeBox
    hidden: np.ndarray | None = None


def walk(
    voxels: np.ndarray,
    grid: SuperpatchGrid,
    steps: Sequence[Step],
    passes: NetworkPasses,
    *,
    prepare: Callable[[np.ndarray], np.ndarray],
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[tuple[Step, np.ndarray]]:
    """Pass the tiles of a volume through a function, in batches of equal extents.

    An `Assembler` joins the outputs: voxels (C, K, J, I), such as images or logits, or patch vectors (C, Dk, Dj, Di),
    such as features. Hidden voxels are 0 in the function's input, so that it cannot use them. Memory is bounded by one
    batch.

    Args:
        voxels: (k, j, i), in the grid's shape.
        grid: the superpatch grid of the volume.
        steps: the tiles, such as all of `grid.tiles()`; all have a mask or none has.
        passes: runs the function with superpatches (B, 1, K, J, I) and, if the steps have masks, (B, Dk, Dj, Di) bool.
        prepare: maps cut voxels to the function's input, such as `Window.apply`.
        progress: callback after each batch with steps done and steps in all.
        cancelled: called before each batch; True stops the walk.

    Yields:
        Each step, in order, and its output, float32 without the batch axis.

    Raises:
        Cancelled: `cancelled` returned True.
        CheckpointError: the function returns values that are not finite.
        OutOfMemoryError: not enough memory for one tile.
    """
    done = 0
    while done < len(steps):
        if cancelled is not None and cancelled():
            message = "The work was stopped; nothing was kept."
            raise Cancelled(message)
        batch = _batch(steps[done : done + passes.batch_size])
        superpatches = np.stack([_seen(voxels, grid, step, prepare) for step in batch])
        masks = [step.hidden[step.box.slices] for step in batch if step.hidden is not None]
        outputs = passes.predict(superpatches[:, None], *([np.stack(masks)] if masks else []))
        done += len(batch)
        if progress is not None:
            progress(done, len(steps))
        yield from zip(batch, outputs, strict=True)


def _batch(steps: Sequence[Step]) -> list[Step]:
    """The leading steps of equal extents."""
    batch = []
    for step in steps:
        if step.box.shape != steps[0].box.shape:
            break
        batch.append(step)
    return batch


def _seen(
    voxels: np.ndarray, grid: SuperpatchGrid, step: Step, prepare: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """The function's input (K, J, I), float32; see `walk`."""
    seen = np.ascontiguousarray(prepare(grid.cut_box(voxels, step.box)), dtype=np.float32)
    if step.hidden is not None:
        pairs = zip(step.box.shape, grid.patch_size, strict=True)
        cubes = seen.reshape([size for pair in pairs for size in pair])
        cubes *= ~step.hidden[step.box.slices][:, None, :, None, :, None]
    return seen
