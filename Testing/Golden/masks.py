"""Hashes of masks, which are the same on every machine; `python -m Testing.Golden.masks` writes `masks.json` anew.

Existing scenes, run folders and papers name a mask by its mode, ratios and seed, so these hashes must never change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from MAESILCore import Mask, MaskStrategy, SuperpatchGrid, roi_mask_from_box, roi_mask_from_label

FILE = Path(__file__).with_name("masks.json")

SEEDS = (0, 1, 123456789)
LATTICES = ((1, 1, 1), (3, 5, 7), (8, 8, 8), (16, 12, 1))
RATIOS = (0.25, 0.6, 0.75, 0.9)
PAIRS = ((0.5, 0.5), (0.3, 0.7), (0.0, 0.6), (0.8, 0.25))
BLOCKS = (1, 2, 3)
#: Volume (k, j, i), superpatch, patch, overlap: with superpatches cut short, of one patch, and overlapping.
GRIDS = (
    ((40, 70, 50), (32, 32, 32), (8, 8, 8), 0),
    ((33, 64, 65), (16, 32, 32), (8, 8, 8), 8),
    ((17, 9, 30), (8, 8, 8), (8, 4, 2), 0),
)
BOXES = (((0, 0, 0), (8, 8, 8)), ((3, 5, 7), (30, 9, 29)), ((-4, 2, 16), (5, 500, 17)))


def strategies() -> Iterator[MaskStrategy]:
    """Every mode with several ratios and sizes, and every plane axis."""
    for mode in ("random", "plane", "axis"):
        yield from (MaskStrategy(mode, ratio=ratio) for ratio in RATIOS)
    yield from (MaskStrategy("block", ratio=ratio, block_size=size) for ratio in RATIOS for size in BLOCKS)
    for mode in ("nested", "product"):
        yield from (MaskStrategy(mode, plane_ratio=plane, axis_ratio=axis) for plane, axis in PAIRS)
    for mode in ("nested", "product", "plane", "axis"):
        yield from (MaskStrategy(mode, plane_axis=axis) for axis in ("j", "i"))


def mask_hashes() -> dict[str, dict[str, str]]:
    """Strategy, or "regions" -> seed and place of each mask -> SHA-256 of its hidden patches and its stages."""
    hashes: dict[str, dict[str, str]] = {}
    for strategy, name, mask in (*_drawn(), *_regions()):
        hashes.setdefault(strategy, {})[name] = hash_of_mask(mask)
    return hashes


def hash_of_mask(mask: Mask) -> str:
    """SHA-256 of shape, hidden patches (bool) and stages (uint8), row-major."""
    content = str(tuple(mask.shape)).encode() + mask.hidden.tobytes() + mask.stages.tobytes()
    return hashlib.sha256(content).hexdigest()


def _drawn() -> Iterator[tuple[str, str, Mask]]:
    grids = [SuperpatchGrid(*sizes) for sizes in GRIDS]
    for strategy in strategies():
        options = ", ".join(
            f"{name} {value}" for name, value in strategy.options.items() if name != "plane_axis"
        )
        options += f", planes along {strategy.plane_axis}"
        for seed in SEEDS:
            for lattice in LATTICES:
                yield options, f"seed {seed}, lattice {lattice}", strategy.sample(lattice, seed)
            for number, grid in enumerate(grids):
                yield options, f"seed {seed}, grid {number}", strategy.sample_grid(grid, seed)
        for n, mask in enumerate(strategy.coverage(grids[1], 3, 4)):
            yield options, f"seed 4, grid 1, coverage of 3, mask {n}", mask


def _regions() -> Iterator[tuple[str, str, Mask]]:
    for number, grid in enumerate(SuperpatchGrid(*sizes) for sizes in GRIDS):
        for start, stop in BOXES:
            yield "regions", f"grid {number}, box {start} to {stop}", roi_mask_from_box(grid, start, stop)
        for share in (0.0, 0.3, 0.75):
            mask = roi_mask_from_label(grid, ball(grid.shape), share)
            yield "regions", f"grid {number}, ball, share {share}", mask


def ball(shape: tuple[int, int, int]) -> np.ndarray:
    """A label (k, j, i), bool, of the largest ellipsoid in a volume; whole numbers alone decide what lies inside."""
    k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
    # (2 k + 1 - Nk)^2 / Nk^2 + ... <= 1, multiplied by all denominators.
    squares = [(2 * index + 1 - length) ** 2 for index, length in zip((k, j, i), shape, strict=True)]
    nk, nj, ni = (length**2 for length in shape)
    return np.asarray(squares[0] * nj * ni + squares[1] * nk * ni + squares[2] * nk * nj <= nk * nj * ni)


def main() -> None:
    """Write `masks.json`."""
    FILE.write_text(json.dumps(mask_hashes(), indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
