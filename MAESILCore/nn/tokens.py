"""Conversion of superpatches to patches in row-major (k, j, i) order."""

from __future__ import annotations

from dataclasses import dataclass

import torch


def lattice_of(superpatches: torch.Tensor, patch_size: tuple[int, int, int]) -> tuple[int, int, int]:
    """Patches of (B, 1, K, J, I) along k, j, i."""
    k, j, i = (size // patch for size, patch in zip(superpatches.shape[2:], patch_size, strict=True))
    return k, j, i


def patchify(superpatches: torch.Tensor, patch_size: tuple[int, int, int]) -> torch.Tensor:
    """(B, 1, K, J, I) -> (B, N, p^3), patches and the voxels inside a patch in row-major order."""
    batch, _, *shape = superpatches.shape
    (pk, pj, pi), (k, j, i) = (
        patch_size,
        (size // patch for size, patch in zip(shape, patch_size, strict=True)),
    )
    cubes = superpatches.reshape(batch, k, pk, j, pj, i, pi).permute(0, 1, 3, 5, 2, 4, 6)
    return cubes.reshape(batch, k * j * i, pk * pj * pi)


def unpatchify(
    tokens: torch.Tensor, lattice_shape: tuple[int, int, int], patch_size: tuple[int, int, int]
) -> torch.Tensor:
    """(B, N, p^3) -> (B, 1, K, J, I), the inverse of `patchify`."""
    (pk, pj, pi), (k, j, i) = patch_size, lattice_shape
    cubes = tokens.reshape(-1, k, j, i, pk, pj, pi).permute(0, 1, 4, 2, 5, 3, 6)
    return cubes.reshape(-1, 1, k * pk, j * pj, i * pi)


def expand_patches(lattice: torch.Tensor, patch_size: tuple[int, int, int]) -> torch.Tensor:
    """(B, C, Dk, Dj, Di) -> (B, C, K, J, I): repeat the value of each patch on its voxels."""
    for axis, patch in enumerate(patch_size):
        lattice = lattice.repeat_interleave(patch, dim=2 + axis)
    return lattice


@dataclass(frozen=True)
class TokenSplit:
    """The visible tokens of each sample, as rectangular index tensors.

    Attributes:
        visible: (B, V) ascending indices of the visible tokens; V is the largest visible count of the batch.
        valid: (B, V) bool, False where a sample has fewer than V visible tokens; None when all have V.
    """

    visible: torch.Tensor
    valid: torch.Tensor | None

    @classmethod
    def of(cls, hidden: torch.Tensor) -> TokenSplit:
        """Split by a (B, Dk, Dj, Di) bool mask of hidden patches."""
        flat = hidden.flatten(1)
        counts = (~flat).sum(dim=1)
        longest, shortest = int(counts.max()), int(counts.min())
        # A stable sort keeps each group ascending (docs/methods.md, The dual mask).
        order = torch.argsort(flat.to(torch.uint8), dim=1, stable=True)
        valid = None
        if shortest != longest:
            valid = torch.arange(longest, device=flat.device)[None, :] < counts[:, None]
        return cls(order[:, :longest], valid)


def take(tokens: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Pick tokens: (B or 1, N, D) and (B, V) -> (B, V, D)."""
    width = tokens.shape[-1]
    return tokens.expand(indices.shape[0], -1, -1).gather(1, indices[..., None].expand(-1, -1, width))


def put_back(visible: torch.Tensor, split: TokenSplit, elsewhere: torch.Tensor) -> torch.Tensor:
    """Put visible tokens to their places among others.

    Args:
        visible: (B, V, D) tokens of the visible places of `split`.
        split: which places are visible.
        elsewhere: (B, N, D) tokens of all places; those of the hidden ones stay.

    Returns:
        (B, N, D), with the type of `elsewhere`.
    """
    if split.valid is not None:  # padding points at hidden places
        visible = torch.where(split.valid[..., None], visible, take(elsewhere, split.visible))
    return elsewhere.scatter(1, split.visible[..., None].expand_as(visible), visible.to(elsewhere.dtype))
