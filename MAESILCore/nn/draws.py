"""Random numbers that depend on a sample alone: not on its batch, process or device."""

from __future__ import annotations

import math

import torch

_WORD = 0xFFFFFFFF


def draw_words(seeds: torch.Tensor, count: int) -> torch.Tensor:
    """Random 32-bit numbers by sample; those of one sample are all different.

    Args:
        seeds: (B,) int64, one seed per sample, not negative.
        count: numbers per sample.

    Returns:
        (B, count) int64 from 0 to 2^32 - 1.
    """
    places = torch.arange(count, device=seeds.device)
    words = _mixed(places)[None]
    for part in (seeds & _WORD, seeds >> 32):
        words = _mixed(words ^ part[:, None])
    return words


def draw_normals(seeds: torch.Tensor, count: int) -> torch.Tensor:
    """Standard normal numbers by sample, from `draw_words` by the transform of Box and Muller (1958).

    Args:
        seeds: (B,) int64, one seed per sample, not negative.
        count: numbers per sample.

    Returns:
        (B, count) float32, at most 6.8 in size.
    """
    half = (count + 1) // 2
    uniform = (draw_words(seeds, 2 * half).float() + 0.5) / 2.0**32
    radius, angle = (-2.0 * uniform[:, :half].log()).sqrt(), 2.0 * math.pi * uniform[:, half:]
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]


def _mixed(words: torch.Tensor) -> torch.Tensor:
    """A bijection of 32-bit numbers in int64 (C. Wellons, hash-prospector); no product exceeds 63 bits."""
    words = words ^ (words >> 16)
    words = (words * 0x21F0AAAD) & _WORD
    words = words ^ (words >> 15)
    words = (words * 0x735A2D97) & _WORD
    return words ^ (words >> 15)
