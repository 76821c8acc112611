"""Features of a whole volume on their lattice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window
from MAESILCore.errors import ConfigError, VolumeError
from MAESILCore.inference.air import holds_more_than_air
from MAESILCore.inference.network import NetworkPasses, window_for
from MAESILCore.inference.walk import Step, walk
from MAESILCore.lattice import Assembler, FeatureMap, SuperpatchGrid, Triple, usual_overlap
from MAESILCore.methods.abilities import FeatureLevel
from MAESILCore.models.checkpoint import LoadedModel


def encode(
    volume: Volume,
    model: LoadedModel,
    level: int = -1,
    *,
    batch_size: int | None = None,
    device: str = "auto",
    overlap: int | Triple | None = None,
    window: Window | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> FeatureMap:
    """Compute the features of a whole volume, of which nothing is hidden.

    Tiles are blended where they overlap, as in a reconstruction. All tiles pass, also those that hold only air. Memory
    is bounded by the volume, the map and one batch.

    Args:
        volume: the scan.
        model: a loaded checkpoint whose abilities name feature levels; it stays on the device.
        level: index into these levels; negative ones count from the deepest.
        batch_size: superpatches per pass; None is the device's default. Halved when memory runs out.
        device: auto, cpu, cuda, cuda:N or mps.
        overlap: least overlap of neighbouring tiles in voxels, along all axes or (k, j, i); None is `usual_overlap`.
        window: the window in which the model takes the scan; None is the model's own.
        progress: callback with passes done and passes in all.
        cancelled: called before each batch; True stops the work.

    Raises:
        Cancelled: `cancelled` returned True.
        CheckpointError: the model returns values that are not finite.
        ConfigError: the model has no such level, or the options do not fit.
        OutOfMemoryError: not enough memory for one superpatch.
        VolumeError: the volume holds values that are not finite.

    >>> from MAESILCore import load_checkpoint, make_phantom
    >>> from MAESILCore.lattice import pca_colours, similarity
    >>> features = encode(make_phantom((16, 32, 32)).volume, load_checkpoint(), device="cpu")
    >>> features.vectors.shape, pca_colours(features).shape
    ((256, 2, 4, 4), (2, 4, 4, 3))
    >>> float(round(similarity(features, (1, 2, 2))[1, 2, 2], 3))
    1.0
    """
    chosen, scale = _level(model, level)
    if not np.isfinite(volume.value_range).all():
        raise VolumeError("The scan has NaN or infinite voxels: replace them, for example by air.")
    if overlap is None:
        overlap = usual_overlap(model.superpatch_size, model.patch_size, volume.spacing[::-1])
    grid = SuperpatchGrid(volume.shape, model.superpatch_size, model.patch_size, overlap)
    lattice = SuperpatchGrid(volume.shape, chosen.stride, chosen.stride)
    window = window or window_for(model, volume.voxels)

    def features(superpatches: torch.Tensor) -> torch.Tensor:
        (found,) = model.method.features(superpatches, (level,))
        return found.map

    passes = NetworkPasses(features, model, device, batch_size)
    tiling = grid.tiles()
    assembler = Assembler(tiling, lattice.lattice_shape, chosen.width, scale)
    steps = [Step(box) for box in tiling]
    for step, vectors in walk(
        volume.voxels, grid, steps, passes, prepare=window.apply, progress=progress, cancelled=cancelled
    ):
        assembler.add(step.box, vectors)
    return FeatureMap(
        assembler.result(),
        lattice.lattice_to_ras(volume.ijk_to_ras),
        chosen.stride,
        holds_more_than_air(volume.voxels, window, lattice),
    )


def _level(model: LoadedModel, level: int) -> tuple[FeatureLevel, Triple]:
    """A feature level of a model, and its vectors per patch along k, j, i."""
    levels = model.abilities.levels
    if not -len(levels) <= level < len(levels):
        problem = f"its levels are 0 to {len(levels) - 1}" if levels else "it gives no features"
        raise ConfigError(f"The model {model.name} has no feature level {level}: {problem}.")
    chosen = levels[level]
    pairs = list(zip(model.patch_size, chosen.stride, strict=True))
    if any(patch % stride for patch, stride in pairs):
        raise ConfigError(
            f"Features for {chosen.stride} voxels cannot be joined from patches of {model.patch_size} voxels."
        )
    k, j, i = (patch // stride for patch, stride in pairs)
    return chosen, (k, j, i)
