"""Features of a whole volume on their lattices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, eq=False)
class LevelFeatures:
    """The features of a volume from one depth of the network.

    Attributes:
        level: index into the model's levels, from the shallowest.
        map: the feature vectors on their lattice.
        summary: (D,) float32, mean over the tiles of the method's vector per superpatch; None if it has none. Tiles of
            air do not count, unless all are.
    """

    level: int
    map: FeatureMap
    summary: np.ndarray | None


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
    (found,) = encode_levels(
        volume,
        model,
        (level,),
        batch_size=batch_size,
        device=device,
        overlap=overlap,
        window=window,
        progress=progress,
        cancelled=cancelled,
    )
    return found.map


def encode_levels(
    volume: Volume,
    model: LoadedModel,
    levels: Sequence[int] | None = None,
    *,
    wanted: np.ndarray | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    overlap: int | Triple | None = None,
    window: Window | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[LevelFeatures, ...]:
    """Compute the features of several depths of the network in one walk over the volume.

    Args:
        volume: as for `encode`, like all that is not named here.
        model: as for `encode`.
        levels: indices into the model's levels, each once; negative ones count from the deepest. None is all.
        wanted: (Dk, Dj, Di) bool on the patch lattice, the patches whose features are needed: tiles without any are
            left out, and features elsewhere are not valid. None is all.
        batch_size: as for `encode`.
        device: as for `encode`.
        overlap: as for `encode`.
        window: as for `encode`.
        progress: as for `encode`.
        cancelled: as for `encode`.

    Returns:
        One for each level, in the order of `levels`.

    Raises:
        Cancelled, CheckpointError, OutOfMemoryError, VolumeError: as for `encode`.
        ConfigError: as for `encode`, or a level is given twice, or no patch is wanted.
    """
    chosen = chosen_levels(model, levels)
    if not np.isfinite(volume.value_range).all():
        raise VolumeError("The scan has NaN or infinite voxels: replace them, for example by air.")
    if overlap is None:
        overlap = usual_overlap(model.superpatch_size, model.patch_size, volume.spacing[::-1])
    grid = SuperpatchGrid(volume.shape, model.superpatch_size, model.patch_size, overlap)
    tiling = grid.tiles()
    steps = [Step(box) for box in tiling if wanted is None or wanted[box.slices].any()]
    if not steps:
        raise ConfigError("No patch of the scan is wanted: choose a place or region inside the scan.")
    window = window or window_for(model, volume.voxels)
    lattices = {one.stride: SuperpatchGrid(volume.shape, one.stride, one.stride) for one in chosen.values()}
    bodies = {
        stride: holds_more_than_air(volume.voxels, window, lattice) for stride, lattice in lattices.items()
    }
    scales = {number: _scale(model, one) for number, one in chosen.items()}
    joined = [
        _Joined(Assembler(tiling, lattices[one.stride].lattice_shape, one.width, scales[number]))
        for number, one in chosen.items()
    ]
    flattened = _Flattened(model, tuple(chosen))
    passes = NetworkPasses(flattened, model, device, batch_size)
    body = bodies.get(grid.patch_size)
    body = holds_more_than_air(volume.voxels, window, grid) if body is None else body
    for step, vector in walk(
        volume.voxels, grid, steps, passes, prepare=window.apply, progress=progress, cancelled=cancelled
    ):
        for target, (found, summary) in zip(joined, flattened.split(vector), strict=True):
            target.assembler.add(step.box, found)
            target.add_summary(summary, counts=bool(body[step.box.slices].any()))
    return tuple(
        LevelFeatures(
            number,
            FeatureMap(
                target.assembler.result(),
                lattices[one.stride].lattice_to_ras(volume.ijk_to_ras),
                one.stride,
                bodies[one.stride],
            ),
            target.summary,
        )
        for (number, one), target in zip(chosen.items(), joined, strict=True)
    )


def chosen_levels(model: LoadedModel, levels: Sequence[int] | None) -> dict[int, FeatureLevel]:
    """The feature levels of a model by their index from the shallowest; None is all.

    Raises:
        ConfigError: the model has no such level, or one is given twice.
    """
    known = model.abilities.levels
    if levels is None and not known:
        raise ConfigError(f"The model {model.name} has no feature level: it gives no features.")
    chosen: dict[int, FeatureLevel] = {}
    for level in range(len(known)) if levels is None else levels:
        if not -len(known) <= level < len(known):
            problem = f"its levels are 0 to {len(known) - 1}" if known else "it gives no features"
            raise ConfigError(f"The model {model.name} has no feature level {level}: {problem}.")
        number = level % len(known)
        if number in chosen:
            raise ConfigError(f"The feature level {number} is given twice: give it once.")
        chosen[number] = known[number]
        _scale(model, known[number])
    return chosen


def _scale(model: LoadedModel, level: FeatureLevel) -> Triple:
    """Vectors of a level per patch along k, j, i."""
    pairs = list(zip(model.patch_size, level.stride, strict=True))
    if any(patch % stride for patch, stride in pairs):
        raise ConfigError(
            f"Features for {level.stride} voxels cannot be joined from patches of {model.patch_size} voxels."
        )
    k, j, i = (patch // stride for patch, stride in pairs)
    return k, j, i


class _Flattened:
    """Features of several levels as one vector per superpatch, as a walk needs them, and back."""

    def __init__(self, model: LoadedModel, levels: Sequence[int]) -> None:
        self._model, self._levels = model, levels
        self._shapes: list[list[tuple[int, ...]]] = []

    def __call__(self, superpatches: torch.Tensor) -> torch.Tensor:
        """(B, 1, K, J, I) -> (B, all values of maps and summaries)."""
        found = self._model.method.features(superpatches, self._levels)
        parts = [[one.map] if one.summary is None else [one.map, one.summary] for one in found]
        self._shapes = [[tuple(part.shape[1:]) for part in level] for level in parts]
        return torch.cat([part.flatten(1).float() for level in parts for part in level], dim=1)

    def split(self, vector: np.ndarray) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """The maps (C, k, j, i) and summaries (D,) of a superpatch of the last call."""
        start, found = 0, []
        for shapes in self._shapes:
            arrays = []
            for shape in shapes:
                stop = start + math.prod(shape)
                arrays.append(vector[start:stop].reshape(shape))
                start = stop
            found.append((arrays[0], arrays[1] if len(arrays) > 1 else None))
        return found


class _Joined:
    """The features of a level while tiles are added."""

    def __init__(self, assembler: Assembler) -> None:
        self.assembler = assembler
        self._sums: dict[bool, np.ndarray] = {}
        self._counts = {False: 0, True: 0}

    def add_summary(self, summary: np.ndarray | None, *, counts: bool) -> None:
        """Add the summary of a tile; `counts` says whether it holds more than air."""
        if summary is not None:
            self._sums[counts] = self._sums.get(counts, 0.0) + summary.astype(np.float64)
            self._counts[counts] += 1

    @property
    def summary(self) -> np.ndarray | None:
        """The mean of the summaries that count, or of all if none does."""
        for counts in (True, False):
            if self._counts[counts]:
                return np.asarray(self._sums[counts] / self._counts[counts], dtype=np.float32)
        return None
