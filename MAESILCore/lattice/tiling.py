"""Tiles: the boxes of patches that a walk passes through a network."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from MAESILCore.lattice.box import LatticeBox, Triple, per_axis


@dataclass(frozen=True)
class Tiling:
    """Equal, evenly spaced, overlapping boxes that cover a region of the patch lattice.

    Each axis has the fewest tiles, then the smallest. For example, 17 patches and a maximum of 16 give two tiles of 9.

    Attributes:
        region: the patches that the tiles cover together.
        size: patches per tile along k, j, i.
        starts: first lattice index of the tiles for each axis, ascending.
    """

    region: LatticeBox
    size: Triple
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    @classmethod
    def over(cls, region: LatticeBox, largest: Triple, overlap: Triple) -> Tiling:
        """Spread tiles over a region.

        Args:
            region: the region to cover; not empty.
            largest: maximum patches per tile along k, j, i.
            overlap: minimum overlap in patches along k, j, i; less than `largest`.
        """
        axes = [
            _spread(stop - start, most, shared)
            for start, stop, most, shared in zip(region.start, region.stop, largest, overlap, strict=True)
        ]
        k, j, i = (
            tuple(first + start for start in starts)
            for first, (_, starts) in zip(region.start, axes, strict=True)
        )
        return cls(region, per_axis(size for size, _ in axes), (k, j, i))

    def __iter__(self) -> Iterator[LatticeBox]:
        """All tiles, row-major over (k, j, i)."""
        for start in itertools.product(*self.starts):
            stop = per_axis(a + n for a, n in zip(start, self.size, strict=True))
            yield LatticeBox(per_axis(start), stop)

    def __len__(self) -> int:
        """Number of tiles."""
        return len(self.starts[0]) * len(self.starts[1]) * len(self.starts[2])

    def axis_weights(self, axis: int, start: int, scale: int) -> np.ndarray:
        """Blending weights of a tile along one axis, (size * scale,) float32; those of all tiles sum to 1.

        Weights are sine-squared ramps over the overlaps, without ramps at the borders of the region.

        Args:
            axis: 0 to 2, for k, j, i.
            start: first patch of the tile.
            scale: samples per patch along this axis: the patch size, or 1 on the lattice.
        """
        raw = {first: self._ramps(axis, first, scale) for first in self.starts[axis]}
        own, total = raw[start], np.zeros(self.size[axis] * scale)
        for first, weights in raw.items():
            shift = (first - start) * scale
            if abs(shift) < len(own):
                low, high = max(0, shift), min(len(own), len(own) + shift)
                total[low:high] += weights[low - shift : high - shift]
        return np.asarray(own / total, dtype=np.float32)

    def _ramps(self, axis: int, start: int, scale: int) -> np.ndarray:
        starts, size = self.starts[axis], self.size[axis]
        place, weights = starts.index(start), np.ones(size * scale)
        distance = np.arange(1, len(weights) + 1)
        if place > 0:
            weights *= _ramp(distance, (starts[place - 1] + size - start) * scale)
        if place < len(starts) - 1:
            weights *= _ramp(distance[::-1], (start + size - starts[place + 1]) * scale)
        return weights


def _spread(count: int, largest: int, overlap: int) -> tuple[int, tuple[int, ...]]:
    """Size and starts of the fewest, then smallest, tiles that cover `count` patches and share `overlap`."""
    tiles = max(1, -(-(count - overlap) // (largest - overlap)))
    size = min(count, -(-(count + (tiles - 1) * overlap) // tiles))
    if tiles == 1:
        return size, (0,)
    return size, tuple(place * (count - size) // (tiles - 1) for place in range(tiles))


def _ramp(distance: np.ndarray, overlap: int) -> np.ndarray:
    """Ramp from 0 to 1 over the overlap; the distance to the tile border is in samples, from 1."""
    return np.asarray(np.sin(0.5 * np.pi * np.minimum(distance / (overlap + 1), 1.0)) ** 2)
