"""The intensity: the rule that gives each scan its window, the map of its values to [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from MAESILCore.data.window import LUNG_TO_BONE, Window
from MAESILCore.errors import ConfigError, VolumeError

#: The rules: a fixed window in HU, or statistics of each scan for modalities without a unit, such as MRI.
RULES = ("window", "percentiles", "z-score")

#: Largest number of voxels that give the statistics of a scan; larger scans are sampled evenly.
_MOST = 1 << 22


@dataclass(frozen=True)
class Intensity:
    """The rule that maps the values of a scan to [0, 1].

    Statistics are those of the voxels above the lowest value of the scan, which is the background of a skull-stripped
    or padded scan.

    Attributes:
        rule: `window` maps HU. `percentiles` maps two percentiles of the scan to 0 and 1. `z-score` maps its
            mean to 0.5 and `deviations` standard deviations on each side to 0 and 1.
        window: HU that map to 0 and 1.
        percentiles: the lower and the upper percentile.
        deviations: standard deviations on each side of the mean.
    """

    rule: str = "window"
    window: Window = LUNG_TO_BONE
    percentiles: tuple[float, float] = (0.5, 99.5)
    deviations: float = 3.0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ConfigError(f"There is no intensity {self.rule!r}; choose one of {', '.join(RULES)}.")
        low, high = self.percentiles
        if not 0.0 <= low < high <= 100.0:
            raise ConfigError(
                f"The percentiles must be two rising numbers from 0 to 100, but are {low:g} and {high:g}."
            )
        if not 0.0 < self.deviations < np.inf:
            raise ConfigError(f"The deviations must be a number above 0, but are {self.deviations:g}.")

    @property
    def is_hu(self) -> bool:
        """Whether scans must be in HU."""
        return self.rule == "window"

    def window_of(self, voxels: np.ndarray) -> Window:
        """The window of a scan.

        Args:
            voxels: (k, j, i), all voxels of the scan.

        Raises:
            VolumeError: the statistics give no window, as almost all voxels have one value.
        """
        if self.is_hu:
            return self.window
        content = voxels.reshape(-1)[:: -(-voxels.size // _MOST)]
        content = content[content > content.min()]
        low = high = 0.0
        if content.size and self.rule == "percentiles":
            low, high = (float(value) for value in np.percentile(content, self.percentiles))
        elif content.size:
            mean, deviation = float(content.mean(dtype=np.float64)), float(content.std(dtype=np.float64))
            low, high = mean - self.deviations * deviation, mean + self.deviations * deviation
        if not -np.inf < low < high < np.inf:
            message = (
                "Almost all voxels of the scan have the same value, so there is nothing to map to [0, 1]."
            )
            raise VolumeError(message)
        return Window(low, high)

    def to_json(self) -> dict[str, Any]:
        """The JSON form that a card stores; only the fields of the rule."""
        if self.is_hu:
            return {"rule": self.rule, "window": [self.window.low, self.window.high]}
        if self.rule == "percentiles":
            return {"rule": self.rule, "percentiles": list(self.percentiles)}
        return {"rule": self.rule, "deviations": self.deviations}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Intensity:
        """Read the result of `to_json`.

        Raises:
            ConfigError, KeyError, TypeError, ValueError: a field is missing or does not fit.
        """
        known: dict[str, Any] = {"rule": str(fields["rule"])}
        if "window" in fields:
            known["window"] = Window(*(float(value) for value in fields["window"]))
        if "percentiles" in fields:
            low, high = (float(value) for value in fields["percentiles"])
            known["percentiles"] = low, high
        if "deviations" in fields:
            known["deviations"] = float(fields["deviations"])
        return cls(**known)

    def __str__(self) -> str:
        if self.is_hu:
            return str(self.window)
        if self.rule == "percentiles":
            return f"the {self.percentiles[0]:g}th to {self.percentiles[1]:g}th percentile of each scan"
        return f"{self.deviations:g} standard deviations around the mean of each scan"


def body_floor(voxels: np.ndarray, window: Window) -> float:
    """The value above which voxels of a scan without HU count as body.

    It is a tenth of the way from the lowest value of the scan to the upper end of its window.
    """
    lowest = float(voxels.min())
    return lowest + 0.1 * (window.high - lowest)
