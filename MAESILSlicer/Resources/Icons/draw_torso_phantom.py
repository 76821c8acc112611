"""Draws the picture of the sample for Slicer's module Sample Data: the phantom from the front, some patches hidden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from MAESILCore.data.window import Window
from MAESILCore.lattice import VISIBLE
from MAESILCore.phantom import make_phantom
from MAESILCore.report.shading import hide

COLUMNS, ROWS, SCALE, PATCH = 130, 140, 2, 13
MILLIMETRES = 3.1
WINDOW = Window(-1000.0, 400.0)


def draw() -> Image.Image:
    """Return the picture, 260 x 280 RGB."""
    scan = make_phantom((ROWS, 8, COLUMNS), spacing=(MILLIMETRES, 4.0, MILLIMETRES)).volume
    # Reversed, so that the head is at the top.
    grey = WINDOW.apply(scan.voxels[::-1, 4])
    patches = (-(-ROWS // PATCH), -(-COLUMNS // PATCH))
    stages = np.random.default_rng(5).choice(np.arange(3, dtype=np.uint8), size=patches, p=(0.5, 0.25, 0.25))
    # One half stays visible.
    stages[:, : patches[1] // 2] = VISIBLE
    stages = np.kron(stages, np.ones((PATCH, PATCH), dtype=np.uint8))[:ROWS, :COLUMNS]
    picture = hide(grey, stages, PATCH, SCALE)
    return Image.fromarray(np.rint(255 * picture).astype(np.uint8))


if __name__ == "__main__":
    draw().save(Path(__file__).with_name("TorsoPhantom.png"), optimize=True)
