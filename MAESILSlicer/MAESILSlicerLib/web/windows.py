"""Window presets of a scan: the usual CT windows for HU, else its value range."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from MAESILCore.data.volume import Volume
from MAESILCore.report.shading import viewing_window

#: Width and centre in HU, by the usual names.
_OF_HU = {
    "Soft tissue": (400, 40),
    "Lung": (1500, -600),
    "Bone": (1800, 400),
    "Mediastinum": (350, 50),
}
_USUAL_WIDTH, _USUAL_LEVELS = 4000, (-1200, 2000)
_WHOLE_RANGE = "Whole range"
#: Number of slider steps for non-integer values.
_STEPS = 1000

Number = int | float


@dataclass(frozen=True)
class Windows:
    """The window settings available for a scan.

    Attributes:
        unit: unit of the values, "HU" or "".
        presets: width and level by name; the first is the default.
        widths: lowest and highest width of the slider.
        levels: lowest and highest level of the slider.
        step: step of both sliders.
    """

    unit: str
    presets: dict[str, tuple[Number, Number]]
    widths: tuple[Number, Number]
    levels: tuple[Number, Number]
    step: Number

    def rounded(self, value: float) -> Number:
        """A value rounded to the sliders' precision."""
        steps = round(value / self.step)
        return steps * self.step if isinstance(self.step, int) else float(f"{steps * self.step:.6g}")


def windowsFor(volume: Volume | None) -> Windows:
    """The windows of a scan; those for HU if it is None."""
    if volume is None:
        return Windows("HU", dict(_OF_HU), (1, _USUAL_WIDTH), _USUAL_LEVELS, 1)
    low, high = volume.value_range
    span = high - low if high > low else 1.0
    isFine = volume.voxels.dtype.kind == "f" and span < _STEPS
    step: Number = 10.0 ** math.floor(math.log10(span / _STEPS)) if isFine else 1
    lowest = math.floor(low / step) * step
    highest = max(math.ceil(high / step) * step, lowest + step)
    whole = (highest - lowest, (low + high) / 2)
    if volume.looks_like_hu:
        widths = (1, max(_USUAL_WIDTH, whole[0]))
        levels = (min(_USUAL_LEVELS[0], lowest), max(_USUAL_LEVELS[1], highest))
        named = Windows("HU", {}, widths, levels, 1)
        presets = {**_OF_HU, _WHOLE_RANGE: whole}
    else:
        named = Windows("", {}, (step, whole[0]), (lowest, highest), step)
        window = viewing_window(volume)
        presets = {
            "Automatic": (window.high - window.low, (window.low + window.high) / 2),
            _WHOLE_RANGE: whole,
        }
    rounded = {
        name: (max(named.rounded(width), named.step), named.rounded(level))
        for name, (width, level) in presets.items()
    }
    return replace(named, presets=rounded)
