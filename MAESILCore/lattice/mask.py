"""The mask: visible and hidden patches of a lattice, and the stage that hid each patch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MAESILCore.errors import ConfigError
from MAESILCore.lattice.box import LatticeBox, Triple

VISIBLE, FIRST_STAGE, SECOND_STAGE = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Mask:
    """The visible and hidden patches of a lattice.

    Attributes:
        stages: (Dk, Dj, Di) uint8, read-only: `VISIBLE`, or the stage that hid the patch (`FIRST_STAGE`,
            `SECOND_STAGE`).

    >>> mask = Mask([[[VISIBLE, FIRST_STAGE], [SECOND_STAGE, VISIBLE]]])
    >>> mask.shape, mask.hidden_indices
    ((1, 2, 2), array([1, 2]))
    """

    stages: np.ndarray

    def __post_init__(self) -> None:
        stages = np.array(self.stages, dtype=np.uint8)
        if stages.ndim != 3:
            raise ConfigError(f"A mask has three axes (k, j, i), but this one has shape {stages.shape}.")
        stages.flags.writeable = False
        object.__setattr__(self, "stages", stages)

    @property
    def shape(self) -> Triple:
        """Patches along k, j, i."""
        k, j, i = self.stages.shape
        return k, j, i

    @property
    def hidden(self) -> np.ndarray:
        """(Dk, Dj, Di) bool, True where a patch is hidden."""
        return np.asarray(self.stages != VISIBLE)

    @property
    def visible_indices(self) -> np.ndarray:
        """Row-major indices of the visible patches, int64, ascending."""
        return np.flatnonzero(self.stages == VISIBLE).astype(np.int64)

    @property
    def hidden_indices(self) -> np.ndarray:
        """Row-major indices of the hidden patches, int64, ascending."""
        return np.flatnonzero(self.stages != VISIBLE).astype(np.int64)

    @property
    def hidden_fraction(self) -> float:
        """Share of the patches that is hidden, 0 to 1."""
        return float(np.count_nonzero(self.stages)) / self.stages.size

    def crop(self, box: LatticeBox) -> Mask:
        """The part of the mask inside a lattice box."""
        return Mask(self.stages[box.slices])
