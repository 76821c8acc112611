"""Shapes on the patch lattice as corner indices: pure functions on arrays, fast enough to follow a slider.

Patch corners are indexed row-major over (k, j, i), with one more corner than patches along each axis. Every shape is a
row of corner indices: a new mask changes the indices and moves no corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from MAESILCore.lattice import SECOND_STAGE, LatticeBox, SuperpatchGrid, Triple


def patchEdges(grid: SuperpatchGrid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges of the patches along k, j, i, in voxel indices; float64, one more than patches.

    Edges lie between voxels, half an index from their centres. A partial last patch ends at the volume's border.
    """
    k, j, i = (
        np.minimum(np.arange(count + 1) * patch, size) - 0.5
        for count, patch, size in zip(grid.lattice_shape, grid.patch_size, grid.shape, strict=True)
    )
    return k, j, i


def superpatchEdges(grid: SuperpatchGrid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges of the partition's superpatches along k, j, i, in voxel indices; float64."""
    k, j, i = (
        np.append(np.arange(0, size, length), size) - 0.5
        for length, size in zip(grid.superpatch_size, grid.shape, strict=True)
    )
    return k, j, i


def cornersRas(edges: Sequence[np.ndarray], ijkToRas: np.ndarray) -> np.ndarray:
    """All crossings of edges along k, j, i, row-major: (N, 3) float64, RAS in mm."""
    k, j, i = np.meshgrid(*edges, indexing="ij")
    cornersIjk = np.stack([i, j, k], axis=-1).reshape(-1, 3)
    return cornersIjk @ ijkToRas[:3, :3].T + ijkToRas[:3, 3]


def boxes(stages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The hidden patches as boxes; neighbours of one stage along an axis are merged.

    Args:
        stages: (Dk, Dj, Di) uint8, 0 where visible.

    Returns:
        Corners of each box, (N, 8) int32, in the order of a VTK hexahedron, and its stage, (N,) uint8.
    """
    strides = _strides(stages.shape)
    axis = _byLikeness(stages)[0]
    first, last, stage = _runs(stages, axis)
    last = last + strides[axis]
    u, v = (strides[other] for other in range(3) if other != axis)
    around = np.array([0, u, u + v, v], dtype=np.int32)
    return np.hstack([first[:, None] + around, last[:, None] + around]), stage


def outerFaces(stages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The faces between hidden patches and visible patches or the outside; neighbours along an axis are merged.

    Returns:
        Corners of each face, (N, 4) int32, and the stage of the hidden patch behind it, (N,) uint8. Seen from outside,
        the corners go counter-clockwise where i, j and k are right-handed.
    """
    strides = _strides(stages.shape)
    order = _byLikeness(stages)
    faces, behind = [], []
    for normal in range(3):
        along, across = (axis for axis in order if axis != normal)
        for far in (False, True):
            first, last, stage = _runs(_exposed(stages, normal, far), along)
            begin = np.array([0, strides[across]], dtype=np.int32)
            if far != ((across - along) % 3 == 1):
                begin = begin[::-1]
            begin = begin + far * strides[normal]
            faces.append(np.hstack([first[:, None] + begin, last[:, None] + begin[::-1] + strides[along]]))
            behind.append(stage)
    return np.concatenate(faces), np.concatenate(behind)


def hatching(stages: np.ndarray, stage: int = SECOND_STAGE) -> np.ndarray:
    """Triangles through the patches of a stage that any slice cuts into a hatching, (N, 3) int32.

    They lie on the planes where i + j + k of the lattice is an integer, which continue from patch to patch. Two of
    these planes cross every patch along its corners.
    """
    k, j, i = _strides(stages.shape)
    first = _firstCorners(stages.shape, 2)[np.flatnonzero(stages == stage), None]
    near = first + np.array([i, j, k], dtype=np.int32)
    far = first + np.array([i + j, i + k, j + k], dtype=np.int32)
    return np.concatenate([near, far])


def gridFaces(counts: Triple) -> np.ndarray:
    """All faces of a grid of `counts` boxes along k, j, i, (N, 4) int64."""
    corners = np.arange(np.prod(np.add(counts, 1))).reshape(np.add(counts, 1))
    faces = []
    for normal in range(3):
        first, second = (axis for axis in range(3) if axis != normal)
        near, far = slice(None, -1), slice(1, None)
        around = []
        for a, b in ((near, near), (far, near), (far, far), (near, far)):
            place = [slice(None)] * 3
            place[first], place[second] = a, b
            around.append(corners[tuple(place)].ravel())
        faces.append(np.stack(around, axis=1))
    return np.concatenate(faces)


def onlyInside(stages: np.ndarray, box: LatticeBox) -> np.ndarray:
    """A copy of the stages with everything outside a box visible."""
    clipped = np.zeros_like(stages)
    clipped[box.slices] = stages[box.slices]
    return clipped


def _strides(shape: Sequence[int]) -> Triple:
    """The index strides of neighbouring corners along k, j, i, on a lattice of `shape` patches."""
    return (shape[1] + 1) * (shape[2] + 1), shape[2] + 1, 1


@lru_cache(maxsize=8)
def _firstCorners(shape: Triple, axis: int) -> np.ndarray:
    """The index of each patch's first corner, int32, flattened with `axis` last."""
    k, j, i = _strides(shape)
    ranges = np.ogrid[: shape[0], : shape[1], : shape[2]]
    corners = (ranges[0] * k + ranges[1] * j + ranges[2] * i).astype(np.int32)
    return np.moveaxis(corners, axis, -1).ravel()


def _exposed(stages: np.ndarray, normal: int, far: bool) -> np.ndarray:
    """The stages where the previous (or, if `far`, next) patch along an axis is visible or outside; else 0."""
    exposed = stages.copy()
    before, after = [slice(None)] * 3, [slice(None)] * 3
    before[normal], after[normal] = slice(None, -1), slice(1, None)
    inner, outer = (before, after) if far else (after, before)
    exposed[tuple(inner)] *= stages[tuple(outer)] == 0
    return exposed


def _byLikeness(stages: np.ndarray) -> list[int]:
    """The axes k, j, i, the one with the fewest runs first."""
    ahead = (np.moveaxis(stages, axis, 0) for axis in range(3))
    # Each line of patches has one more run than stage changes, so a short axis has many runs.
    rows = [np.count_nonzero(moved[1:] != moved[:-1]) + moved[0].size for moved in ahead]
    return sorted(range(3), key=rows.__getitem__)


def _runs(stages: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs of equal stages along an axis: the first corners of the first and last patch, and the stage."""
    rows = np.ascontiguousarray(np.moveaxis(stages, axis, -1))
    differs = rows[..., 1:] != rows[..., :-1]
    begins = rows != 0
    ends = begins.copy()
    begins[..., 1:] &= differs
    ends[..., :-1] &= differs
    corners = _firstCorners(stages.shape, axis)
    first = np.flatnonzero(begins)
    return corners[first], corners[np.flatnonzero(ends)], rows.ravel()[first]
