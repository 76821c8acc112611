"""Resampling of volumes to another spacing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from MAESILCore.data.formats.voxeltypes import rounded
from MAESILCore.data.volume import Volume
from MAESILCore.errors import VolumeError

#: Most voxels of a resampled scan; a typing error such as 0.07 would fill memory and disk.
_MOST_VOXELS = 2**31


def resample(volume: Volume, spacing: Sequence[float]) -> Volume:
    """Resample to a spacing by linear interpolation; the outer faces of the volume stay in place to half a voxel.

    Axes that become coarser are smoothed first, so that fine structures do not turn into coarse ones. A voxel is taken
    as a Gaussian whose full width at half maximum is the spacing (Cardoso et al., Scale Factor Point Spread Function
    Matching, MICCAI 2015): of a wave as long as the new spacing, 7 % is left at a factor of 2 and 4 % at 3.

    Axes keep their directions, so that oblique and sheared scans stay so. Voxels become int16.

    Args:
        volume: the volume.
        spacing: mm along i, j, k.

    Raises:
        VolumeError: the result would be too large.
    """
    from scipy import ndimage

    factors = np.asarray(spacing, dtype=np.float64) / volume.spacing
    shape = [
        max(1, round(extent / factor)) for extent, factor in zip(volume.shape, factors[::-1], strict=True)
    ]
    if np.prod(shape, dtype=np.float64) > _MOST_VOXELS:
        raise VolumeError(f"At this spacing the scan would have {' x '.join(map(str, shape))} voxels.")
    # The centre of the first new voxel, in old voxels: the new grid is centred on the old one.
    first = [
        ((old - 1) - (new - 1) * factor) / 2
        for old, new, factor in zip(volume.shape, shape, factors[::-1], strict=True)
    ]
    voxels = volume.voxels
    for axis, factor in enumerate(factors[::-1]):
        if factor > 1:
            sigma = math.sqrt((factor**2 - 1) / (8 * math.log(2)))
            voxels = ndimage.gaussian_filter1d(voxels, sigma, axis, output=np.float32, mode="nearest")
    voxels = ndimage.affine_transform(
        voxels,
        factors[::-1],
        offset=first,
        output_shape=tuple(shape),
        output=np.float32,
        order=1,
        mode="nearest",
    )
    matrix = volume.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, :3] @ first[::-1]
    matrix[:3, :3] *= factors
    return Volume(rounded(voxels), matrix, volume.name)
