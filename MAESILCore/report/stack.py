"""The axial slices of a page: small grey pictures, and the mask for the browser to draw."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window
from MAESILCore.inference import Reconstruction
from MAESILCore.optional import require
from MAESILCore.report.planes import Cut, DisplayFrame, cuts_to_show, display_frame
from MAESILCore.report.shading import ERROR_STOPS, STAGE_COLOURS, UNCERTAINTY_STOPS, nice_limit

#: Limits that keep the page small enough for mail.
_MOST_SLICES = 160
_MOST_CHARACTERS = 9_500_000
#: Longest side in pixels and JPEG quality; the first pair within the limit is used.
_CODINGS = ((320, 82), (288, 76), (256, 70), (224, 60), (160, 50), (96, 40))
_SAMPLES = 5


def slice_stack(result: Reconstruction, original: Volume, window: Window) -> dict[str, Any]:
    """The data of the page's viewer, ready for JSON.

    Args:
        result: the result of `reconstruct`.
        original: the scan.
        window: window of the grey values.

    Raises:
        MissingPackageError: Pillow is not installed.
    """
    require("PIL", "The page of a reconstruction")
    frame = display_frame(original)
    shown = frame.turn(original.voxels)
    stages = frame.turn(result.grid.expand(result.mask.stages))
    axial, coronal, _ = cuts_to_show(shown, frame.spacing, original.looks_like_hu, stages)
    step = -(-(coronal.rows.stop - coronal.rows.start) // _MOST_SLICES)
    slices = list(range(coronal.rows.start, coronal.rows.stop, step))
    panels = _panels(result, original, window)
    encoder = _encoder(panels, frame, axial, slices)
    height, width = encoder.size
    return {
        "panels": [panel.described() | {"pictures": encoder.encode(panel, slices)} for panel in panels],
        "width": width,
        "height": height,
        "widthMm": axial.size[1],
        "heightMm": axial.size[0],
        "positions": _positions(original, frame, slices),
        "start": int(np.argmin([abs(n - axial.index) for n in slices])),
        "stageColours": {str(stage): colour for stage, colour in STAGE_COLOURS.items()},
        **_lattice(result, frame, axial, slices),
    }


@dataclass(frozen=True)
class _Panel:
    """One of the pictures side by side; the browser draws those without a volume from the others."""

    key: str
    title: str
    volume: Volume | None
    window: Window
    stops: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """The panel's data for the browser, without pictures."""
        ends = {"low": self.window.low, "high": self.window.high}
        return {"key": self.key, "title": self.title, "stops": self.stops} | ends


def _panels(result: Reconstruction, original: Volume, window: Window) -> list[_Panel]:
    limit = nice_limit(result.error.voxels)
    panels = [
        _Panel("original", "Original", original, window),
        _Panel("masked", "Input" if result.sees_all else "Masked", None, window),
        _Panel("reconstruction", "Reconstruction", result.reconstruction, window),
        _Panel("error", "Error", result.error, Window(-limit, limit), ERROR_STOPS),
    ]
    if result.uncertainty is not None:
        spread = Window(0, nice_limit(result.uncertainty.voxels))
        panels.append(_Panel("uncertainty", "Uncertainty", result.uncertainty, spread, UNCERTAINTY_STOPS))
    return panels


@dataclass(frozen=True)
class _Encoder:
    """Encodes slices as base64 JPEGs of one size."""

    frame: DisplayFrame
    cut: Cut
    side: int
    quality: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels: square pixels, no finer than the scan, the longer side at most `side`."""
        height, width = self.cut.size
        pixel = max(min(self.cut.pixel), max(height, width) / self.side)
        return max(1, round(height / pixel)), max(1, round(width / pixel))

    def encode(self, panel: _Panel, slices: list[int]) -> list[str]:
        """The encoded slices of a panel; empty if the browser draws it."""
        if panel.volume is None:
            return []
        shown = self.frame.turn(panel.volume.voxels)[:, self.cut.rows, self.cut.columns]
        return [self._encode(panel.window.apply(shown[number])) for number in slices]

    def _encode(self, unit: np.ndarray) -> str:
        from PIL import Image

        height, width = self.size
        picture = Image.fromarray(np.rint(unit * 255).astype(np.uint8))
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=self.quality, optimize=True)
        return base64.b64encode(file.getvalue()).decode("ascii")


def _encoder(panels: list[_Panel], frame: DisplayFrame, cut: Cut, slices: list[int]) -> _Encoder:
    """The finest encoder within the size limit, estimated from a few slices."""
    samples = slices[:: max(1, len(slices) // _SAMPLES)]
    for side, quality in _CODINGS:
        encoder = _Encoder(frame, cut, side, quality)
        characters = sum(len(text) for panel in panels for text in encoder.encode(panel, samples))
        if characters * len(slices) / len(samples) <= _MOST_CHARACTERS:
            break
    return encoder


def _positions(original: Volume, frame: DisplayFrame, slices: list[int]) -> list[float]:
    """The height of each slice's centre, RAS mm."""
    axis = frame.order[0]
    size = original.shape[axis]
    middle = [(n - 1) / 2 for n in original.shape]
    heights = []
    for number in slices:
        middle[axis] = size - 1 - number if frame.flipped[0] else number
        k, j, i = middle
        heights.append(round(float(original.ijk_to_ras[2] @ np.array([i, j, k, 1.0])), 1))
    return heights


def _lattice(result: Reconstruction, frame: DisplayFrame, axial: Cut, slices: list[int]) -> dict[str, Any]:
    """The mask on the patch lattice, and the edges of patches and superpatches as shares of height and width."""
    grid = result.grid
    stages = frame.turn(result.mask.stages)
    patches = []
    for axis, flipped in zip(frame.order, frame.flipped, strict=True):
        voxels = np.arange(grid.shape[axis]) // grid.patch_size[axis]
        patches.append(voxels[-1] - voxels[::-1] if flipped else voxels)
    rows, columns = patches[1][axial.rows], patches[2][axial.columns]
    part = stages[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    def edges(size: tuple[int, int, int], axis: int, span: slice) -> list[float]:
        borders = frame.borders(grid.shape, size, axis, span) / (span.stop - span.start)
        return borders.round(5).tolist()

    return {
        "stages": ["".join(map(str, part[layer].ravel())) for layer in range(part.shape[0])],
        "layers": [int(patches[0][n]) for n in slices],
        "rowEdges": [0.0, *edges(grid.patch_size, 1, axial.rows), 1.0],
        "columnEdges": [0.0, *edges(grid.patch_size, 2, axial.columns), 1.0],
        "superpatchRows": edges(grid.superpatch_size, 1, axial.rows),
        "superpatchColumns": edges(grid.superpatch_size, 2, axial.columns),
    }
