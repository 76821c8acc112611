"""Feature vectors on a lattice, shown as colours and as similarity to one place. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from MAESILCore.errors import ConfigError
from MAESILCore.lattice.box import Triple

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
