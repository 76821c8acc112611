"""The window: the map between Hounsfield units and [0, 1]."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from MAESILCore.errors import ConfigError


@dataclass(frozen=True)
class Window:
    """A linear map from HU to [0, 1] with clipping.

    Attributes:
        low: HU that map to 0.
        high: HU that map to 1.

    >>> Window(-1000, 1000).apply([-2000, -1000, 0, 500])
    array([0.  , 0.  , 0.5 , 0.75], dtype=float32)
    """

    low: float = -1000.0
    high: float = 1000.0

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise ConfigError(
                "The window's lower end must be below its upper end, both finite, "
                f"but it is [{self.low:g}, {self.high:g}] HU."
            )

    @property
    def width(self) -> float:
        """Upper minus lower end, in HU."""
        return self.high - self.low

    def apply(self, hu: np.ndarray) -> np.ndarray:
        """Map HU to float32 in [0, 1], any shape."""
        unit = np.asarray(hu, dtype=np.float32) - np.float32(self.low)
        unit /= np.float32(self.width)
        return np.clip(unit, 0.0, 1.0, out=unit)

    def invert(self, unit: np.ndarray) -> np.ndarray:
        """Map [0, 1] back to HU, float32, any shape; values outside [0, 1] are extrapolated."""
        return np.asarray(unit, dtype=np.float32) * np.float32(self.width) + np.float32(self.low)

    def __str__(self) -> str:
        return f"[{self.low:g}, {self.high:g}] HU"


#: The window of the bundled model, from lungs to dense bone.
LUNG_TO_BONE = Window(-1000.0, 1000.0)

#: The abdominal window of the published CT work (docs/methods.md, Windows), used as a second scale for scores.
SOFT_TISSUE = Window(-175.0, 250.0)
