"""PSNR and SSIM of volumes in [0, 1]."""

from __future__ import annotations

import math

import numpy as np

from MAESILCore.errors import ConfigError

#: Upper limit of the PSNR in dB; that of a perfect reconstruction would be infinite.
HIGHEST_PSNR = 100.0

_SSIM_WINDOW = 7
_K1, _K2 = 0.01, 0.03
#: Voxels per slab: about half a GiB of intermediate results.
_SLAB_VOXELS = 4_000_000


def psnr_of(mean_squared_error: float) -> float:
    """PSNR in dB of a mean squared error, for the data range 1; at most `HIGHEST_PSNR`."""
    return -10.0 * math.log10(max(mean_squared_error, 10.0 ** (-HIGHEST_PSNR / 10.0)))


def ssim_map(original: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Structural similarity at every voxel, for the data range 1.

    The 3D form with a uniform 7 x 7 x 7 window, K1 = 0.01, K2 = 0.03 and sample covariances (Wang et al. 2004, IEEE
    Trans Image Process 13:600), equal to `skimage.metrics.structural_similarity(full=True)`, but with four filters
    instead of five. Along an axis of fewer than 7 voxels the window is the largest odd one that fits.

    Args:
        original: (k, j, i) in [0, 1].
        image: (k, j, i) in [0, 1].

    Returns:
        (k, j, i) float32.

    Raises:
        ConfigError: the shapes differ.
    """
    if original.shape != image.shape or original.ndim != 3:
        message = f"SSIM compares two volumes of one shape, but got {original.shape} and {image.shape}."
        raise ConfigError(message)
    size = tuple(min(_SSIM_WINDOW, n - 1 + n % 2) for n in original.shape)
    halo = size[0] // 2
    depth = max(1, _SLAB_VOXELS // (original.shape[1] * original.shape[2]) - 2 * halo)
    result = np.empty(original.shape, dtype=np.float32)
    for start in range(0, len(original), depth):
        first, last = max(0, start - halo), min(len(original), start + depth + halo)
        slab = _ssim(original[first:last], image[first:last], size)
        result[start : start + depth] = slab[start - first :][:depth]
    return result


def _ssim(original: np.ndarray, image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    from scipy.ndimage import uniform_filter

    # In float32, the differences of squares below would lose the texture of flat tissue.
    x, y = original.astype(np.float64), image.astype(np.float64)
    voxels = math.prod(size)
    sample = voxels / max(voxels - 1, 1)
    mean_x, mean_y = uniform_filter(x, size), uniform_filter(y, size)
    product = mean_x * mean_y
    covariance = sample * (uniform_filter(x * y, size) - product)
    squares = mean_x**2 + mean_y**2
    variances = sample * (uniform_filter(x * x + y * y, size) - squares)
    c1, c2 = _K1**2, _K2**2
    return ((2.0 * product + c1) * (2.0 * covariance + c2)) / ((squares + c1) * (variances + c2))
