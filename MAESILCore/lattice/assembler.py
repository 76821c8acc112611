"""Putting superpatches back into one volume, one at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from MAESILCore.errors import ConfigError
from MAESILCore.lattice.box import LatticeBox, Triple, per_axis

#: For each superpatch start on an axis (in patches), the weights of its voxels along that axis.
AxisWeights = dict[int, np.ndarray]


class Assembler:
    """Puts superpatches into one volume; shared voxels become a mean, by weights that fall off smoothly.

    The weights are a product over the axes and sum to 1 on each, so that they need no memory of their own.
    """

    def __init__(
        self, shape: Triple, patch_size: Triple, weights: Sequence[AxisWeights], dtype: np.dtype
    ) -> None:
        """Start with an empty volume.

        Args:
            shape: voxels of the volume along k, j, i.
            patch_size: voxels of a patch along k, j, i.
            weights: for superpatches that overlap, along k, j, i; empty for those that do not.
            dtype: of the result.
        """
        self.shape = shape
        self.patch_size = patch_size
        self.dtype = dtype
        # float32 has 24 bits: enough for 16-bit voxels, not for wider ones.
        wide = dtype.itemsize > 4 or (dtype.kind in "iu" and dtype.itemsize > 2)
        blend_dtype = np.dtype(np.float64 if wide else np.float32)
        self._weights = [{start: w.astype(blend_dtype) for start, w in axis.items()} for axis in weights]
        self._volume = np.zeros(shape, dtype=blend_dtype if weights else dtype)

    def add(self, box: LatticeBox, block: np.ndarray) -> None:
        """Add the voxels of one superpatch; what `block` has beyond the volume is padding and ignored.

        Raises:
            ConfigError: the block is smaller than the box.
        """
        target = box.voxel_slices(self.patch_size, self.shape)
        size = per_axis(part.stop - part.start for part in target)
        if any(have < need for have, need in zip(block.shape, size, strict=True)):
            message = f"A superpatch of {size} voxels cannot be filled with {block.shape} voxels."
            raise ConfigError(message)
        block = block[: size[0], : size[1], : size[2]]
        if not self._weights:
            self._volume[target] = block
            return
        k, j, i = (axis[start] for axis, start in zip(self._weights, box.start, strict=True))
        self._volume[target] += block * k[:, None, None] * j[None, :, None] * i[None, None, :]

    def result(self) -> np.ndarray:
        """The volume, (k, j, i); integers are rounded. Places that nothing was added to are 0."""
        if self._volume.dtype == self.dtype:
            return self._volume
        if self.dtype.kind in "iu":
            np.rint(self._volume, out=self._volume)
        return self._volume.astype(self.dtype)


def axis_weights(length: int, patch: int, starts: Sequence[int], size: int, overlap: int) -> AxisWeights:
    """Blending weights along one axis: sine-squared ramps over the overlap, none at the volume's own borders.

    Args:
        length: voxels of the volume.
        patch: voxels of a patch.
        starts: first patch of every superpatch, ascending.
        size: voxels of a superpatch; the last one may be cut short.
        overlap: voxels that neighbours share.
    """
    weights: AxisWeights = {}
    total = np.zeros(length)
    for start in starts:
        voxels = min(size, length - start * patch)
        weight = np.ones(voxels)
        if start != starts[0]:
            weight *= _ramp(np.arange(1, voxels + 1), overlap)
        if start != starts[-1]:
            weight *= _ramp(np.arange(voxels, 0, -1), overlap)
        weights[start] = weight
        total[start * patch :][:voxels] += weight
    return {start: weight / total[start * patch :][: len(weight)] for start, weight in weights.items()}


def _ramp(distance: np.ndarray, overlap: int) -> np.ndarray:
    """0 to 1 over the overlap, by the distance to a superpatch's border in voxels, from 1."""
    return np.asarray(np.sin(0.5 * np.pi * np.minimum(distance / (overlap + 1), 1.0)) ** 2)
