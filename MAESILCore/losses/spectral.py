"""The spectral loss of SL-MAE: it compares pictures by their Fourier transforms (docs/methods.md, SL-MAE)."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import torch

#: What is compared; see `spectral_loss`.
Comparison = Literal["logmag", "magnitude", "complex"]
#: How frequencies are averaged; see `frequency_weights`.
Averaging = Literal["frequencies", "radii"]

_EPS = 1e-6
#: All axes of a batch of superpatches but the first.
_SAMPLE = (1, 2, 3, 4)


def spectral_loss(
    mosaic: torch.Tensor,
    target: torch.Tensor,
    *,
    cut: float = 0.3,
    mode: Comparison = "logmag",
    average: Averaging = "frequencies",
) -> torch.Tensor:
    """Mean squared difference of two spectra (arXiv:2606.13315; docs/methods.md, SL-MAE).

    With F the Fourier transform of a superpatch that was standardised by its own mean and deviation:

        logmag      mean over k of (log(1 + |H F(mosaic)| + 1e-6) - log(1 + |H F(target)| + 1e-6))^2, F unnormalised
        magnitude   mean over k of (|H F(mosaic)| - |H F(target)|)^2, F orthonormal
        complex     mean over k of |H F(mosaic) - H F(target)|^2, F orthonormal

    The high-pass H is 0 for |k| < cut max|k|, else 1. The paper has `logmag` over all frequencies, which ignores phase;
    `complex` does not, and without a cut it equals the mean squared error. Differs from the released code: deviations
    have a floor (see `standardise`).

    Args:
        mosaic: (B, 1, K, J, I), true voxels where visible, predicted ones where hidden.
        target: (B, 1, K, J, I), the truth.
        cut: share of the highest |k|; 0 keeps all frequencies.
        mode: what is compared.
        average: see `frequency_weights`.

    Returns:
        Scalar in float32, also under autocast: the mean over the superpatches.
    """
    with torch.autocast(mosaic.device.type, enabled=False):
        norm = "backward" if mode == "logmag" else "ortho"
        ours, theirs = (
            torch.fft.rfftn(standardise(each.float())[0], dim=(2, 3, 4), norm=norm)
            for each in (mosaic, target)
        )
        if mode == "complex":
            difference = torch.view_as_real(ours - theirs).square().sum(dim=-1)
        elif mode == "magnitude":
            difference = (ours.abs() - theirs.abs()).square()
        else:
            difference = ((1.0 + ours.abs() + _EPS).log() - (1.0 + theirs.abs() + _EPS).log()).square()
        k, j, i = mosaic.shape[2:]
        weights = torch.tensor(frequency_weights((k, j, i), cut, average), device=mosaic.device)
        return (difference * weights).sum(dim=_SAMPLE).mean()


def standardise(
    superpatches: torch.Tensor, floor: float = 0.01
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Standardise each superpatch by its own mean and deviation.

    Args:
        superpatches: (B, 1, K, J, I).
        floor: smallest deviation, in units of the input: without it, the noise of an empty superpatch would be raised
            to the level of anatomy.

    Returns:
        The standardised superpatches, and their means and deviations, (B, 1, 1, 1, 1) each.
    """
    mean = superpatches.mean(dim=_SAMPLE, keepdim=True)
    variance = superpatches.var(dim=_SAMPLE, unbiased=False, keepdim=True)
    deviation = (variance + floor**2).sqrt()
    return (superpatches - mean) / deviation, mean, deviation


@lru_cache(maxsize=16)  # crops have several shapes; a table of 128^3 has 4 MiB
def frequency_weights(shape: tuple[int, int, int], cut: float, average: Averaging) -> np.ndarray:
    """The weight of each frequency of `torch.fft.rfftn` in a mean over all frequencies of `fftn`.

    Args:
        shape: voxels along k, j, i.
        cut: share of the highest |k| below which a frequency weighs nothing.
        average: `frequencies` is the mean over all frequencies, of which the dropped ones count as 0, as in the paper.
            `radii` is the mean over the kept shells |k| of the means inside them, so that the many high frequencies do
            not rule by their number. A shell is as wide as the lowest frequency of the longest side; all frequencies
            above 1/2 per voxel, the corners of the cube, are in the last one, as shells of a few would rule instead.

    Returns:
        (K, J, I // 2 + 1) float32, read-only.
    """
    along = [np.fft.fftfreq(size) for size in shape]
    radius = np.sqrt(sum(np.square(axis) for axis in np.ix_(*along)))
    kept = radius >= cut * radius.max()
    if average == "frequencies":
        weights = kept / radius.size
    else:
        shell = np.rint(np.minimum(radius, 0.5) * max(shape)).astype(int)
        counts = np.bincount(shell[kept], minlength=shell.max() + 1)
        weights = kept / np.maximum(counts, 1)[shell] / np.count_nonzero(counts)
    # rfftn leaves out conjugates: all columns but the first and, of an even side, the last stand for two frequencies.
    half = shape[2] // 2 + 1
    twins = np.full(half, 2.0)
    twins[0] = 1.0
    if shape[2] % 2 == 0:
        twins[-1] = 1.0
    weights = (weights[..., :half] * twins).astype(np.float32)
    weights.flags.writeable = False
    return weights
