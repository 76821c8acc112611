"""Fixed 3D sine-cosine position codes of tokens."""

from __future__ import annotations

import torch


def sincos_positions(
    lattice_shape: tuple[int, int, int],
    width: int,
    start: torch.Tensor | None = None,
    device: torch.device | None = None,
) -> torch.Tensor:
    """Sine-cosine code of every patch of a lattice, row-major in (k, j, i).

    Each axis takes a third of the width, rounded down to an even number; the rest stays zero (docs/methods.md, What is
    known of MAESIL; the 3D form of Vaswani et al. 2017). Frequencies run from 1 down to 1/1000: a superpatch is 16
    patches wide, so the usual 1/10000 would add nearly constant channels.

    Args:
        lattice_shape: patches along k, j, i.
        width: channels of a token, at least 6.
        start: (B, 3) index of a crop's first patch inside a superpatch; None is 0.
        device: device of the result.

    Returns:
        (B, K*J*I, width) float32, B = 1 without `start`.
    """
    channels = width // 6
    exponents = torch.arange(channels, device=device, dtype=torch.float32) / max(channels - 1, 1)
    frequencies = 1000.0**-exponents  # (C,)
    if start is None:
        start = torch.zeros(1, 3, device=device)
    start = start.to(device=device, dtype=torch.float32)
    axes = []
    for axis, extent in enumerate(lattice_shape):
        index = start[:, axis, None] + torch.arange(extent, device=device, dtype=torch.float32)  # (B, extent)
        angles = index[..., None] * frequencies  # (B, extent, C)
        code = torch.cat([angles.sin(), angles.cos()], dim=-1)  # (B, extent, 2C)
        view = [code.shape[0], 1, 1, 1, 2 * channels]
        view[1 + axis] = extent
        axes.append(code.view(view).expand(-1, *lattice_shape, -1))
    positions = torch.cat(axes, dim=-1).flatten(1, 3)  # (B, N, 6C)
    return torch.nn.functional.pad(positions, (0, width - 6 * channels))
