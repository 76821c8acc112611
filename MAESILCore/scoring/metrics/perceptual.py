"""LPIPS, if package and weights are on this machine."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

_BACKBONE_FILE = "alexnet-owt-7be5be79.pth"
_BATCH = 8


def lpips_obstacle() -> str | None:
    """Why LPIPS cannot be computed on this machine, or None. Nothing is downloaded."""
    if find_spec("lpips") is None:
        return "LPIPS is not available: the package lpips is not installed on this machine."
    import torch

    weights = Path(torch.hub.get_dir()) / "checkpoints" / _BACKBONE_FILE
    if not weights.is_file():
        return (
            f"LPIPS is not available: its AlexNet weights ({_BACKBONE_FILE}) are not in PyTorch's hub folder."
        )
    return None


def perceptual_distance(original: np.ndarray, image: np.ndarray) -> float | None:
    """LPIPS (Zhang et al. 2018, arXiv:1801.03924) with AlexNet: slice by slice, 3 equal channels, in [-1, 1].

    Args:
        original: (k, j, i) in [0, 1]; sliced along k.
        image: (k, j, i) in [0, 1].

    Returns:
        The mean over the slices, 0 for equal images; None if `lpips_obstacle` returns a reason.
    """
    if lpips_obstacle() is not None:
        return None
    import torch

    distance = import_module("lpips").LPIPS(net="alex", verbose=False).eval()
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(original), _BATCH):
            x, y = (_as_pictures(volume[start : start + _BATCH]) for volume in (original, image))
            total += float(distance(torch.from_numpy(x), torch.from_numpy(y)).sum())
    return total / len(original)


def _as_pictures(slices: np.ndarray) -> np.ndarray:
    """(N, j, i) in [0, 1] -> (N, 3, j, i) float32 in [-1, 1]."""
    return np.repeat(2.0 * slices[:, None].astype(np.float32) - 1.0, 3, axis=1)
