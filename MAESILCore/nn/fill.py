"""A fast smooth fill of hidden patches, without learning."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from MAESILCore.nn.tokens import expand_patches

#: Grids with fewer voxels along an axis have no coarser level.
COARSEST = 4

#: Conjugate-gradient iterations on the finest grid. They double on each coarser grid (an eighth of the voxels), up to
#: the second number.
ITERATIONS, MOST_ITERATIONS = 3, 8

#: Grids up to this size use a dense operator: one matrix product is faster than many small kernels.
_MATRIX_LIMIT = 512


def smooth_fill(
    volume: torch.Tensor,
    hidden: torch.Tensor,
    patch_size: tuple[int, int, int],
    iterations: int = ITERATIONS,
    most: int = MOST_ITERATIONS,
) -> torch.Tensor:
    """Fill hidden patches with an approximately biharmonic continuation of the visible ones.

    The result minimises the squared Laplacian, which gives a smooth surface with matching slopes at the borders of
    visible patches. This fits volumes whose power falls with the fourth power of frequency, as that of CT nearly does.
    The solver is full multigrid (Brandt 1977) with one V-cycle per grid.

    Args:
        volume: (B, 1, K, J, I) in [0, 1]; voxels of hidden patches are ignored.
        hidden: (B, Dk, Dj, Di) bool, True where a patch is hidden.
        patch_size: voxels of a patch along k, j, i.
        iterations: smoothing iterations on the finest grid, before and after the coarse correction.
        most: maximum of smoothing iterations on coarser grids.

    Returns:
        (B, 1, K, J, I) in [0, 1], float32; visible voxels unchanged. Samples without visible voxels become 0.5.
    """
    with torch.no_grad(), torch.autocast(volume.device.type, enabled=False):
        known = expand_patches((~hidden).unsqueeze(1).float(), patch_size)
        filled = _full_multigrid(volume.float() * known, known, iterations, most)
        return filled.clamp_(0.0, 1.0)


class _Level:
    """One grid of the multigrid, with its work buffers.

    Iterations reuse these buffers, as allocation costs as much time as the arithmetic.

    Attributes:
        value: (B, 1, K, J, I), mean of the visible voxels, 0 where `known` is 0.
        known: same shape, 1 where a voxel is visible, else 0.
        free: 1 - known.
        iterations: per smoothing.
    """

    def __init__(self, value: torch.Tensor, known: torch.Tensor, iterations: int) -> None:
        self.value, self.known, self.free, self.iterations = value, known, 1.0 - known, iterations
        self._halfway, self._bent, self._direction = (torch.empty_like(value) for _ in range(3))
        # Minus the number of face neighbours.
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
        """The biharmonic operator at free voxels; the next call overwrites the result."""
        if self._matrix is not None:
            torch.mm(x.flatten(1), self._matrix, out=self._bent.flatten(1))
        else:
            self._laplacian(x, self._halfway)
            self._laplacian(self._halfway, self._bent)
        return self._bent.mul_(self.free)

    def _laplacian(self, x: torch.Tensor, out: torch.Tensor) -> None:
        """Sum of the differences to the six face neighbours, with zero flux at the border; symmetric."""
        torch.mul(x, self._centre, out=out)
        for axis in _axes(x):
            count = x.shape[axis] - 1
            out.narrow(axis, 0, count).add_(x.narrow(axis, 1, count))
            out.narrow(axis, 1, count).add_(x.narrow(axis, 0, count))

    def smooth(self, estimate: torch.Tensor, residual: torch.Tensor) -> None:
        """Lower the residual in place by conjugate gradients, independently for each sample."""
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
    """Fill the voxels where `known` and `value` are 0; both are (B, 1, K, J, I)."""
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
    """Smooth, correct from the coarser grid, smooth; in place, at free voxels of the first level."""
    level = levels[0]
    level.smooth(estimate, residual)
    if min(estimate.shape[2:]) < COARSEST:
        return
    # Fourth derivatives are 2^4 times as large on the halved grid.
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
    """Spatial axes with more than one voxel."""
    return [axis for axis in (2, 3, 4) if x.shape[axis] > 1]


def _coarsen(x: torch.Tensor) -> torch.Tensor:
    """Mean of 2x2x2 voxels; blocks at an odd border are smaller."""
    factors = tuple(2 if size > 1 else 1 for size in x.shape[2:])
    return F.avg_pool3d(x, factors, ceil_mode=True, count_include_pad=False)


def _refine(coarse: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return F.interpolate(coarse, size=like.shape[2:], mode="trilinear", align_corners=False)


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(B, ...) and (B, ...) -> (B, 1, 1, 1, 1)."""
    return torch.bmm(a.flatten(1).unsqueeze(1), b.flatten(1).unsqueeze(2)).unsqueeze(2).unsqueeze(3)
