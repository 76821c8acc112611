"""Maps numbers to colours: windowed grey values, hidden patches and signed errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window
from MAESILCore.lattice import FIRST_STAGE, SECOND_STAGE

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

#: Colours of the two stages of a mask, safe for colour-blind viewers (Okabe and Ito 2008).
STAGE_COLOURS = {FIRST_STAGE: "#0072B2", SECOND_STAGE: "#E69F00"}
#: Wide enough for lungs, narrow enough for organs.
VIEWING_WINDOW = Window(-1000.0, 500.0)
GREY_STOPS = ("#000000", "#ffffff")
#: Colours from negative to positive errors; dark at 0.
ERROR_STOPS = ("#a9d3ff", "#2f7fd6", "#123a63", "#101418", "#6b1f17", "#e0533a", "#ffc7a8")
UNCERTAINTY_STOPS = ("#101418", "#3b1d5c", "#8a2a6d", "#dd5a4f", "#fbb45c", "#fdf3c8")
#: Least limit of the error colours in HU; below, rounding would be visible.
LEAST_LIMIT_HU = 20.0
_NICE_STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0)
_MOST_SAMPLES = 1_000_000


def viewing_window(volume: Volume) -> Window:
    """The default window of a volume: `VIEWING_WINDOW` for HU, else most of its range."""
    if volume.looks_like_hu:
        return VIEWING_WINDOW
    low, high = (float(value) for value in np.percentile(volume.voxels[::2, ::2, ::2], [1, 99.5]))
    return Window(low, high if high > low else low + 1)


def colour_map(name: str, stops: tuple[str, ...]) -> Colormap:
    """A matplotlib colour table through evenly spaced colours."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(name, list(stops))


def nice_limit(values: np.ndarray, share: float = 99.0) -> float:
    """A round number above the percentile `share` of the magnitudes without zeros.

    It is at least `LEAST_LIMIT_HU`; large arrays are sampled.
    """
    samples = np.ravel(values)[:: max(1, values.size // _MOST_SAMPLES)]
    magnitudes = np.abs(samples[samples != 0].astype(np.float32))
    wanted = float(np.percentile(magnitudes, share)) if magnitudes.size else 0.0
    if wanted <= LEAST_LIMIT_HU:
        return LEAST_LIMIT_HU
    power = 10.0 ** np.floor(np.log10(wanted))
    return float(next(step for step in _NICE_STEPS if step * power >= wanted) * power)


def rgb(colour: str) -> np.ndarray:
    """'#rrggbb' as three float32 numbers in [0, 1]."""
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)], dtype=np.float32) / 255


def hide(grey: np.ndarray, stages: np.ndarray, patch: int, scale: int) -> np.ndarray:
    """A slice with its hidden patches covered: blue for the first stage, orange with stripes for the second.

    Args:
        grey: the slice in [0, 1], (rows, columns).
        stages: the stage that hid each voxel, 0 for visible ones, same shape.
        patch: the shorter edge of a patch in voxels; sets the width of the stripes.
        scale: pixels per voxel along each axis.

    Returns:
        (rows * scale, columns * scale, 3) float32 in [0, 1].
    """
    ones = np.ones((scale, scale), dtype=np.float32)
    picture = np.repeat(np.kron(grey.astype(np.float32), ones)[..., None], 3, axis=2)
    large = np.kron(stages, ones.astype(np.uint8))
    rows, columns = np.ogrid[: large.shape[0], : large.shape[1]]
    period = max(4.0, patch * scale / 2)
    stripe = ((rows + columns) % period) < 0.34 * period
    edge = _edges(large)
    for stage, colour in STAGE_COLOURS.items():
        here = large == stage
        tint = np.full(large.shape, 0.55, dtype=np.float32)
        if stage == SECOND_STAGE:
            tint = np.where(stripe, np.float32(1.0), np.float32(0.42))
        tint[edge] = 1.0
        picture[here] = (rgb(colour) * tint[..., None])[here]
    return picture


def _edges(stages: np.ndarray) -> np.ndarray:
    """Pixels whose stage differs from that of the left or upper neighbour."""
    edges = np.zeros(stages.shape, dtype=bool)
    edges[1:] |= stages[1:] != stages[:-1]
    edges[:, 1:] |= stages[:, 1:] != stages[:, :-1]
    return edges
