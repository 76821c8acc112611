"""The segmentation of a volume: a label map with names, colours and terminology."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MAESILCore.errors import VolumeError

#: Name of the segment whose voxels nobody has labelled, so that a training ignores them.
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class Segment:
    """A structure that is outlined.

    Attributes:
        value: its value in the label map, at least 1.
        name: its name; segments of different scans with the same name are the same class.
        color: red, green and blue from 0 to 1; None lets the reader choose.
        terminology: coded type as 3D Slicer writes it into the segment tag `TerminologyEntry`; "" if unknown.
    """

    value: int
    name: str
    color: tuple[float, float, float] | None = None
    terminology: str = ""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The segments of a volume.

    Attributes:
        labels: (k, j, i) uint8 or uint16, 0 is background.
        ijk_to_ras: (4, 4) float64, maps (i, j, k, 1) of a voxel centre to RAS in mm.
        segments: the segments, with distinct values and names; one without voxels is empty in this scan.
        notes: sentences for the user about reading it (resampled, overlaps, names made up, ...).
    """

    labels: np.ndarray
    ijk_to_ras: np.ndarray
    segments: tuple[Segment, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.labels.ndim != 3 or self.labels.dtype not in (np.uint8, np.uint16):
            raise VolumeError(
                f"A label map needs three axes of whole numbers, but has the shape {self.labels.shape} of "
                f"{self.labels.dtype}."
            )
        values, names = {one.value for one in self.segments}, {one.name for one in self.segments}
        if len(values) < len(self.segments) or len(names) < len(self.segments):
            raise VolumeError("Two segments have the same name or value: rename one of them.")

    def segment(self, name: str) -> Segment | None:
        """The segment of this name; None if there is none."""
        return next((one for one in self.segments if one.name == name), None)
