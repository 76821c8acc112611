"""The one implementation of cutting: volume, superpatches, patches, tokens, and the patch lattice."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import DTypeLike

from MAESILCore.errors import ConfigError
from MAESILCore.lattice.assembler import Assembler, AxisWeights, axis_weights
from MAESILCore.lattice.box import LatticeBox, Triple, as_triple, per_axis


@dataclass(frozen=True, init=False)
class SuperpatchGrid:
    """How a volume is divided: superpatches (model inputs) of patches (tokens), anchored at voxel 0.

    Without overlap the superpatches are a partition. With overlap one starts every
    `superpatch_size - overlap` voxels until the volume is covered, and `assemble` blends the shared parts.
    Superpatches at the far border may be cut short: `box` is clipped to the lattice, `cut` pads to full size
    by repeating the edge.

    Attributes:
        shape: the volume's voxels along k, j, i.
        superpatch_size: voxels of a superpatch along k, j, i; a multiple of the patch size.
        patch_size: voxels of a patch along k, j, i.
        overlap: voxels shared by neighbouring superpatches along k, j, i; a multiple of the patch size.

    >>> grid = SuperpatchGrid((133, 512, 512))
    >>> len(grid), grid.lattice_shape
    (32, (17, 64, 64))
    """

    shape: Triple
    superpatch_size: Triple
    patch_size: Triple
    overlap: Triple

    def __init__(
        self,
        shape: Sequence[int],
        superpatch_size: int | Sequence[int] = 128,
        patch_size: int | Sequence[int] = 8,
        overlap: int | Sequence[int] = 0,
    ) -> None:
        """Sizes as one number for all axes or three along (k, j, i).

        Raises:
            ConfigError: the sizes do not divide each other.
        """
        object.__setattr__(self, "shape", as_triple(shape, "volume shape", 1))
        object.__setattr__(self, "superpatch_size", as_triple(superpatch_size, "superpatch size", 1))
        object.__setattr__(self, "patch_size", as_triple(patch_size, "patch size", 1))
        object.__setattr__(self, "overlap", as_triple(overlap, "overlap", 0))
        for axis in range(3):
            self._check_axis(self.superpatch_size[axis], self.patch_size[axis], self.overlap[axis])

    @staticmethod
    def _check_axis(size: int, patch: int, overlap: int) -> None:
        if size % patch:
            message = (
                f"A superpatch of {size} voxels does not divide into patches of {patch}; use a multiple."
            )
            raise ConfigError(message)
        if overlap % patch or overlap >= size:
            message = (
                f"The overlap must be a multiple of the patch size ({patch} voxels) and smaller than the "
                f"superpatch ({size} voxels), but it is {overlap} voxels."
            )
            raise ConfigError(message)

    @cached_property
    def lattice_shape(self) -> Triple:
        """Patches of the volume along k, j, i; the last one of an axis may be partial."""
        return per_axis(-(-n // p) for n, p in zip(self.shape, self.patch_size, strict=True))

    @cached_property
    def superpatch_lattice(self) -> Triple:
        """Patches of a full superpatch along k, j, i."""
        return per_axis(s // p for s, p in zip(self.superpatch_size, self.patch_size, strict=True))

    @cached_property
    def counts(self) -> Triple:
        """Superpatches along k, j, i."""
        axes = zip(self.lattice_shape, self.superpatch_lattice, self._steps, strict=True)
        return per_axis(1 + max(0, -(-(d - s) // step)) for d, s, step in axes)

    @cached_property
    def _steps(self) -> Triple:
        """Patches from one superpatch's start to the next one's."""
        sizes = zip(self.superpatch_size, self.overlap, self.patch_size, strict=True)
        return per_axis((s - o) // p for s, o, p in sizes)

    def __len__(self) -> int:
        """Number of superpatches."""
        return self.counts[0] * self.counts[1] * self.counts[2]

    def without_overlap(self) -> SuperpatchGrid:
        """The partition of the same volume into the same superpatches."""
        return SuperpatchGrid(self.shape, self.superpatch_size, self.patch_size)

    def box(self, index: int) -> LatticeBox:
        """The patches of superpatch `index` (row-major over k, j, i), clipped to the lattice."""
        if not 0 <= index < len(self):
            message = f"There is no superpatch {index}: this grid has {len(self)}, counted from 0."
            raise ConfigError(message)
        place = np.unravel_index(index, self.counts)
        start = per_axis(int(n) * step for n, step in zip(place, self._steps, strict=True))
        stop = per_axis(a + s for a, s in zip(start, self.superpatch_lattice, strict=True))
        return self._clipped(start, stop)

    def context_box(self, index: int, minimum: int | Sequence[int]) -> LatticeBox:
        """`box(index)`, widened into its neighbours to at least `minimum` patches where the volume has them.

        A thin superpatch at the border gives a network little to go by; its neighbours' patches help.
        """
        box = self.box(index)
        wanted = as_triple(minimum, "smallest context", 0)
        start = per_axis(max(0, min(a, b - m)) for a, b, m in zip(box.start, box.stop, wanted, strict=True))
        stop = per_axis(max(b, a + m) for a, b, m in zip(start, box.stop, wanted, strict=True))
        return self._clipped(start, stop)

    def _clipped(self, start: Triple, stop: Triple) -> LatticeBox:
        return LatticeBox(start, per_axis(min(b, d) for b, d in zip(stop, self.lattice_shape, strict=True)))

    def cut_box(self, voxels: np.ndarray, box: LatticeBox) -> np.ndarray:
        """The voxels of a lattice box, (dk * p, dj * p, di * p), a copy.

        Only a partial patch at the volume's far border is padded, by repeating the edge.
        """
        self._check_volume(voxels)
        size = per_axis(n * p for n, p in zip(box.shape, self.patch_size, strict=True))
        return _padded(voxels[box.voxel_slices(self.patch_size, self.shape)], size)

    def cut(self, voxels: np.ndarray, indices: Iterable[int] | None = None) -> np.ndarray:
        """Superpatches of full size, (N, *superpatch_size), same dtype, padded by repeating the edge.

        Args:
            voxels: (k, j, i) of the grid's shape.
            indices: which superpatches; None takes all.
        """
        self._check_volume(voxels)
        chosen = list(range(len(self)) if indices is None else indices)
        superpatches = np.empty((len(chosen), *self.superpatch_size), dtype=voxels.dtype)
        for superpatch, index in zip(superpatches, chosen, strict=True):
            part = voxels[self.box(index).voxel_slices(self.patch_size, self.shape)]
            superpatch[...] = _padded(part, self.superpatch_size)
        return superpatches

    def assemble(self, superpatches: np.ndarray, indices: Iterable[int] | None = None) -> np.ndarray:
        """The inverse of `cut`: (N, *superpatch_size) -> (k, j, i), same dtype; missing superpatches stay 0.

        Without overlap, and for integers, `assemble(cut(x))` is exactly x; blended floats agree to rounding.
        """
        chosen = list(range(len(self)) if indices is None else indices)
        if len(chosen) != len(superpatches):
            message = f"{len(superpatches)} superpatches cannot be put into {len(chosen)} places."
            raise ConfigError(message)
        assembler = self.assembler(superpatches.dtype)
        for superpatch, index in zip(superpatches, chosen, strict=True):
            assembler.add(self.box(index), superpatch)
        return assembler.result()

    def assembler(self, dtype: DTypeLike = np.float32) -> Assembler:
        """Assembles superpatches that come one by one, with no more memory than the volume."""
        weights = [self._axis_weights(axis) for axis in range(3)] if any(self.overlap) else []
        return Assembler(self.shape, self.patch_size, weights, np.dtype(dtype))

    def _axis_weights(self, axis: int) -> AxisWeights:
        starts = [n * self._steps[axis] for n in range(self.counts[axis])]
        size, overlap = self.superpatch_size[axis], self.overlap[axis]
        return axis_weights(self.shape[axis], self.patch_size[axis], starts, size, overlap)

    def patchify(self, superpatches: np.ndarray) -> np.ndarray:
        """(N, K, J, I) -> (N, L, p^3): patches in row-major (k, j, i) order, voxels likewise."""
        n, *sides = superpatches.shape
        k, j, i = (side // patch for side, patch in zip(sides, self.patch_size, strict=True))
        pk, pj, pi = self.patch_size
        tokens = superpatches.reshape(n, k, pk, j, pj, i, pi).transpose(0, 1, 3, 5, 2, 4, 6)
        return tokens.reshape(n, k * j * i, pk * pj * pi)

    def unpatchify(self, tokens: np.ndarray, lattice_shape: Triple | None = None) -> np.ndarray:
        """The inverse of `patchify`: (N, L, p^3) -> (N, K, J, I), by default of full superpatches."""
        k, j, i = lattice_shape or self.superpatch_lattice
        pk, pj, pi = self.patch_size
        blocks = tokens.reshape(-1, k, j, i, pk, pj, pi).transpose(0, 1, 4, 2, 5, 3, 6)
        return blocks.reshape(-1, k * pk, j * pj, i * pi)

    def lattice_to_ras(self, ijk_to_ras: np.ndarray) -> np.ndarray:
        """IJK-to-RAS matrix of the patch lattice, (4, 4) float64, from the volume's.

        Lattice index a sits at voxel index p * a + (p - 1) / 2, the mean of the patch's voxel centres, on
        every axis.
        """
        patch_ijk = np.array(self.patch_size[::-1], dtype=np.float64)
        lattice_to_ijk = np.diag([*patch_ijk, 1.0])
        lattice_to_ijk[:3, 3] = (patch_ijk - 1.0) / 2.0
        return np.asarray(ijk_to_ras, dtype=np.float64) @ lattice_to_ijk

    def expand(self, lattice_array: np.ndarray, box: LatticeBox | None = None) -> np.ndarray:
        """Every patch's value on its voxels: (Dk, Dj, Di) -> (k, j, i), same dtype.

        Args:
            lattice_array: one value a patch, of the box or of the whole lattice.
            box: whose voxels are asked for; None is the volume.
        """
        box = box or LatticeBox((0, 0, 0), self.lattice_shape)
        if lattice_array.shape != box.shape:
            message = f"Expected one value for each of {box.shape} patches, but got {lattice_array.shape}."
            raise ConfigError(message)
        expanded = lattice_array
        for axis, part in reversed(list(enumerate(box.voxel_slices(self.patch_size, self.shape)))):
            expanded = np.repeat(expanded, self.patch_size[axis], axis=axis)
            expanded = expanded[(slice(None),) * axis + (slice(part.stop - part.start),)]
        return np.ascontiguousarray(expanded)

    def voxel_share(self, patches: np.ndarray) -> float:
        """Share of the volume's voxels that lie in some patches, 0 to 1; patches at the end of an axis can be cut.

        Args:
            patches: (Dk, Dj, Di) bool, of the whole lattice.
        """
        if patches.shape != self.lattice_shape:
            message = f"Expected one value for each of {self.lattice_shape} patches, but got {patches.shape}."
            raise ConfigError(message)
        edges = [
            np.minimum(patch, size - patch * np.arange(count))
            for size, patch, count in zip(self.shape, self.patch_size, self.lattice_shape, strict=True)
        ]
        voxels = np.einsum("kji,k,j,i->", patches.astype(np.float64), *edges)
        return float(voxels) / math.prod(self.shape)

    def _check_volume(self, voxels: np.ndarray) -> None:
        if voxels.shape != self.shape:
            message = f"Expected a volume of {self.shape} voxels (k, j, i), but got {voxels.shape}."
            raise ConfigError(message)


def _padded(part: np.ndarray, size: Triple) -> np.ndarray:
    """A copy of `part`, at its end padded to `size` by repeating the edge."""
    missing = [(0, want - have) for want, have in zip(size, part.shape, strict=True)]
    return np.pad(part, missing, mode="edge") if any(after for _, after in missing) else part.copy()


def usual_overlap(superpatch_size: Sequence[int], patch_size: Sequence[int]) -> Triple:
    """A quarter of a superpatch in whole patches, along k, j, i: what hides the seams of a reconstruction."""
    return per_axis(s // p // 4 * p for s, p in zip(superpatch_size, patch_size, strict=True))
