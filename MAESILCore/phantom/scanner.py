"""The scanner: what turns a patient into a picture - blur, noise, and a slight bias."""

from __future__ import annotations

import numpy as np

from MAESILCore.phantom.patient import Draw, Patient
from MAESILCore.phantom.sampling import Points, slabs

#: Deviation of the system's blur in the plane, and of the slice profile as a share of the slice distance, mm.
_BLUR_IN_PLANE = 0.55
_BLUR_BETWEEN = 0.35
_SLAB = 4_000_000


def blur(hu: np.ndarray, spacing: np.ndarray) -> None:
    """Blur in place as optics and slice thickness do; `spacing` along i, j, k in mm."""
    from scipy.ndimage import gaussian_filter1d

    widths = (_BLUR_BETWEEN * spacing[2], _BLUR_IN_PLANE, _BLUR_IN_PLANE)
    for axis, (width, step) in enumerate(zip(widths, spacing[::-1], strict=True)):
        sigma = max(width / step, 0.35)
        if hu.shape[axis] > 1:
            gaussian_filter1d(hu, sigma, axis=axis, output=hu, mode="nearest", truncate=2.6)


def noise(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Noise of deviation 1, float32 (k, j, i): grainy in the plane as filtered back-projection leaves it.

    Fine grain minus coarse grain has the spectrum that vanishes towards low frequencies (Riederer, Pelc and
    Chesler 1978, Phys. Med. Biol. 23:446); neighbouring slices share a little.
    """
    from scipy.ndimage import gaussian_filter1d

    grain = np.empty(shape, dtype=np.float32)
    draw = Draw(seed, 6)
    for part in slabs(shape, _SLAB):
        white = draw.normal(part.stop - part.start, shape[1], shape[2])
        fine = gaussian_filter1d(gaussian_filter1d(white, 0.62, axis=1, truncate=3), 0.62, axis=2, truncate=3)
        coarse = gaussian_filter1d(
            gaussian_filter1d(fine, 1.5, axis=1, truncate=2.5), 1.5, axis=2, truncate=2.5
        )
        grain[part] = fine - np.float32(0.7) * coarse
    if shape[0] > 1:
        gaussian_filter1d(grain, 0.45, axis=0, output=grain, truncate=2.5)
    grain /= np.float32(max(float(grain.std()), 1e-6))
    return grain


def noise_level(patient: Patient, points: Points) -> np.ndarray:
    """Deviation of the noise over that in the middle of the body: less where rays pass less tissue."""
    across = (points.x * np.float32(1 / 150)) ** 2 + ((points.y + 5) * np.float32(1 / 120)) ** 2
    # Shoulders take more out of the beam than lungs.
    height = np.interp(points.z, [-200, -60, 40, 110, 170, 210], [1.15, 1.05, 0.8, 0.85, 1.25, 1.1]).astype(
        np.float32
    )
    return np.asarray((0.42 + 0.58 * np.exp(-across)) * height * (1 + 0.006 * patient.fat), dtype=np.float32)


def bias(points: Points) -> np.ndarray:
    """What beam hardening leaves: a few HU less in the middle, and a slow drift, float32."""
    across = (points.x * np.float32(1 / 120)) ** 2 + (points.y * np.float32(1 / 90)) ** 2
    return np.asarray(
        3.0 - 6.0 * np.exp(-across) + 1.5 * np.sin(points.z * np.float32(0.021) + points.x * 0.013)
    )
