"""A cheap smooth fill of hidden patches: what a reconstruction knows before any learning."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from MAESILCore.nn.tokens import expand_patches

#: Every coarser grid has an eighth of the voxels and gets twice the iterations, up to this factor.
COARSE_FACTOR = 4


def smooth_fill(
    volume: torch.Tensor, hidden: torch.Tensor, patch_size: tuple[int, int, int], iterations: int = 10
) -> torch.Tensor:
    """Fill hidden patches with an approximately biharmonic continuation of the visible ones.

    The hidden voxels minimise the squared Laplacian of the whole: the surface of a bent plate through the visible
    voxels, with the right slope at their borders. CT volumes are close to the statistics that this fits (power
    falling with the fourth power of frequency). Solved as a cascade: averages of the visible voxels on ever coarser
    grids, then back to the fine grid with a few conjugate-gradient iterations on each (cascadic multigrid,
    Bornemann and Deuflhard 1996).

    Args:
        volume: (B, 1, K, J, I) in [0, 1], any content in hidden patches.
        hidden: (B, Dk, Dj, Di) bool, True where a patch is hidden.
        patch_size: voxels of a patch along k, j, i.
        iterations: on the finest grid.

    Returns:
        (B, 1, K, J, I) in [0, 1], float32; visible voxels unchanged. A sample with nothing visible becomes 0.5.
    """
    with torch.no_grad(), torch.autocast(volume.device.type, enabled=False):
        known = expand_patches((~hidden).unsqueeze(1).float(), patch_size)
        return _solve(volume.float() * known, known, iterations, COARSE_FACTOR * iterations).clamp_(0.0, 1.0)


def _solve(value: torch.Tensor, known: torch.Tensor, iterations: int, most: int) -> torch.Tensor:
    """Fill where `known` is 0; both (B, 1, K, J, I), `value` is 0 there; `known` is 0 or 1."""
    shape = value.shape[2:]
    if max(shape) == 1:
        return torch.where(known > 0, value, torch.full_like(value, 0.5))
    factors = tuple(2 if size > 1 else 1 for size in shape)
    weight = F.avg_pool3d(known, factors, ceil_mode=True, count_include_pad=False)
    mean = F.avg_pool3d(value, factors, ceil_mode=True, count_include_pad=False) / weight.clamp_min(1e-6)
    coarse_known = (weight > 0).to(value.dtype)
    coarse = _solve(mean * coarse_known, coarse_known, min(2 * iterations, most), most)
    start = F.interpolate(coarse, size=shape, mode="trilinear", align_corners=False)
    return _conjugate_gradients(torch.lerp(start, value, known), 1.0 - known, iterations)


def _conjugate_gradients(estimate: torch.Tensor, free: torch.Tensor, iterations: int) -> torch.Tensor:
    """Lower |Laplacian(estimate)|^2 by changing voxels where `free` is 1; every sample goes its own way."""

    def dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.linalg.vecdot(a.flatten(1), b.flatten(1)).view(-1, 1, 1, 1, 1)

    residual = _laplacian(_laplacian(estimate)).mul_(free).neg_()
    direction = residual.clone()
    energy = dot(residual, residual)
    for _ in range(iterations):
        bent = _laplacian(_laplacian(direction)).mul_(free)
        step = energy / dot(direction, bent).clamp_min(1e-20)
        estimate = torch.addcmul(estimate, step, direction)
        residual.addcmul_(-step, bent)
        before, energy = energy, dot(residual, residual)
        direction.mul_(energy / before.clamp_min(1e-20)).add_(residual)
    return estimate


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
