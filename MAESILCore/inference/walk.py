"""One walk over a volume: any function of superpatches, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from MAESILCore.errors import Cancelled
from MAESILCore.inference.network import NetworkPasses
from MAESILCore.lattice import LatticeBox, SuperpatchGrid


@dataclass(frozen=True, eq=False)
class Step:
    """One tile that passes through the function.

    Attributes:
        box: its patches.
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
    blank: bool = True,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[tuple[Step, np.ndarray]]:
    """Pass the tiles of a volume through a function, in batches of equal extents.

    An `Assembler` joins what comes back, whether the function gives voxels (C, K, J, I), such as pictures or logits,
    or vectors of patches (C, Dk, Dj, Di), such as features. Memory stays at one batch.

    Args:
        voxels: (k, j, i) of the grid's shape.
        grid: how the volume is divided.
        steps: which tiles, for example all of `grid.tiles()`; either all have a mask or none has one.
        passes: runs the function, which is called with superpatches (B, 1, K, J, I) and, if the steps have a mask, with
            (B, Dk, Dj, Di) bool. Its batches shrink when memory runs out.
        prepare: from cut voxels to the function's input, such as `Window.apply`.
        blank: set hidden voxels to 0 before the function sees them, so that it need not be trusted. False for models
            that hide nothing, which would take the zeros for voxels.
        progress: called after each batch with steps done and steps in all.
        cancelled: asked before each batch; True stops the walk.

    Yields:
        Each step, in order, and what the function gives for it, without the batch axis, float32.

    Raises:
        Cancelled: `cancelled` said so.
        CheckpointError: the function gives values that are not finite.
        OutOfMemoryError: not enough memory for one tile.
    """
    done = 0
    while done < len(steps):
        if cancelled is not None and cancelled():
            message = "The work was stopped; nothing was kept."
            raise Cancelled(message)
        batch = _batch(steps[done : done + passes.batch_size])
        superpatches = np.stack([_seen(voxels, grid, step, prepare, blank) for step in batch])
        masks = [step.hidden[step.box.slices] for step in batch if step.hidden is not None]
        outputs = passes.predict(superpatches[:, None], *([np.stack(masks)] if masks else []))
        done += len(batch)
        if progress is not None:
            progress(done, len(steps))
        yield from zip(batch, outputs, strict=True)


def _batch(steps: Sequence[Step]) -> list[Step]:
    """The first steps, as long as their extents are equal."""
    batch = []
    for step in steps:
        if step.box.shape != steps[0].box.shape:
            break
        batch.append(step)
    return batch


def _seen(
    voxels: np.ndarray,
    grid: SuperpatchGrid,
    step: Step,
    prepare: Callable[[np.ndarray], np.ndarray],
    blank: bool,
) -> np.ndarray:
    """The function's input (K, J, I), float32; see `walk`."""
    seen = np.ascontiguousarray(prepare(grid.cut_box(voxels, step.box)), dtype=np.float32)
    if blank and step.hidden is not None:
        pairs = zip(step.box.shape, grid.patch_size, strict=True)
        cubes = seen.reshape([size for pair in pairs for size in pair])
        cubes *= ~step.hidden[step.box.slices][:, None, :, None, :, None]
    return seen
