"""A small plot of the superpatches' scores, as SVG in the colours of the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT = 296, 120
_LEFT, _RIGHT, _TOP, _BOTTOM = 30, 6, 8, 20


def scatter(points: Sequence[tuple[int, float | None, str]]) -> str:
    """The plot as SVG, with a rounded axis; "" without any score.

    Args:
        points: superpatch, PSNR in dB or None, and place i-j-k.
    """
    scored = [(index, value, place) for index, value, place in points if value is not None]
    if not scored:
        return ""
    low, high, step = _roundRange([value for _, value, _ in scored])
    most = max(index for index, _, _ in points)

    def x(index: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (index + 0.5) / (most + 1)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)

    parts = []
    for tick in range(round((high - low) / step) + 1):
        value = low + tick * step
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
            f'<text x="{_LEFT - 5}" y="{y(value) + 3:.1f}" text-anchor="end">{value:g}</text>'
        )
    parts += [
        f'<circle class="point" data-superpatch="{index}" cx="{x(index):.1f}" cy="{y(value):.1f}" r="3.5">'
        f"<title>{escape(place)}: {value:.2f} dB</title></circle>"
        for index, value, place in scored
    ]
    parts.append(
        f'<text x="{(_LEFT + _WIDTH) / 2:.0f}" y="{_HEIGHT - 5}" text-anchor="middle">Superpatch 0 to {most}</text>'
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="PSNR of hidden voxels in dB by superpatch">'
        f"{''.join(parts)}</svg>"
    )


def _roundRange(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower and upper end of the axis and its step, as round numbers."""
    spread = max(values) - min(values)
    step = next((step for step in (1, 2, 5, 10, 20) if spread / step <= 4), 50)
    low, high = step * (min(values) // step), step * -(-max(values) // step)
    return low, max(high, low + step), step
