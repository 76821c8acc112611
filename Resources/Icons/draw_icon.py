"""Draws the extension's icon: a torso in cross-section, cut into patches, some of them hidden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE, SCALE, PATCHES = 128, 8, 8
# Okabe-Ito blue and orange, the colours of the two mask stages.
BLUE, ORANGE = (0, 114, 178), (230, 159, 0)
HIDDEN = {BLUE: [(1, 2), (2, 5), (4, 1), (5, 6), (6, 3)], ORANGE: [(2, 2), (3, 6), (4, 4), (5, 3), (3, 1)]}


def _ellipse(
    row: np.ndarray, column: np.ndarray, *, middle: tuple[float, float], radii: tuple[float, float]
) -> np.ndarray:
    return ((row - middle[0]) / radii[0]) ** 2 + ((column - middle[1]) / radii[1]) ** 2 < 1


def draw() -> Image.Image:
    """Return the icon, 128 x 128 RGBA."""
    axis = (np.arange(SIZE * SCALE) + 0.5) / (SIZE * SCALE)
    row, column = np.meshgrid(axis, axis, indexing="ij")
    picture = np.zeros((*row.shape, 3), np.uint8)
    picture[...] = (24, 28, 36)
    picture[_ellipse(row, column, middle=(0.5, 0.5), radii=(0.36, 0.46))] = (165, 165, 165)
    picture[_ellipse(row, column, middle=(0.48, 0.5), radii=(0.30, 0.40))] = (120, 120, 120)
    for side in (0.31, 0.69):
        picture[_ellipse(row, column, middle=(0.46, side), radii=(0.22, 0.15))] = (38, 40, 46)
    picture[_ellipse(row, column, middle=(0.42, 0.55), radii=(0.13, 0.11))] = (190, 190, 190)
    picture[_ellipse(row, column, middle=(0.70, 0.5), radii=(0.09, 0.075))] = (245, 245, 245)

    patch_row, patch_column = (row * PATCHES).astype(int), (column * PATCHES).astype(int)
    for colour, patches in HIDDEN.items():
        for k, j in patches:
            picture[(patch_row == k) & (patch_column == j)] = colour
    lines = np.minimum((row * PATCHES) % 1, (column * PATCHES) % 1) < 0.05
    picture[lines] = picture[lines] // 2 + 20

    corner = np.maximum(np.abs(row - 0.5), np.abs(column - 0.5)) - 0.38
    inside = (
        np.hypot(np.maximum(np.abs(row - 0.5) - 0.38, 0), np.maximum(np.abs(column - 0.5) - 0.38, 0)) < 0.12
    )
    alpha = np.where((corner < 0) | inside, 255, 0).astype(np.uint8)
    return Image.fromarray(np.dstack([picture, alpha])).resize((SIZE, SIZE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    draw().save(Path(__file__).with_name("MAESIL.png"))
