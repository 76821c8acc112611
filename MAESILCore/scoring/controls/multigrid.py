"""Smooth interpolation of whole volumes: Laplace's and the biharmonic equation on the hidden voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MAESILCore.errors import MaesilError

#: Relative tolerance of the residual; a tenth of it changes no score in the third digit.
TOLERANCE = 1e-3
_MOST_ITERATIONS = 1000
_SWEEPS = 3
#: The smoother damps eigenvalues above the largest one divided by this.
_SMOOTHED_RANGE = 24.0
_HALF = np.array([0.25, 0.5, 0.25], dtype=np.float32)


def solve(values: np.ndarray, hidden: np.ndarray, start: np.ndarray, order: int) -> np.ndarray:
    """Continue the visible voxels smoothly into the hidden ones.

    Solves (-Laplace)^order u = 0 on the hidden voxels for given visible ones and no flux through the volume's borders,
    with conjugate gradients (SciPy) and a geometric multigrid preconditioner.

    Args:
        values: (k, j, i) float32; hidden voxels are not used.
        hidden: (k, j, i) bool; some voxels must be visible.
        start: (k, j, i) float32 initial guess.
        order: 1 for the harmonic, 2 for the biharmonic equation.

    Returns:
        (k, j, i) float32; visible voxels unchanged.

    Raises:
        MaesilError: the iteration does not converge.
    """
    from scipy.sparse.linalg import LinearOperator, cg

    level = _Level.of(hidden, order, (1.0, 1.0, 1.0))
    square, shape = (values.size, values.size), values.shape
    known = np.where(hidden, np.float32(0), values)
    operator = LinearOperator(
        square, matvec=lambda x: level.operator(x.reshape(shape)).ravel(), dtype=np.float32
    )
    cycle = LinearOperator(square, matvec=lambda r: level.cycle(r.reshape(shape)).ravel(), dtype=np.float32)
    guess = (start * level.unknown).ravel()
    right_hand_side = -level.operator(known).ravel()
    solution, unfinished = cg(
        operator, right_hand_side, x0=guess, rtol=TOLERANCE, atol=1e-6, maxiter=_MOST_ITERATIONS, M=cycle
    )
    if unfinished:
        message = f"The smooth interpolation did not converge in {_MOST_ITERATIONS} iterations; leave this control out."
        raise MaesilError(message)
    return np.asarray(known + solution.reshape(shape), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class _Level:
    """One grid of the multigrid cycle.

    A coarser level joins 2 x 2 x 2 voxels; a joined voxel is unknown if all of them are hidden. Interpolation uses
    quadratic B-splines, smooth enough for the biharmonic operator. The cycle is symmetric, as conjugate gradients need.

    Attributes:
        unknown: (k, j, i) float32, 1 where hidden.
        order: power of the Laplacian.
        weights: weights of the second differences along k, j, i: one over the squared spacing.
        coarse: the next level; None for the last one.
    """

    unknown: np.ndarray
    order: int
    weights: tuple[float, float, float]
    coarse: _Level | None

    @classmethod
    def of(cls, hidden: np.ndarray, order: int, weights: tuple[float, float, float]) -> _Level:
        joined = _joined(hidden)
        coarse = None
        if joined.size < hidden.size and joined.any() and not joined.all():
            k, j, i = (w / 4.0 if n > 1 else w for w, n in zip(weights, hidden.shape, strict=True))
            coarse = cls.of(joined, order, (k, j, i))
        return cls(hidden.astype(np.float32), order, weights, coarse)

    def operator(self, x: np.ndarray) -> np.ndarray:
        """Apply (-Laplace)^order; 0 at visible voxels."""
        for _ in range(self.order):
            x = self._negative_laplacian(x)
        x *= self.unknown
        return x

    def _negative_laplacian(self, x: np.ndarray) -> np.ndarray:
        result = np.zeros_like(x)
        for axis, weight in enumerate(self.weights):
            step = np.diff(x, axis=axis)
            step *= np.float32(weight)
            head, tail = [slice(None)] * 3, [slice(None)] * 3
            head[axis], tail[axis] = slice(None, -1), slice(1, None)
            result[tuple(head)] -= step
            result[tuple(tail)] += step
        return result

    def cycle(self, residual: np.ndarray) -> np.ndarray:
        """Solve operator(x) = residual approximately, by one V-cycle."""
        if self.coarse is None:
            return self._smooth(residual, None, 4 * _SWEEPS)
        x = self._smooth(residual, None, _SWEEPS)
        x += self._interpolate(self.coarse.cycle(self._restrict(residual - self.operator(x))))
        return self._smooth(residual, x, _SWEEPS)

    def _smooth(self, right_hand_side: np.ndarray, x: np.ndarray | None, sweeps: int) -> np.ndarray:
        """Chebyshev iteration (Adams et al. 2003, J Comput Phys 188:593) on the upper end of the spectrum."""
        highest = (4.0 * sum(self.weights)) ** self.order
        lowest = highest / _SMOOTHED_RANGE
        centre, half_width = (highest + lowest) / 2.0, (highest - lowest) / 2.0
        residual = right_hand_side.copy() if x is None else right_hand_side - self.operator(x)
        step = residual / np.float32(centre)
        x = step.copy() if x is None else x + step
        rho = half_width / centre
        for _ in range(sweeps - 1):
            residual -= self.operator(step)
            previous, rho = rho, 1.0 / (2.0 * centre / half_width - rho)
            step = np.float32(previous * rho) * step + np.float32(2.0 * rho / half_width) * residual
            x += step
        return x

    def _interpolate(self, x: np.ndarray) -> np.ndarray:
        for axis in range(3):
            if self.unknown.shape[axis] > 1:
                x = _halved_steps(np.repeat(x, 2, axis=axis), axis)
                x = x[(slice(None),) * axis + (slice(self.unknown.shape[axis]),)]
        return x * self.unknown

    def _restrict(self, x: np.ndarray) -> np.ndarray:
        """The transpose of `_interpolate`, scaled to a mean."""
        assert self.coarse is not None
        for axis in range(3):
            if self.unknown.shape[axis] > 1:
                padding = [(0, x.shape[a] % 2 if a == axis else 0) for a in range(3)]
                x = _halved_steps(np.pad(x, padding), axis)
                even = (slice(None),) * axis + (slice(0, None, 2),)
                odd = (slice(None),) * axis + (slice(1, None, 2),)
                x = (x[even] + x[odd]) * np.float32(0.5)
        return x * self.coarse.unknown


def _joined(hidden: np.ndarray) -> np.ndarray:
    """Join pairs of voxels along each axis; hidden if both are. A last voxel without partner stands alone."""
    for axis, length in enumerate(hidden.shape):
        if length > 1:
            padding = [(0, length % 2 if a == axis else 0) for a in range(3)]
            padded = np.moveaxis(np.pad(hidden, padding, mode="edge"), axis, 0)
            hidden = np.moveaxis(padded[::2] & padded[1::2], 0, axis)
    return hidden


def _halved_steps(x: np.ndarray, axis: int) -> np.ndarray:
    """Filter with (1, 2, 1) / 4 along an axis: turns doubled voxels into a quadratic B-spline."""
    from scipy.ndimage import correlate1d

    return correlate1d(x, _HALF, axis=axis, mode="nearest")
