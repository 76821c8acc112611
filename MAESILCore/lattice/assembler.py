"""Assembly of tiles into one array."""

from __future__ import annotations

import numpy as np

from MAESILCore.errors import ConfigError
from MAESILCore.lattice.box import LatticeBox, Triple, per_axis
from MAESILCore.lattice.tiling import Tiling


class Assembler:
    """Blends tiles of C channels into one array, with smooth weights where tiles overlap.

    The weights are a product of axis weights that sum to 1, so no array of weight sums is needed.
    """

    def __init__(self, tiling: Tiling, shape: Triple, channels: int = 1, scale: Triple = (1, 1, 1)) -> None:
        """Start with zeros.

        Args:
            tiling: the positions of the tiles.
            shape: shape of the volume or of the patch lattice along k, j, i.
            channels: C.
            scale: samples per patch along k, j, i: the patch size for voxels, 1 for the patch lattice.
        """
        self._tiling, self._shape, self._scale = tiling, shape, scale
        self._array = np.zeros((channels, *shape), dtype=np.float32)

    def add(self, box: LatticeBox, block: np.ndarray) -> None:
        """Add one tile.

        Args:
            box: a tile of the tiling.
            block: (C, k, j, i); padding beyond the far border of the array is ignored.

        Raises:
            ConfigError: the block is smaller than the box, or its number of channels is wrong.
        """
        target = box.voxel_slices(self._scale, self._shape)
        size = per_axis(part.stop - part.start for part in target)
        if len(block) != len(self._array) or any(
            have < need for have, need in zip(block.shape[1:], size, strict=True)
        ):
            raise ConfigError(
                f"A tile of {(len(self._array), *size)} values cannot be filled with {block.shape}."
            )
        blended = block[:, : size[0], : size[1], : size[2]]
        for axis, count in enumerate(size):
            weights = self._tiling.axis_weights(axis, box.start[axis], self._scale[axis])[:count]
            if (weights != 1.0).any():
                blended = blended * weights.reshape(-1, *(1,) * (2 - axis))
        self._array[(slice(None), *target)] += blended

    def result(self) -> np.ndarray:
        """The array itself, (C, k, j, i) float32; 0 where no tile was added."""
        return self._array
