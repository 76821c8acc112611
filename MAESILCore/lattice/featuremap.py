"""Feature vectors on a lattice, shown as colours and as similarity to one place. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from MAESILCore.errors import ConfigError
from MAESILCore.lattice.box import Triple
from MAESILCore.lattice.whitening import Projection

#: Percentiles of a principal component, over the body, that become black and full colour.
_DARK, _BRIGHT = 1.0, 99.0
#: Most boxes of which the covariance is made, spread evenly: a person waits for it at the first similarity.
_SAMPLE = 8192
#: Most axes of a whitening; more make a similarity of the bundled model no better, and take longer.
_AXES = 64


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
        return self.vectors.mean(axis=(1, 2, 3), dtype=np.float64, where=self._counted).astype(np.float32)

    @cached_property
    def whitening(self) -> Projection:
        """That of the vectors of the body, or of everything if there is none; of a sample if they are many."""
        counted = np.flatnonzero(self._counted)
        sample = counted[:: -(-len(counted) // _SAMPLE)]
        return Projection.of(self.vectors.reshape(len(self.vectors), -1)[:, sample].T, _AXES)

    @cached_property
    def lengths(self) -> np.ndarray:
        """(Dk, Dj, Di) float32, the length of each whitened vector."""
        axes = self.whitening.axes
        planes = [np.linalg.norm(axes.T @ plane, axis=0) for plane in self._deviations()]
        return np.stack(planes).reshape(self.shape)

    def products_with(self, direction: np.ndarray) -> np.ndarray:
        """The dot product of each whitened vector with a direction (D,), (Dk, Dj, Di) float32."""
        weights = self.whitening.axes @ direction
        planes = [weights @ plane for plane in self._deviations()]
        return np.stack(planes).reshape(self.shape)

    def _deviations(self) -> Iterator[np.ndarray]:
        """Each plane of the vectors along k less the mean of the whitening, (C, Dj * Di) float32."""
        mean = self.whitening.mean.astype(np.float32)[:, None]
        # One plane at a time, as a copy of all would double the memory.
        for number in range(self.shape[0]):
            yield self.vectors[:, number].reshape(len(self.vectors), -1) - mean

    @property
    def _counted(self) -> np.ndarray:
        """(Dk, Dj, Di) bool, the body, or everything if there is none."""
        return self.body if self.body.any() else np.ones_like(self.body)


def pca_colours(features: FeatureMap) -> np.ndarray:
    """The first three principal components as red, green and blue, (Dk, Dj, Di, 3) uint8.

    Components are those of the body, and their percentiles 1 and 99 there become 0 and 255. Boxes of air are black. The
    sign of a component is that which makes its largest weight positive, so equal features have equal colours.
    """
    picture = np.zeros((*features.shape, 3), dtype=np.uint8)
    vectors = features.vectors[:, features._counted].astype(np.float64)
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

    It is the cosine between whitened vectors (`Projection`). The plain vectors share a large part, and few axes hold
    nearly all of their variation: half of a body would be similar to any place. A box that equals the mean has 0.

    Args:
        features: the map.
        place: index of the box along k, j, i.

    Raises:
        ConfigError: there is no such box.
    """
    if not all(0 <= n < size for n, size in zip(place, features.shape, strict=True)):
        raise ConfigError(f"There is no feature at {tuple(place)}: the lattice has {features.shape} boxes.")
    whitening = features.whitening
    deviation = features.vectors[(slice(None), *place)] - whitening.mean.astype(np.float32)
    products = features.products_with(deviation @ whitening.axes)
    lengths = features.lengths * features.lengths[place]
    return np.asarray(np.clip(products / np.maximum(lengths, 1e-12), -1.0, 1.0), dtype=np.float32)
