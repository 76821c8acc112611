"""What readers give and writers take, and the error that readers raise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MAESILCore.errors import VolumeError


@dataclass(frozen=True)
class Scan:
    """Voxels and geometry of a file.

    Attributes:
        voxels: (k, j, i), with slope and intercept applied.
        ijk_to_ras: (4, 4) float64, voxel centre (i, j, k, 1) to RAS in mm.
        notes: sentences for the user.
    """

    voxels: np.ndarray
    ijk_to_ras: np.ndarray
    notes: tuple[str, ...] = ()


class Unreadable(VolumeError):
    """The reason why a scan cannot be read, as the part of a sentence after its name; see `named`."""


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Complete an `Unreadable` of the block to a sentence that begins with the name of a file or folder."""
    try:
        yield
    except Unreadable as error:
        raise VolumeError(f"{path.name} {error}") from error


def damaged(reason: str) -> Unreadable:
    """The error for a file that is truncated or does not decode."""
    return Unreadable(f"is cut short or damaged ({reason}): copy or export it again.")
