"""The masks of a large coverage, each on a lattice of its own, so that the borders of patches average out.

With one lattice for all masks, the borders stay visible in the mean of the predictions: they lie in the same places.
On several lattices, masks cannot share out the patches among them, so a voxel is hidden by some more or fewer masks:
with few masks this costs more than the shifts gain (docs/decisions/0022-intensities-and-lattices.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from math import gcd

import numpy as np

from MAESILCore.lattice import Mask, MaskStrategy, SuperpatchGrid, Triple
from MAESILCore.lattice.box import per_axis

#: The fewest masks on several lattices, and the least that they must hide: others leave too many voxels visible.
FEWEST, LEAST_HIDDEN = 8, 0.5

#: Shares of a patch between the lattices of consecutive masks, along k, j, i: powers of the reciprocal of 1.2207, the
#: root of x^4 = x + 1 (M. Roberts, The unreasonable effectiveness of quasirandom sequences, 2018).
_STEPS = tuple(1.2207440846057596**-power for power in (1, 2, 3))


@dataclass(frozen=True, eq=False)
class ShiftedMask:
    """A mask on a lattice that begins before the volume.

    Attributes:
        mask: the mask.
        grid: the division of the volume with `shift` further voxels before it.
        shift: voxels along k, j, i before the first voxel; they repeat the edge.
    """

    mask: Mask
    grid: SuperpatchGrid
    shift: Triple = (0, 0, 0)

    @classmethod
    def of(cls, mask: Mask, grid: SuperpatchGrid) -> ShiftedMask:
        """A mask on the lattice of the volume itself."""
        return cls(mask, grid)

    def extended(self, voxels: np.ndarray) -> np.ndarray:
        """The voxels (k, j, i) with those before them, which repeat the edge."""
        return _extended(voxels, self.shift)

    def inside(self, voxels: np.ndarray) -> np.ndarray:
        """The part of `extended` voxels that is the volume, a view."""
        k, j, i = self.shift
        return voxels[k:, j:, i:]

    def hidden_voxels(self) -> np.ndarray:
        """(k, j, i) bool, True where a voxel of the volume is hidden."""
        return self.inside(self.grid.expand(self.mask.hidden))


def shifted_coverage(
    strategy: MaskStrategy, grid: SuperpatchGrid, masks: int, seed: int
) -> list[ShiftedMask]:
    """At least `masks` masks that together hide every voxel at least once; the first lies on the volume's lattice.

    Args:
        strategy: draws the masks; if it hides less than a half, all masks lie on the lattice of the volume.
        grid: the division of the volume.
        masks: the least number of masks; fewer than eight lie on the lattice of the volume, and the default strategy
            then hides each voxel at least twice with four masks.
        seed: seed of the masks.
    """
    if masks < FEWEST or strategy.hidden_share < LEAST_HIDDEN:
        return [ShiftedMask.of(mask, grid) for mask in strategy.coverage(grid, masks, seed)]
    kept = np.zeros(grid.shape, dtype=np.uint16)
    drawn: list[ShiftedMask] = []
    for shift in shifts(grid.patch_size):
        if len(drawn) >= masks and int(kept.max()) < len(drawn):
            break
        shape = per_axis(extent + before for extent, before in zip(grid.shape, shift, strict=True))
        lattice = SuperpatchGrid(shape, grid.superpatch_size, grid.patch_size, grid.overlap)
        # Masks are independent, but the last ones hide what no mask has hidden.
        always = (kept == len(drawn)) & (len(drawn) >= masks - 1)
        most = _largest(_extended(always, shift), lattice)
        mask = ShiftedMask(strategy.sample_after(lattice, most, seed, len(drawn)), lattice, shift)
        kept += ~mask.hidden_voxels()
        drawn.append(mask)
    return drawn


def shifts(patch_size: Triple) -> Iterator[Triple]:
    """Shifts of the lattice along k, j, i, without end; the first is none.

    Of as many masks as a patch has voxels along an axis, each has another shift along it. Every plane between voxels
    is then the border of patches in one mask, so none stands out in the mean.
    """
    steps: list[int] = []
    for patch, share in zip(patch_size, _STEPS, strict=True):
        steps.append(_nearest_coprime(share * patch, patch, steps))
    for number in count():
        yield per_axis(
            (number * step + number // patch * axis) % patch  # a later round has other triples
            for axis, (patch, step) in enumerate(zip(patch_size, steps, strict=True))
        )


def _nearest_coprime(wanted: float, patch: int, taken: Sequence[int]) -> int:
    """The step nearest to `wanted` whose multiples go through all shifts of a patch; not one of another axis if any."""
    coprime = [step for step in range(1, patch + 1) if gcd(step, patch) == 1]
    free = [step for step in coprime if step not in taken]
    return min(free or coprime, key=lambda step: abs(step - wanted))


def _extended(voxels: np.ndarray, shift: Triple) -> np.ndarray:
    """The voxels with `shift` further ones before them, which repeat the edge."""
    return np.pad(voxels, [(extent, 0) for extent in shift], mode="edge") if any(shift) else voxels


def _largest(voxels: np.ndarray, grid: SuperpatchGrid) -> np.ndarray:
    """The largest value in each patch, (Dk, Dj, Di) int64."""
    largest = voxels
    for axis, patch in enumerate(grid.patch_size):
        largest = np.maximum.reduceat(largest, np.arange(0, largest.shape[axis], patch), axis=axis)
    return largest.astype(np.int64)
