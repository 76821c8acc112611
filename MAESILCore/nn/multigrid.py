"""A multigrid solver that continues visible voxels smoothly into hidden ones."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from MAESILCore.errors import MaesilError

#: Maximum of V-cycles on the finest grid for a given tolerance.
MOST_CYCLES = 200

#: Grids with fewer voxels along every axis need no coarse correction.
_COARSEST = 4

#: Conjugate-gradient iterations on the finest grid. They double on each coarser grid (an eighth of the voxels), up to
#: the second number.
_ITERATIONS, _MOST_ITERATIONS = 3, 8

#: Grids up to this size use a dense operator: one matrix product is faster than many small kernels.
_MATRIX_LIMIT = 512


def solve(
    values: torch.Tensor, known: torch.Tensor, *, order: int = 2, tolerance: float | None = None
) -> torch.Tensor:
    """Solve (-Laplace)^order u = 0 on the hidden voxels, for given visible ones and no flux through the borders.

    Order 2 minimises the squared Laplacian, which gives a smooth surface with matching slopes at visible voxels. The
    solver is full multigrid with one V-cycle per grid (Brandt 1977), then V-cycles on the finest grid.

    Args:
        values: (B, 1, K, J, I) float32, 0 at hidden voxels.
        known: same shape and type, 1 where a voxel is visible, else 0.
        order: 1 for the harmonic, 2 for the biharmonic equation.
        tolerance: the norm of the residual, as a share of the right-hand side's, at which the V-cycles end. None ends
            after the first one.

    Returns:
        (B, 1, K, J, I) float32; visible voxels unchanged. Samples without visible voxels become 0.5.

    Raises:
        MaesilError: `MOST_CYCLES` do not reach the tolerance.
    """
    levels = [_Level(values, known, order, _ITERATIONS)]
    while max(levels[-1].known.shape[2:]) > 1:
        levels.append(levels[-1].coarser())
    estimate = torch.where(levels[-1].known > 0, levels[-1].value, 0.5)
    residual = torch.zeros_like(estimate)
    for index in reversed(range(len(levels) - 1)):
        level = levels[index]
        estimate = _refine(estimate, level).lerp_(level.value, level.known)
        residual = level.bend(estimate).neg()
        _v_cycle(levels[index:], estimate, residual)
    if tolerance is None:
        return estimate
    goal = tolerance * _norm(levels[0].bend(values))
    for _ in range(MOST_CYCLES):
        if (_norm(residual) <= goal).all():
            return estimate
        _v_cycle(levels, estimate, residual)
    message = f"The smooth interpolation did not converge in {MOST_CYCLES} cycles; leave this control out."
    raise MaesilError(message)


class _Level:
    """One grid of the multigrid, with its work buffers.

    Iterations reuse these buffers, as allocation costs as much time as the arithmetic.

    Attributes:
        value: (B, 1, K, J, I), mean of the visible voxels, 0 where `known` is 0.
        known: same shape, 1 where a voxel is visible, else 0.
        free: 1 - known.
        order: power of the Laplacian.
        iterations: per smoothing.
    """

    def __init__(self, value: torch.Tensor, known: torch.Tensor, order: int, iterations: int) -> None:
        self.value, self.known, self.free = value, known, 1.0 - known
        self.order, self.iterations = order, iterations
        self._halfway, self._bent, self._direction = (torch.empty_like(value) for _ in range(3))
        # The number of face neighbours.
        self._centre = torch.zeros_like(value[:1])
        for axis in _axes(value):
            self._centre.add_(2.0)
            for end in (0, value.shape[axis] - 1):
                self._centre.narrow(axis, end, 1).sub_(1.0)
        self._matrix = self._as_matrix() if self._centre.numel() <= _MATRIX_LIMIT else None

    def _as_matrix(self) -> torch.Tensor:
        """The operator as a dense, symmetric (N, N) matrix over the N voxels."""
        size = self._centre.numel()
        units = torch.eye(size, device=self._centre.device).view(size, *self._centre.shape[1:])
        return self._apply(units, torch.empty_like(units), torch.empty_like(units)).view(size, size)

    def coarser(self) -> _Level:
        """Half the voxels along each axis."""
        weight = _coarsen(self.known)
        known = (weight > 0).to(weight.dtype)
        mean = _coarsen(self.value).div_(weight.clamp_min_(1e-6)).mul_(known)
        return _Level(mean, known, self.order, min(2 * self.iterations, _MOST_ITERATIONS))

    def bend(self, x: torch.Tensor) -> torch.Tensor:
        """The operator at free voxels; the next call overwrites the result."""
        if self._matrix is not None:
            torch.mm(x.flatten(1), self._matrix, out=self._bent.flatten(1))
        else:
            self._apply(x, self._halfway, self._bent)
        return self._bent.mul_(self.free)

    def _apply(self, x: torch.Tensor, halfway: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """Write (-Laplace)^order of x to `out`, and return it."""
        if self.order == 2:
            self._negative_laplacian(x, halfway)
            x = halfway
        self._negative_laplacian(x, out)
        return out

    def _negative_laplacian(self, x: torch.Tensor, out: torch.Tensor) -> None:
        """Sum of the differences to the six face neighbours, with zero flux at the border; symmetric."""
        torch.mul(x, self._centre, out=out)
        for axis in _axes(x):
            count = x.shape[axis] - 1
            out.narrow(axis, 0, count).sub_(x.narrow(axis, 1, count))
            out.narrow(axis, 1, count).sub_(x.narrow(axis, 0, count))

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


def _v_cycle(levels: list[_Level], estimate: torch.Tensor, residual: torch.Tensor) -> None:
    """Smooth, correct from the coarser grid, smooth; in place, at free voxels of the first level."""
    level = levels[0]
    level.smooth(estimate, residual)
    if max(estimate.shape[2:]) < _COARSEST:
        return
    # Derivatives of order 2n are 4^n times as large on the halved grid.
    coarse_residual = _coarsen(residual).mul_(levels[1].free).mul_(4.0**level.order)
    coarse = torch.zeros_like(coarse_residual)
    _v_cycle(levels[1:], coarse, coarse_residual)
    correction = _refine(coarse, level).mul_(level.free)
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


def _refine(coarse: torch.Tensor, level: _Level) -> torch.Tensor:
    """Linear interpolation to the voxels of a level, in fewer passes than `F.interpolate`."""
    # The innermost axis first: its strided writes are the slowest.
    for axis in reversed(_axes(level.known)):
        count = coarse.shape[axis]
        pairs = torch.stack([coarse, coarse], axis + 1)
        step = coarse.diff(dim=axis).mul_(0.25)
        pairs.select(axis + 1, 1).narrow(axis, 0, count - 1).add_(step)
        pairs.select(axis + 1, 0).narrow(axis, 1, count - 1).sub_(step)
        coarse = pairs.flatten(axis, axis + 1).narrow(axis, 0, level.known.shape[axis])
    return coarse


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(B, ...) and (B, ...) -> (B, 1, 1, 1, 1)."""
    return torch.bmm(a.flatten(1).unsqueeze(1), b.flatten(1).unsqueeze(2)).unsqueeze(2).unsqueeze(3)


def _norm(x: torch.Tensor) -> torch.Tensor:
    """(B, ...) -> (B,)."""
    return torch.linalg.vector_norm(x.flatten(1), dim=1)
