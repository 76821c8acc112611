"""The two terms that pull encodings and codes towards each other (van den Oord et al. 2017, equation 3)."""

from __future__ import annotations

import torch


def commitment(encoded: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """|| z_e - sg[e] ||^2: pulls encodings towards their codes; sg stops the gradient.

    Both terms are means over sites and channels, as the error of the voxels is a mean over voxels; the paper writes
    sums over channels.

    Args:
        encoded: (S, d) encodings z_e.
        codes: (S, d), the code e of each.

    Returns:
        Scalar.
    """
    return (encoded - codes.detach()).square().mean()


def codebook_error(encoded: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """|| sg[z_e] - e ||^2: pulls codes towards their encodings; see `commitment`."""
    return (encoded.detach() - codes).square().mean()
