"""Masks that hide a region of interest: a box in voxels, a box in RAS, or a label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from MAESILCore.errors import ConfigError
from MAESILCore.lattice.grid import SuperpatchGrid
from MAESILCore.lattice.mask import FIRST_STAGE, Mask


def roi_mask_from_box(grid: SuperpatchGrid, start: Sequence[int], stop: Sequence[int]) -> Mask:
    """Hide every patch that shares a voxel with a box of voxels.

    Args:
        grid: the volume's grid.
        start: first voxel (k, j, i) of the box, which is clipped to the volume.
        stop: end (k, j, i) of the box, exclusive.

    Raises:
        ConfigError: the box is outside the volume.

    >>> grid = SuperpatchGrid((32, 32, 32), superpatch_size=32, patch_size=8)
    >>> int(roi_mask_from_box(grid, (0, 0, 0), (8, 8, 9)).hidden.sum())
    2
    """
    if len(start) != 3 or len(stop) != 3:
        raise ConfigError(
            f"A region needs a start and a stop along k, j, i, but got {tuple(start)} and {tuple(stop)}."
        )
    first = [max(0, a) for a in start]
    behind = [min(b, n) for b, n in zip(stop, grid.shape, strict=True)]
    if any(a >= b for a, b in zip(first, behind, strict=True)):
        # Messages use the order i, j, k, as viewers do.
        given = ",".join(f"{a}:{b}" for a, b in zip(reversed(start), reversed(stop), strict=True))
        there = " x ".join(str(length) for length in reversed(grid.shape))
        raise ConfigError(
            f"The region {given} (i, j, k) has no voxel of the volume, "
            f"which has {there} voxels; choose one inside it."
        )
    stages = np.zeros(grid.lattice_shape, dtype=np.uint8)
    bounds = zip(first, behind, grid.patch_size, strict=True)
    stages[tuple(slice(a // p, -(-b // p)) for a, b, p in bounds)] = FIRST_STAGE
    return Mask(stages)


def roi_mask_from_ras_box(grid: SuperpatchGrid, corners: np.ndarray, ijk_to_ras: np.ndarray) -> Mask:
    """Hide every patch with a voxel centre inside a box of any orientation.

    Args:
        grid: the volume's grid.
        corners: (8, 3) RAS in mm; corner n lies at the far end of edge 0, 1, 2 where bit 0, 1, 2 of n is set.
        ijk_to_ras: the volume's (4, 4) matrix.

    Raises:
        ConfigError: the corners are no box, or the box contains no voxel centre.
    """
    ijk_to_box = _ras_to_box(np.asarray(corners, dtype=np.float64)) @ np.asarray(ijk_to_ras, dtype=np.float64)
    stages = np.zeros(grid.lattice_shape, dtype=np.uint8)
    k, j, i = np.ogrid[: grid.shape[0], : grid.shape[1], : grid.shape[2]]
    for row in range(grid.lattice_shape[0]):  # one row of patches at a time bounds the memory
        depth = k[row * grid.patch_size[0] : (row + 1) * grid.patch_size[0]]
        inside = np.ones((len(depth), *grid.shape[1:]), dtype=bool)
        for per_i, per_j, per_k, offset in ijk_to_box[:3]:
            place = per_i * i + per_j * j + (per_k * depth + offset)
            inside &= (place >= -1e-9) & (place <= 1.0 + 1e-9)
        flat = np.asarray(inside.any(axis=0, keepdims=True))
        stages[row] = np.where(_per_patch_sum(flat, grid)[0] > 0, FIRST_STAGE, 0)
    return _not_empty(stages, "The box contains no voxel of the volume; move it or make it larger.")


def roi_mask_from_label(grid: SuperpatchGrid, label: np.ndarray, share: float = 0.0) -> Mask:
    """Hide every patch that a label covers.

    Args:
        grid: the volume's grid.
        label: (k, j, i) on the volume's grid; nonzero voxels count.
        share: minimum labelled share of a hidden patch; 0 hides every patch that the label touches.

    Raises:
        ConfigError: the label has another shape, the share is outside [0, 1], or no patch would be hidden.

    >>> grid = SuperpatchGrid((32, 32, 32), superpatch_size=32, patch_size=8)
    >>> label = np.zeros(grid.shape, np.uint8)
    >>> label[10, 10:18, 10] = 1
    >>> int(roi_mask_from_label(grid, label).hidden.sum())
    2
    """
    if label.shape != grid.shape:
        raise ConfigError(
            f"The label has {label.shape} voxels but the volume {grid.shape}; use a label on the same grid."
        )
    if not 0.0 <= share <= 1.0:
        raise ConfigError(
            f"The share of a patch that the label covers must lie between 0 and 1, but it is {share:g}."
        )
    labelled = _per_patch_sum(label != 0, grid)
    k, j, i = (
        np.minimum(p, n - np.arange(0, n, p)) for p, n in zip(grid.patch_size, grid.shape, strict=True)
    )
    needed = np.maximum(1.0, share * (k[:, None, None] * j[None, :, None] * i[None, None, :]))
    stages = np.where(labelled >= needed, FIRST_STAGE, 0).astype(np.uint8)
    return _not_empty(stages, "The label covers no patch; choose a larger label or a smaller share.")


def _ras_to_box(corners: np.ndarray) -> np.ndarray:
    """(4, 4) matrix from RAS to box coordinates, 0 to 1 along each edge."""
    if corners.shape != (8, 3):
        raise ConfigError(
            f"A box in RAS needs 8 corners of 3 coordinates, but got an array of shape {corners.shape}."
        )
    box_to_ras = np.eye(4)
    box_to_ras[:3, :3] = (corners[[1, 2, 4]] - corners[0]).T
    box_to_ras[:3, 3] = corners[0]
    places = np.array([[n & 1, n >> 1 & 1, n >> 2 & 1, 1] for n in range(8)], dtype=np.float64)
    edges = np.linalg.norm(box_to_ras[:3, :3], axis=0)
    flat = edges.min() == 0 or abs(np.linalg.det(box_to_ras[:3, :3] / edges)) < 1e-6
    if flat or not np.allclose((places @ box_to_ras.T)[:, :3], corners, atol=1e-4 * edges.max()):
        raise ConfigError(
            "The 8 corners do not form a box, or not in the order where bit n of an index stands for edge n."
        )
    return np.linalg.inv(box_to_ras)


def _per_patch_sum(marked: np.ndarray, grid: SuperpatchGrid) -> np.ndarray:
    """Marked voxels per patch; an axis of length 1 keeps its length."""
    total = marked
    for axis in (2, 1, 0):
        starts = np.arange(0, total.shape[axis], grid.patch_size[axis])
        total = np.add.reduceat(total, starts, axis=axis, dtype=np.int64)
    return total


def _not_empty(stages: np.ndarray, message: str) -> Mask:
    if not stages.any():
        raise ConfigError(message)
    return Mask(stages)
