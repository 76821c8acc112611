"""Features of a whole volume on their lattice, shown as colours and as similarity to one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window
from MAESILCore.errors import ConfigError, VolumeError
from MAESILCore.inference.air import holds_more_than_air
from MAESILCore.inference.network import NetworkPasses, window_for
from MAESILCore.inference.walk import Step, walk
from MAESILCore.lattice import Assembler, SuperpatchGrid, Triple, usual_overlap
from MAESILCore.methods.abilities import FeatureLevel
from MAESILCore.models.checkpoint import LoadedModel

#: Percentiles of a principal component, over the body, that become black and full colour.
_DARK, _BRIGHT = 1.0, 99.0


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """Feature vectors of a volume, each for a box of voxels.

    Attributes:
        vectors: (C, Dk, Dj, Di) float32; a box at the far border of the volume may be partial.
        lattice_to_ras: (4, 4) float64, maps (i, j, k, 1) of a box to the RAS position of its centre in mm.
        stride: voxels of a box along k, j, i.
        body: (Dk, Dj, Di) bool, the boxes that hold more than air.
    """

    vectors: np.ndarray
    lattice_to_ras: np.ndarray
    stride: Triple
    body: np.ndarray

    @property
    def shape(self) -> Triple:
        """Boxes along k, j, i."""
        k, j, i = self.vectors.shape[1:]
        return k, j, i

    def place_at(self, ras: Sequence[float]) -> Triple | None:
        """The index (k, j, i) of the box at a RAS position in mm; None outside the lattice."""
        index = np.linalg.solve(self.lattice_to_ras, [*ras, 1.0])[:3]
        i, j, k = np.floor(index + 0.5).astype(int).tolist()
        inside = all(0 <= n < size for n, size in zip((k, j, i), self.shape, strict=True))
        return (k, j, i) if inside else None

    @cached_property
    def mean(self) -> np.ndarray:
        """(C,) float32, the mean vector of the body, or of everything if there is none."""
        return np.asarray(self._body_vectors.mean(axis=1))

    @cached_property
    def lengths(self) -> np.ndarray:
        """(Dk, Dj, Di) float32, the distance of each vector to `mean`."""
        # A channel at a time, as a centred copy of all would double the memory.
        squares = np.zeros(self.shape, dtype=np.float32)
        for channel, mean in zip(self.vectors, self.mean, strict=True):
            squares += (channel - mean) ** 2
        return np.sqrt(squares)

    @property
    def _body_vectors(self) -> np.ndarray:
        """(C, N) float32, a copy."""
        return self.vectors[:, self.body] if self.body.any() else self.vectors.reshape(len(self.vectors), -1)


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


def pca_colours(features: FeatureMap) -> np.ndarray:
    """The first three principal components as red, green and blue, (Dk, Dj, Di, 3) uint8.

    Components are those of the body, and their percentiles 1 and 99 there become 0 and 255. Boxes of air are black. The
    sign of a component is that which makes its largest weight positive, so equal features have equal colours.
    """
    picture = np.zeros((*features.shape, 3), dtype=np.uint8)
    vectors = features._body_vectors.astype(np.float64)
    vectors -= vectors.mean(axis=1, keepdims=True)
    _, axes = np.linalg.eigh(vectors @ vectors.T)  # ascending
    axes = axes[:, ::-1][:, :3]
    largest = np.abs(axes).argmax(axis=0)
    axes *= np.where(axes[largest, range(axes.shape[1])] < 0.0, -1.0, 1.0)
    for number, values in enumerate(axes.T @ vectors):
        low, high = np.percentile(values, [_DARK, _BRIGHT])
        share = np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)
        if features.body.any():
            picture[features.body, number] = np.rint(share * 255.0)
    return picture


def similarity(features: FeatureMap, place: Triple) -> np.ndarray:
    """How much the features of each box agree with those of one, (Dk, Dj, Di) float32 from -1 to 1.

    It is the cosine between their deviations from the mean of the body: all vectors share a large part, which would
    make every box similar. A box that equals the mean has 0.

    Args:
        features: the map.
        place: index of the box along k, j, i.

    Raises:
        ConfigError: there is no such box.
    """
    if not all(0 <= n < size for n, size in zip(place, features.shape, strict=True)):
        raise ConfigError(f"There is no feature at {tuple(place)}: the lattice has {features.shape} boxes.")
    direction = features.vectors[(slice(None), *place)] - features.mean
    channels = len(direction)
    products = direction @ features.vectors.reshape(channels, -1) - direction @ features.mean
    lengths = features.lengths * features.lengths[place]
    cosine = products.reshape(features.shape) / np.maximum(lengths, 1e-12)
    return np.asarray(np.clip(cosine, -1.0, 1.0), dtype=np.float32)


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
