"""A fast smooth fill of hidden patches, without learning."""

from __future__ import annotations

import hashlib
from contextvars import ContextVar, Token

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
        visible, cache = volume.float() * known, _in_use.get()
        if not hidden.any():
            return visible.clamp_(0.0, 1.0)
        if cache is None:
            return _solve(visible, known)
        return cache.solution(visible, known)


def _solve(visible: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    return multigrid.solve(visible, known).clamp_(0.0, 1.0)


class FillCache:
    """Keeps the fills that `smooth_fill` solves during `with` blocks, and returns them for the same volume and mask.

    They stay on the CPU and take as much memory as the volumes.
    """

    def __init__(self) -> None:
        self._fills: dict[bytes, torch.Tensor] = {}
        self._tokens: list[Token[FillCache | None]] = []

    def __enter__(self) -> FillCache:
        self._tokens.append(_in_use.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        _in_use.reset(self._tokens.pop())

    def solution(self, visible: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """The fill of visible voxels (B, 1, K, J, I), 0 where `known` is 0."""
        digest = hashlib.sha256(repr((visible.shape, visible.device.type)).encode("ascii"))
        for tensor in (visible, known.bool()):
            digest.update(tensor.contiguous().cpu().numpy().data)
        key = digest.digest()
        if key not in self._fills:
            self._fills[key] = _solve(visible, known).cpu()
        # A copy, as a caller may write into it.
        return self._fills[key].to(visible.device, copy=True)


_in_use: ContextVar[FillCache | None] = ContextVar("fills", default=None)
