"""Draws headline, legends and scores around the slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from MAESILCore.data.volume import Volume
from MAESILCore.inference import Reconstruction
from MAESILCore.lattice import FIRST_STAGE, SECOND_STAGE
from MAESILCore.report.shading import colour_map, hide
from MAESILCore.report.style import ACCENT, CARD, INK, MUTED, Rectangle, Sheet
from MAESILCore.report.summary import (
    DISCLAIMER,
    Scores,
    facts,
    hidden_error,
    score_tiles,
    scored_words,
    unit_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TILES = 4


def draw_header(figure: Figure, sheet: Sheet, title: str, model: str | None) -> None:
    """Draw the headline at the left and the model at the right."""
    left, bottom, width, height = sheet.header()
    middle = bottom + 0.42 * height
    shortened = title if len(title) <= 60 else f"{title[:57]}..."
    figure.text(left, middle, shortened, color=INK, fontsize=19, fontweight="bold", va="center")
    made_by = f"reconstructed by {model}" if model else "masked reconstruction"
    figure.text(
        left + width, middle, f"MAESIL · {made_by}", color=MUTED, fontsize=12.5, va="center", ha="right"
    )


def _inner(figure: Figure, rectangle: Rectangle, box: Rectangle) -> Axes:
    """Axes in a part of a rectangle; `box` is in shares of it."""
    left, bottom, width, height = rectangle
    axes = figure.add_axes((left + box[0] * width, bottom + box[1] * height, box[2] * width, box[3] * height))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes


def draw_colour_bar(
    figure: Figure, rectangle: Rectangle, stops: tuple[str, ...], ticks: tuple[float, ...], caption: str
) -> None:
    """Draw a bar of colours with numbers and a caption below."""
    axes = _inner(figure, rectangle, (0.08, 0.70, 0.84, 0.15))
    ramp = np.linspace(0, 1, 256)[None]
    axes.imshow(ramp, aspect="auto", cmap=colour_map("legend", stops), extent=(0, 1, 0, 1))
    low, high = ticks[0], ticks[-1]
    for tick in ticks:
        place = (tick - low) / (high - low)
        text = f"{tick:+.0f}" if low < 0 < high and low == -high and tick else f"{tick:.0f}"
        align = "left" if place == 0 else "right" if place == 1 else "center"
        axes.text(
            place, -0.45, text.replace("-", "\N{MINUS SIGN}"), color=INK, fontsize=10.5, ha=align, va="top"
        )
    text = caption.replace(" - ", " \N{MINUS SIGN} ")
    axes.text(0.5, -2.0, text, color=MUTED, fontsize=10.5, ha="center", va="top")


def draw_mask_key(figure: Figure, rectangle: Rectangle, result: Reconstruction) -> None:
    """Draw swatches of the stages that occur."""
    stages = [stage for stage in (FIRST_STAGE, SECOND_STAGE) if (result.mask.stages == stage).any()]
    names = {FIRST_STAGE: "hidden, stage 1", SECOND_STAGE: "hidden, stage 2"}
    if len(stages) == 1:
        names = dict.fromkeys(names, "hidden")
    for row, stage in enumerate(stages):
        bottom = 0.60 - 0.34 * row
        swatch = hide(np.zeros((6, 10)), np.full((6, 10), stage, dtype=np.uint8), 8, 6)
        axes = _inner(figure, rectangle, (0.2, bottom, 0.12, 0.26))
        axes.imshow(swatch, aspect="auto")
        axes.text(1.2, 0.5, names[stage], transform=axes.transAxes, color=INK, fontsize=10.5, va="center")


def draw_footer(
    figure: Figure, sheet: Sheet, result: Reconstruction, original: Volume, scores: Scores | None
) -> None:
    """Draw tiles of scores with the best control, the scan's facts and the disclaimer."""
    rectangle = sheet.footer()
    texts = score_tiles(scores or {}) or _texts_without_scores(result, unit_of(original))
    for place, words in enumerate(texts):
        _tile(figure, rectangle, place, words)
    left, bottom, width, height = rectangle
    known = dict(facts(result, original))
    grid = f"{known['Voxels']} voxels of {known['Voxel size']}  ·  superpatches: {known['Superpatches']}"
    mask = known["Mask"]
    scored = scored_words(result, scores) if scores else ""
    upper, lower = bottom + 0.235 * height, bottom + 0.105 * height
    figure.text(left, upper, grid, color=MUTED, fontsize=10.5, va="center")
    figure.text(left + width, upper, scored, color=ACCENT, fontsize=10.5, va="center", ha="right")
    figure.text(left, lower, mask[:1].upper() + mask[1:], color=MUTED, fontsize=10.5, va="center")
    figure.text(left + width, lower, DISCLAIMER, color=ACCENT, fontsize=10.5, va="center", ha="right")


def _texts_without_scores(result: Reconstruction, unit: str) -> list[tuple[str, str, str]]:
    several = len(result.masks)
    if result.sees_all:
        return [("Mean error, all voxels", f"{hidden_error(result):.1f} {unit}", "distance from the scan")]
    return [
        ("Mean error, hidden voxels", f"{hidden_error(result):.1f} {unit}", "distance from the scan"),
        ("Hidden patches", f"{100 * result.mask.hidden_fraction:.1f} %", "of all patches, in each mask"),
        ("Masks", str(several), "every patch hidden at least once" if several > 1 else "a single mask"),
    ]


def _tile(figure: Figure, rectangle: Rectangle, place: int, words: tuple[str, str, str]) -> None:
    from matplotlib.patches import FancyBboxPatch

    share = 1 / _TILES
    axes = _inner(figure, rectangle, (place * share + 0.004 * place, 0.36, share - 0.012, 0.60))
    axes.set(xlim=(0, 1), ylim=(0, 1), facecolor="none")
    card = FancyBboxPatch(
        (0.012, 0.03), 0.976, 0.94, boxstyle="round,pad=0,rounding_size=0.04", mutation_aspect=2.6, color=CARD
    )
    axes.add_patch(card)
    caption, value, against = words
    axes.text(0.05, 0.80, caption, color=MUTED, fontsize=11, va="center")
    axes.text(0.05, 0.49, value, color=INK, fontsize=20, fontweight="bold", va="center")
    axes.text(0.05, 0.19, against, color=MUTED, fontsize=10, va="center")
