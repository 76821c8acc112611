"""Shapes on the patch lattice as corner indices: pure functions on arrays, fast enough to follow a slider.

Patch corners are indexed row-major over (k, j, i), with one more corner than patches along each axis. Every shape is a
row of corner indices: a new mask changes the indices and moves no corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np

from MAESILCore.lattice import SECOND_STAGE, LatticeBox, SuperpatchGrid, Triple, per_axis


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


class Part(NamedTuple):
    """Some patches of the lattice.

    Attributes:
        box: a box around them and their neighbours.
        chosen: which patches of the box they are, bool of its shape.
    """

    box: LatticeBox
    chosen: np.ndarray

    @classmethod
    def around(cls, chosen: np.ndarray) -> Part:
        """The patches that are True in `chosen`, (Dk, Dj, Di) bool, at least one."""
        ends = []
        for axis, size in enumerate(chosen.shape):
            places = np.flatnonzero(chosen.any(axis=tuple({0, 1, 2} - {axis})))
            ends.append((max(0, int(places[0]) - 1), min(size, int(places[-1]) + 2)))
        box = LatticeBox(per_axis(a for a, _ in ends), per_axis(b for _, b in ends))
        return cls(box, chosen[box.slices])


def patchesOn(edges: Sequence[np.ndarray], plane: np.ndarray, tolerance: float = 0.0) -> np.ndarray:
    """The patches that a plane cuts or touches, (Dk, Dj, Di) bool.

    Args:
        edges: of the patches along k, j, i, in voxel indices.
        plane: (4,), a point's distance from the plane is `plane @ (i, j, k, 1)`.
        tolerance: the largest distance of a touching patch.
    """
    low = high = plane[3]
    for edge, slope in zip(edges, plane[2::-1], strict=True):
        ends = np.sort(slope * np.stack([edge[:-1], edge[1:]]), axis=0)
        low, high = np.add.outer(low, ends[0]), np.add.outer(high, ends[1])
    return np.asarray((low <= tolerance) & (high >= -tolerance))


def cornersAround(patches: np.ndarray) -> np.ndarray:
    """The corners of some patches, bool with one more corner than patches along each axis.

    Args:
        patches: (Dk, Dj, Di) bool.
    """
    corners = np.zeros(np.add(patches.shape, 1), dtype=bool)
    for k, j, i in product((0, 1), repeat=3):
        corners[k : k + patches.shape[0], j : j + patches.shape[1], i : i + patches.shape[2]] |= patches
    return corners


def boxes(stages: np.ndarray, part: Part | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The hidden patches as boxes; neighbours of one stage along an axis are merged.

    Args:
        stages: (Dk, Dj, Di) uint8, 0 where visible.
        part: the patches to draw; None draws all.

    Returns:
        Corners of each box, (N, 8) int32, in the order of a VTK hexahedron, and its stage, (N,) uint8.
    """
    inner, chosen = _inner(stages, part)
    axis = _byLikeness(inner * chosen)[0]
    ends, stage = _runs(_rows(inner * chosen, axis).ravel(), _cornersOf(stages.shape, part, axis))
    u, v = (stride for other, stride in enumerate(_strides(stages.shape)) if other != axis)
    return _swept(ends, [[0, u, u + v, v]]), stage


def outerFaces(stages: np.ndarray, part: Part | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The faces between hidden patches and visible patches or the outside; neighbours along an axis are merged.

    Args:
        stages: (Dk, Dj, Di) uint8, 0 where visible.
        part: the patches whose faces are drawn; None draws all.

    Returns:
        Corners of each face, (N, 4) int32, and the stage of the hidden patch behind it, (N,) uint8. Seen from outside,
        the corners go counter-clockwise where i, j and k are right-handed.
    """
    strides = _strides(stages.shape)
    inner, chosen = _inner(stages, part)
    order = _byLikeness(inner * chosen)
    faces, behind = [], []
    for along, normals in ((order[0], order[1:]), (order[1], order[:1])):
        rows, corners = _rows(inner, along), _cornersOf(stages.shape, part, along)
        flat, isChosen = rows.ravel(), _rows(np.broadcast_to(chosen, inner.shape), along).ravel()
        for normal in normals:
            (across,) = {0, 1, 2} - {along, normal}
            # The rows hold one byte for each patch, and a 0 after the last one of each axis.
            step = rows.strides[normal - (normal > along)]
            for far in (False, True):
                exposed = flat * isChosen
                if far:
                    exposed[:-step] *= flat[step:] == 0
                else:
                    exposed[step:] *= flat[:-step] == 0
                ends, stage = _runs(exposed, corners)
                side = far * strides[normal]
                near, other = side, side + strides[across]
                if far != ((across - along) % 3 == 1):
                    near, other = other, near
                faces.append(_swept(ends, [[near, other], [other, near]]))
                behind.append(stage)
    return np.concatenate(faces), np.concatenate(behind)


def hatching(stages: np.ndarray, part: Part | None = None) -> np.ndarray:
    """Triangles through the patches of the second stage that any slice cuts into a hatching, (N, 3) int32.

    They lie on the planes where i + j + k of the lattice is an integer, which continue from patch to patch. Two of
    these planes cross every patch along its corners.
    """
    inner, chosen = _inner(stages, part)
    isOfStage = _rows((inner == SECOND_STAGE) & chosen, 2).ravel()
    first = _cornersOf(stages.shape, part, 2)[np.flatnonzero(isOfStage), None]
    k, j, i = _strides(stages.shape)
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


def _strides(shape: Sequence[int]) -> Triple:
    """The index strides of neighbouring corners along k, j, i, on a lattice of `shape` patches."""
    return (shape[1] + 1) * (shape[2] + 1), shape[2] + 1, 1


def _inner(stages: np.ndarray, part: Part | None) -> tuple[np.ndarray, np.ndarray | np.bool_]:
    """The stages in the part's box, and which of its patches are drawn."""
    return (stages, np.True_) if part is None else (stages[part.box.slices], part.chosen)


def _rows(values: np.ndarray, axis: int) -> np.ndarray:
    """Values of patches with `axis` last and a 0 after the end of each axis, so that each corner has a place."""
    return np.ascontiguousarray(np.moveaxis(np.pad(values, (0, 1)), axis, -1))


@lru_cache(maxsize=8)
def _corners(shape: Triple, axis: int) -> np.ndarray:
    """The index of each corner in the order of `_rows`, int32."""
    counts = tuple(np.add(shape, 1))
    corners = np.arange(np.prod(counts), dtype=np.int32).reshape(counts)
    return np.ascontiguousarray(np.moveaxis(corners, axis, -1))


def _cornersOf(shape: Triple, part: Part | None, axis: int) -> np.ndarray:
    """The index of the first corner of each patch in `_rows` of the part's box, flat."""
    corners = _corners(shape, axis)
    if part is not None:
        ends = [slice(a, b + 1) for a, b in zip(part.box.start, part.box.stop, strict=True)]
        corners = corners[(*ends[:axis], *ends[axis + 1 :], ends[axis])]
    return corners.ravel()


def _byLikeness(stages: np.ndarray) -> list[int]:
    """The axes k, j, i, the one with the fewest runs first."""
    ahead = (np.moveaxis(stages, axis, 0) for axis in range(3))
    # Each line of patches has one more run than stage changes, so a short axis has many runs.
    rows = [np.count_nonzero(moved[1:] != moved[:-1]) + moved[0].size for moved in ahead]
    return sorted(range(3), key=rows.__getitem__)


def _runs(flat: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Runs of equal stages along rows, in which a 0 ends each row.

    Returns:
        Of each run the first corner and the one behind its last patch, (N, 2) int32, and its stage, (N,) uint8.
    """
    isHidden = flat != 0
    isBorder = np.ones(len(flat) + 1, dtype=bool)
    np.not_equal(flat[1:], flat[:-1], out=isBorder[1:-1])
    first, last = np.flatnonzero(isHidden & isBorder[:-1]), np.flatnonzero(isHidden & isBorder[1:])
    return np.stack([corners[first], corners[last + 1]], axis=1), flat[first]


def _swept(ends: np.ndarray, offsets: Sequence[Sequence[int]]) -> np.ndarray:
    """Shapes that reach from one corner to another, (N, 2): the corners around each, by their index offsets."""
    around = np.broadcast_to(np.array(offsets, dtype=np.int32), (2, len(offsets[0])))
    return (ends[:, :, None] + around).reshape(-1, around.size)
