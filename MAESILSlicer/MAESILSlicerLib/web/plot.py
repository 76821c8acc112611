"""Small plots as SVG in the colours of the page: the superpatches' scores, and a curve of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from MAESILSlicerLib.session.runwords import thinned

_WIDTH, _HEIGHT = 296, 120
_LEFT, _RIGHT, _TOP, _BOTTOM = 30, 6, 8, 20
#: A curve has wider labels, such as 0.0005.
_CURVE_LEFT = 42


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


def line(points: Sequence[tuple[int, float]], title: str, isLogarithmic: bool) -> str:
    """A curve over the steps as SVG; "" without a point.

    Args:
        points: step and finite value, in the order of the steps.
        title: name of the curve.
        isLogarithmic: whether the axis of the values is logarithmic; then all values must be above zero.
    """
    if not points:
        return ""
    scale: Callable[[float], float] = math.log10 if isLogarithmic else float
    shown = [(step, scale(value)) for step, value in thinned(points, _WIDTH)]
    values = [value for _, value in shown]
    (first, last), low, high = (shown[0][0], shown[-1][0]), min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5

    def place(step: int, value: float) -> str:
        x = _CURVE_LEFT + (_WIDTH - _CURVE_LEFT - _RIGHT) * (step - first) / max(last - first, 1)
        y = _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)
        return f"{x:.1f},{y:.1f}"

    parts, ticks = [], (low, (low + high) / 2, high)
    labels = _distinct([10**tick if isLogarithmic else tick for tick in ticks])
    for tick, label in zip(ticks, labels, strict=True):
        y = place(first, tick).partition(",")[2]
        parts.append(
            f'<line class="grid" x1="{_CURVE_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
            f'<text x="{_CURVE_LEFT - 5}" y="{float(y) + 3:.1f}" text-anchor="end">{label}</text>'
        )
    parts.append(f'<polyline class="curve" points="{" ".join(place(*point) for point in shown)}"/>')
    if len(shown) == 1:
        x, _, y = place(*shown[0]).partition(",")
        parts.append(f'<circle class="point" cx="{x}" cy="{y}" r="3"/>')
    parts.append(
        f'<text x="{_CURVE_LEFT}" y="{_HEIGHT - 5}">Step {first:,}</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 5}" text-anchor="end">{last:,}</text>'
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)} by step">'
        f"{''.join(parts)}</svg>"
    )


def _distinct(values: Sequence[float]) -> list[str]:
    """Numbers with as few digits as tell them apart, three at least and six at most."""
    labels = [[f"{value:.{digits}g}" for value in values] for digits in range(3, 7)]
    return next((found for found in labels if len(set(found)) == len(values)), labels[-1])


def _roundRange(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower and upper end of the axis and its step, as round numbers."""
    spread = max(values) - min(values)
    step = next((step for step in (1, 2, 5, 10, 20) if spread / step <= 4), 50)
    low, high = step * (min(values) // step), step * -(-max(values) // step)
    return low, max(high, low + step), step
