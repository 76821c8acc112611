"""The mask modes: pure functions on arrays, with the same result on every machine for one seed.

`kept`, (D, H, W) integers, counts how often each patch was visible in earlier masks of the same coverage (zeros for a
single mask). The patches, planes or columns with the lowest counts are kept first. Raw 64-bit draws break ties, as
numpy's distributions may change between versions. The result is the stages, (D, H, W) uint8.
"""

from __future__ import annotations

import numpy as np

from MAESILCore.lattice.mask import FIRST_STAGE, SECOND_STAGE, VISIBLE


def source_of(seed: int, *path: int) -> np.random.PCG64:
    """Random bits for a seed and a path of indices below it."""
    return np.random.PCG64(np.random.SeedSequence(seed, spawn_key=path))


def visible_count(total: int, ratio: float) -> int:
    """The number of visible patches: the rounded share, at least one, and fewer than `total` if that is two or more."""
    return min(kept_count(total, ratio), max(1, total - 1))


def kept_count(total: int, ratio: float) -> int:
    """The rounded kept share of `total`, at least one (docs/methods.md, The dual mask)."""
    return max(1, round(total * (1.0 - ratio)))


def least_kept(load: np.ndarray, source: np.random.PCG64, count: int) -> np.ndarray:
    """Indices of the `count` lowest loads along the last axis, with random ties."""
    keys = source.random_raw(load.size).reshape(load.shape)
    return np.asarray(np.lexsort((keys, load), axis=-1)[..., :count])


def draw_random(
    kept: np.ndarray, source: np.random.PCG64, ratio: float, stage: int = FIRST_STAGE
) -> np.ndarray:
    """Hide single patches."""
    stages = np.full(kept.size, stage, dtype=np.uint8)
    stages[least_kept(kept.ravel(), source, visible_count(kept.size, ratio))] = VISIBLE
    return stages.reshape(kept.shape)


def draw_block(kept: np.ndarray, source: np.random.PCG64, ratio: float, size: int) -> np.ndarray:
    """Hide cubes of `size` patches, clipped at the lattice border; one is trimmed for an exact count."""
    axes = [np.arange(n) // size for n in kept.shape]
    tiles = tuple(int(axis[-1]) + 1 for axis in axes)
    block_of = np.ravel_multi_index(np.meshgrid(*axes, indexing="ij"), tiles).ravel()
    load = np.bincount(block_of, weights=kept.ravel()) / np.bincount(block_of)
    rank = np.empty(len(load), dtype=np.int64)
    rank[least_kept(load, source, len(load))] = np.arange(len(load))
    order = np.lexsort((kept.ravel(), rank[block_of]))
    stages = np.full(kept.size, FIRST_STAGE, dtype=np.uint8)
    stages[order[: visible_count(kept.size, ratio)]] = VISIBLE
    return stages.reshape(kept.shape)


def draw_plane(kept: np.ndarray, source: np.random.PCG64, ratio: float) -> np.ndarray:
    """Hide whole planes; single patches if there is only one plane."""
    depth = len(kept)
    if depth == 1:
        return draw_random(kept, source, ratio)
    stages = np.full(kept.shape, FIRST_STAGE, dtype=np.uint8)
    stages[least_kept(kept.sum(axis=(1, 2)), source, visible_count(depth, ratio))] = VISIBLE
    return stages


def draw_axis(kept: np.ndarray, source: np.random.PCG64, ratio: float) -> np.ndarray:
    """Hide whole columns through all planes; single patches if there is only one column."""
    positions = kept[0].size
    if positions == 1:
        return draw_random(kept, source, ratio)
    stages = np.full((len(kept), positions), FIRST_STAGE, dtype=np.uint8)
    stages[:, least_kept(kept.sum(axis=0).ravel(), source, visible_count(positions, ratio))] = VISIBLE
    return stages.reshape(kept.shape)


def draw_nested(
    kept: np.ndarray, source: np.random.PCG64, plane_ratio: float, axis_ratio: float
) -> np.ndarray:
    """Hide by a plane stage common to all planes, then an axis stage per plane (R1 in docs/methods.md, The dual mask).

    Each plane keeps the same number of patches. A lattice of one column hides single patches at the combined ratio.
    """
    depth, positions = len(kept), kept[0].size
    if positions == 1:
        ratio = 1.0 - (1.0 - plane_ratio) * (1.0 - axis_ratio)
        return draw_random(kept, source, ratio, stage=SECOND_STAGE)
    flat = kept.reshape(depth, positions)
    plane_count = kept_count(positions, plane_ratio)
    axis_count = min(kept_count(plane_count, axis_ratio), positions - 1)
    survivors = np.sort(least_kept(flat.sum(axis=0), source, plane_count))
    stages = np.full((depth, positions), FIRST_STAGE, dtype=np.uint8)
    stages[:, survivors] = SECOND_STAGE
    drawn = survivors[least_kept(flat[:, survivors], source, axis_count)]
    np.put_along_axis(stages, drawn, VISIBLE, axis=1)
    return stages.reshape(kept.shape)


def draw_product(
    kept: np.ndarray, source: np.random.PCG64, plane_ratio: float, axis_ratio: float
) -> np.ndarray:
    """Hide whole planes and whole columns, drawn independently (R2 in docs/methods.md, The dual mask)."""
    depth, positions = len(kept), kept[0].size
    plane_count, column_count = kept_count(depth, plane_ratio), kept_count(positions, axis_ratio)
    if plane_count == depth and column_count == positions:
        column_count = max(1, positions - 1)
        plane_count = max(1, depth - 1) if positions == 1 else depth
    flat = kept.reshape(depth, positions)
    planes = least_kept(flat.sum(axis=1), source, plane_count)
    columns = least_kept(flat.sum(axis=0), source, column_count)
    stages = np.full((depth, positions), FIRST_STAGE, dtype=np.uint8)
    stages[planes] = SECOND_STAGE
    stages[np.ix_(planes, columns)] = VISIBLE
    return stages.reshape(kept.shape)
