"""A fast smooth fill of hidden patches, without learning."""

from __future__ import annotations

import torch

from MAESILCore.nn import multigrid
from MAESILCore.nn.tokens import expand_patches


def smooth_fill(volume: torch.Tensor, hidden: torch.Tensor, patch_size: tuple[int, int, int]) -> torch.Tensor:
    """Fill hidden patches with an approximately biharmonic continuation of the visible ones.

    This fits volumes whose power falls with the fourth power of frequency, as that of CT nearly does.

    Args:
        volume: (B, 1, K, J, I) in [0, 1]; voxels of hidden patches are ignored.
        hidden: (B, Dk, Dj, Di) bool, True where a patch is hidden.
        patch_size: voxels of a patch along k, j, i.

    Returns:
        (B, 1, K, J, I) in [0, 1], float32; visible voxels unchanged. Samples without visible voxels become 0.5.
    """
    with torch.no_grad(), torch.autocast(volume.device.type, enabled=False):
        known = expand_patches((~hidden).unsqueeze(1).float(), patch_size)
        return multigrid.solve(volume.float() * known, known).clamp_(0.0, 1.0)
