"""Scores of each superpatch of a reconstruction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from MAESILCore.inference import Reconstruction


def superpatch_scores(result: Reconstruction) -> list[dict[str, Any]]:
    """Score the hidden voxels of each superpatch of the overlap-free partition.

    For a coverage all voxels count as hidden. Superpatches without hidden voxels are left out.

    Returns:
        For each: `index` in the partition, its position `i`, `j`, `k` there from 0, `center_ijk` in voxels,
        `hidden_voxels`, `psnr_hidden` in the model's window, and `mae_hu`, the mean absolute error in HU of volumes
        clipped to the window. If the model sees all voxels, `psnr_full` and `mae_hu` are over all of them, and
        `psnr_hidden` is None.
    """
    from MAESILCore.scoring.metrics.similarity import psnr_of

    grid, window = result.grid, result.window
    scores: list[dict[str, Any]] = []
    for index in range(len(grid)):
        box = grid.box(index)
        voxels = box.voxel_slices(grid.patch_size, grid.shape)
        original = window.apply(result.volume.voxels[voxels])
        error = window.apply(result.reconstruction.voxels[voxels]) - original
        if not (result.is_coverage or result.sees_all):
            error = error[grid.expand(result.mask.hidden[box.slices], box)]
        if not error.size:
            continue
        psnr = psnr_of(float(np.mean(error**2, dtype=np.float64)))
        k, j, i = (int(place) for place in np.unravel_index(index, grid.counts))
        scores.append(
            {
                "index": index,
                "i": i,
                "j": j,
                "k": k,
                "center_ijk": [(part.start + part.stop - 1) / 2 for part in reversed(voxels)],
                "hidden_voxels": 0 if result.sees_all else int(error.size),
                "psnr_hidden": None if result.sees_all else psnr,
                **({"psnr_full": psnr} if result.sees_all else {}),
                "mae_hu": float(np.mean(np.abs(error), dtype=np.float64)) * window.width,
            }
        )
    return scores
