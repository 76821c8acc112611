"""A cheap smooth fill of hidden patches: what a reconstruction knows before any learning."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from MAESILCore.nn.tokens import expand_patches

#: Grids with fewer voxels along an axis are not corrected from a coarser one.
COARSEST = 4

#: Conjugate-gradient iterations on the finest grid; every coarser one has an eighth of the voxels and gets twice as
#: many, up to the second number.
ITERATIONS, MOST_ITERATIONS = 3, 8


def smooth_fill(
    volume: torch.Tensor,
    hidden: torch.Tensor,
    patch_size: tuple[int, int, int],
    iterations: int = ITERATIONS,
    most: int = MOST_ITERATIONS,
) -> torch.Tensor:
    """Fill hidden patches with an approximately biharmonic continuation of the visible ones.

    The hidden voxels minimise the squared Laplacian of the whole: the surface of a bent plate through the visible
    voxels, with the right slope at their borders. CT volumes are close to the statistics that this fits (power
    falling with the fourth power of frequency). Solved by full multigrid (Brandt 1977): averages of the visible
    voxels on ever coarser grids, then back to the fine grid with one V-cycle on each.

    Args:
        volume: (B, 1, K, J, I) in [0, 1], any content in hidden patches.
        hidden: (B, Dk, Dj, Di) bool, True where a patch is hidden.
        patch_size: voxels of a patch along k, j, i.
        iterations: smoothing on the finest grid, before and after the coarse correction.
        most: bound of the smoothing on coarser grids.

    Returns:
        (B, 1, K, J, I) in [0, 1], float32; visible voxels unchanged. A sample with nothing visible becomes 0.5.
    """
    with torch.no_grad(), torch.autocast(volume.device.type, enabled=False):
        known = expand_patches((~hidden).unsqueeze(1).float(), patch_size)
        filled = _full_multigrid(volume.float() * known, known, _Smoothing(iterations, most))
        return filled.clamp_(0.0, 1.0)


@dataclass(frozen=True)
class _Smoothing:
    iterations: int
    most: int

    def coarser(self) -> _Smoothing:
        return _Smoothing(min(2 * self.iterations, self.most), self.most)


def _full_multigrid(value: torch.Tensor, known: torch.Tensor, smoothing: _Smoothing) -> torch.Tensor:
    """Fill where `known` is 0; both (B, 1, K, J, I), `value` is 0 there; `known` is 0 or 1."""
    if max(value.shape[2:]) == 1:
        return torch.where(known > 0, value, torch.full_like(value, 0.5))
    weight = _coarsen(known)
    mean = _coarsen(value) / weight.clamp_min(1e-6)
    coarse_known = (weight > 0).to(value.dtype)
    coarse = _full_multigrid(mean * coarse_known, coarse_known, smoothing.coarser())
    estimate = torch.lerp(_refine(coarse, value), value, known)
    free = 1.0 - known
    return _v_cycle(estimate, _residual(estimate, free), free, smoothing)


def _v_cycle(
    estimate: torch.Tensor, residual: torch.Tensor, free: torch.Tensor, smoothing: _Smoothing
) -> torch.Tensor:
    """Smooth, correct from the coarser grid, smooth; all (B, 1, K, J, I), changes only where `free` is 1."""
    estimate, residual = _conjugate_gradients(estimate, residual, free, smoothing.iterations)
    if min(estimate.shape[2:]) < COARSEST:
        return estimate
    coarse_free = (_coarsen(free) >= 1.0).to(free.dtype)
    # Halving the grid makes a fourth derivative 2^4 times as large.
    coarse_residual = _coarsen(residual).mul_(coarse_free).mul_(16.0)
    correction = _v_cycle(
        torch.zeros_like(coarse_residual), coarse_residual, coarse_free, smoothing.coarser()
    )
    correction = _refine(correction, estimate).mul_(free)
    bent = _operator(correction, free)
    step = _dot(correction, residual) / _dot(correction, bent).clamp_min(1e-20)
    estimate, residual = torch.addcmul(estimate, step, correction), torch.addcmul(residual, -step, bent)
    return _conjugate_gradients(estimate, residual, free, smoothing.iterations)[0]


def _conjugate_gradients(
    estimate: torch.Tensor, residual: torch.Tensor, free: torch.Tensor, iterations: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lower the residual where `free` is 1; every sample goes its own way."""
    residual, direction, energy = residual.clone(), residual.clone(), _dot(residual, residual)
    for _ in range(iterations):
        bent = _operator(direction, free)
        step = energy / _dot(direction, bent).clamp_min(1e-20)
        estimate = torch.addcmul(estimate, step, direction)
        residual.addcmul_(-step, bent)
        before, energy = energy, _dot(residual, residual)
        direction.mul_(energy / before.clamp_min(1e-20)).add_(residual)
    return estimate, residual


def _residual(estimate: torch.Tensor, free: torch.Tensor) -> torch.Tensor:
    return _operator(estimate, free).neg_()


def _operator(x: torch.Tensor, free: torch.Tensor) -> torch.Tensor:
    """The biharmonic operator, at free voxels."""
    return _laplacian(_laplacian(x)).mul_(free)


def _laplacian(x: torch.Tensor) -> torch.Tensor:
    """Sum of the differences to the six face neighbours; nothing flows through the border. Symmetric."""
    result = torch.zeros_like(x)
    for axis in (2, 3, 4):
        if x.shape[axis] > 1:
            count = x.shape[axis] - 1
            step = x.narrow(axis, 1, count) - x.narrow(axis, 0, count)
            result.narrow(axis, 0, count).add_(step)
            result.narrow(axis, 1, count).sub_(step)
    return result


def _coarsen(x: torch.Tensor) -> torch.Tensor:
    """Mean of 2x2x2 voxels; of those that are there at an odd border."""
    factors = tuple(2 if size > 1 else 1 for size in x.shape[2:])
    return F.avg_pool3d(x, factors, ceil_mode=True, count_include_pad=False)


def _refine(coarse: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return F.interpolate(coarse, size=like.shape[2:], mode="trilinear", align_corners=False)


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vecdot(a.flatten(1), b.flatten(1)).view(-1, 1, 1, 1, 1)
