"""A cheap smooth fill of hidden patches: what a reconstruction knows before any learning."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from MAESILCore.nn.tokens import expand_patches

#: Grids with fewer voxels along an axis are not corrected from a coarser one.
COARSEST = 4

#: Conjugate-gradient iterations on the finest grid; every coarser one has an eighth of the voxels and gets twice as
#: many, up to the second number.
ITERATIONS, MOST_ITERATIONS = 3, 8

#: Grids of so few voxels use their operator as one dense matrix: a product costs less than starting many small ones.
_MATRIX_LIMIT = 512


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
        filled = _full_multigrid(volume.float() * known, known, iterations, most)
        return filled.clamp_(0.0, 1.0)


class _Level:
    """One grid of the multigrid, with the memory that its operations share.

    Nothing here allocates while it iterates: fresh memory of this size costs as much as the arithmetic.

    Attributes:
        value: (B, 1, K, J, I), mean of the visible voxels, 0 where `known` is.
        known: the same shape, 1 where anything is visible and 0 elsewhere.
        free: 1 - known.
        iterations: of a smoothing.
    """

    def __init__(self, value: torch.Tensor, known: torch.Tensor, iterations: int) -> None:
        self.value, self.known, self.free, self.iterations = value, known, 1.0 - known, iterations
        self._halfway, self._bent, self._direction = (torch.empty_like(value) for _ in range(3))
        # Minus the number of face neighbours, which nothing but the border changes.
        self._centre = torch.zeros_like(value[:1])
        for axis in _axes(value):
            self._centre.sub_(2.0)
            for end in (0, value.shape[axis] - 1):
                self._centre.narrow(axis, end, 1).add_(1.0)
        self._matrix = self._as_matrix() if self._centre.numel() <= _MATRIX_LIMIT else None

    def _as_matrix(self) -> torch.Tensor:
        """The biharmonic operator as a dense, symmetric (N, N) matrix over the N voxels."""
        size = self._centre.numel()
        units = torch.eye(size, device=self._centre.device).view(size, *self._centre.shape[1:])
        first, second = torch.empty_like(units), torch.empty_like(units)
        self._laplacian(units, first)
        self._laplacian(first, second)
        return second.view(size, size)

    def coarser(self, most: int) -> _Level:
        """Half the voxels along each axis."""
        weight = _coarsen(self.known)
        known = (weight > 0).to(weight.dtype)
        mean = _coarsen(self.value).div_(weight.clamp_min_(1e-6)).mul_(known)
        return _Level(mean, known, min(2 * self.iterations, most))

    def bend(self, x: torch.Tensor) -> torch.Tensor:
        """The biharmonic operator at free voxels; the result is overwritten by the next call."""
        if self._matrix is not None:
            torch.mm(x.flatten(1), self._matrix, out=self._bent.flatten(1))
        else:
            self._laplacian(x, self._halfway)
            self._laplacian(self._halfway, self._bent)
        return self._bent.mul_(self.free)

    def _laplacian(self, x: torch.Tensor, out: torch.Tensor) -> None:
        """Sum of the differences to the six face neighbours; nothing flows through the border. Symmetric."""
        torch.mul(x, self._centre, out=out)
        for axis in _axes(x):
            count = x.shape[axis] - 1
            out.narrow(axis, 0, count).add_(x.narrow(axis, 1, count))
            out.narrow(axis, 1, count).add_(x.narrow(axis, 0, count))

    def smooth(self, estimate: torch.Tensor, residual: torch.Tensor) -> None:
        """Lower the residual by conjugate gradients, in place; every sample goes its own way."""
        direction = self._direction.copy_(residual)
        energy = _dot(residual, residual)
        for left in reversed(range(self.iterations)):
            bent = self.bend(direction)
            step = energy / _dot(direction, bent).clamp_min_(1e-20)
            estimate.addcmul_(step, direction)
            residual.addcmul_(-step, bent)
            if left:
                before, energy = energy, _dot(residual, residual)
                direction.mul_(energy / before.clamp_min_(1e-20)).add_(residual)


def _full_multigrid(value: torch.Tensor, known: torch.Tensor, iterations: int, most: int) -> torch.Tensor:
    """Fill where `known` is 0; both (B, 1, K, J, I), `value` is 0 there; `known` is 0 or 1."""
    levels = [_Level(value, known, iterations)]
    while max(levels[-1].value.shape[2:]) > 1:
        levels.append(levels[-1].coarser(most))
    coarsest = levels[-1]
    estimate = torch.where(coarsest.known > 0, coarsest.value, torch.full_like(coarsest.value, 0.5))
    for index in reversed(range(len(levels) - 1)):
        level = levels[index]
        estimate = _refine(estimate, level.value).lerp_(level.value, level.known)
        _v_cycle(levels[index:], estimate, level.bend(estimate).neg())
    return estimate


def _v_cycle(levels: list[_Level], estimate: torch.Tensor, residual: torch.Tensor) -> None:
    """Smooth, correct from the coarser grid, smooth; in place, changes only free voxels of the first level."""
    level = levels[0]
    level.smooth(estimate, residual)
    if min(estimate.shape[2:]) < COARSEST:
        return
    # Halving the grid makes a fourth derivative 2^4 times as large.
    coarse_residual = _coarsen(residual).mul_(levels[1].free).mul_(16.0)
    coarse = torch.zeros_like(coarse_residual)
    _v_cycle(levels[1:], coarse, coarse_residual)
    correction = _refine(coarse, estimate).mul_(level.free)
    bent = level.bend(correction)
    step = _dot(correction, residual) / _dot(correction, bent).clamp_min_(1e-20)
    estimate.addcmul_(step, correction)
    residual.addcmul_(-step, bent)
    level.smooth(estimate, residual)


def _axes(x: torch.Tensor) -> list[int]:
    """The axes of space along which there is more than one voxel."""
    return [axis for axis in (2, 3, 4) if x.shape[axis] > 1]


def _coarsen(x: torch.Tensor) -> torch.Tensor:
    """Mean of 2x2x2 voxels; of those that are there at an odd border."""
    factors = tuple(2 if size > 1 else 1 for size in x.shape[2:])
    return F.avg_pool3d(x, factors, ceil_mode=True, count_include_pad=False)


def _refine(coarse: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return F.interpolate(coarse, size=like.shape[2:], mode="trilinear", align_corners=False)


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(B, ...) and (B, ...) -> (B, 1, 1, 1, 1)."""
    return torch.bmm(a.flatten(1).unsqueeze(1), b.flatten(1).unsqueeze(2)).unsqueeze(2).unsqueeze(3)
