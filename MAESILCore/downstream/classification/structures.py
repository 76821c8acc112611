"""Which structures are in which superpatch, from label maps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from MAESILCore.data.labels import read_segmentation
from MAESILCore.data.scans import read_scan
from MAESILCore.data.segmentation import UNLABELLED, Segmentation
from MAESILCore.data.volume import Volume
from MAESILCore.downstream.classification.cases import Case, Table, same_content
from MAESILCore.downstream.classification.scans import Examined, examine, stop_if
from MAESILCore.downstream.classification.vectors import SuperpatchVectors
from MAESILCore.errors import ConfigError, MaesilError, VolumeError

#: What a target says.
ABSENT, PRESENT, UNKNOWN = 0, 1, -1


@dataclass(frozen=True, eq=False)
class Superpatches:
    """The superpatches of all scans of a table that hold more than air.

    Attributes:
        cases: (N,) int64, the scan of each.
        boxes: (N, 2, 3) int64, first voxel and end (exclusive) along k, j, i.
        targets: (N, S) int8, for each structure `ABSENT`, `PRESENT` or `UNKNOWN`.
        places: (N, 9) float64, where the superpatch is in its scan, from -1 to 1 along k, j, i, and the products.
        values: (N, 2) float64, mean and standard deviation of its voxels.
    """

    cases: np.ndarray
    boxes: np.ndarray
    targets: np.ndarray
    places: np.ndarray
    values: np.ndarray

    def of_structures(self, chosen: Sequence[int]) -> Superpatches:
        """The same superpatches with the targets of some structures only."""
        return replace(self, targets=self.targets[:, list(chosen)])


def examine_labelled(
    table: Table, progress: Callable[[str], None], cancelled: Callable[[], bool]
) -> tuple[list[Examined], tuple[str, ...]]:
    """Read all scans of a table and their label maps; returns also the names of all structures, sorted.

    Raises:
        Cancelled: `cancelled` returned True.
        ConfigError: two scans have the same voxels, or no label map has a structure.
        VolumeError: a scan or label map cannot be read, or they do not fit each other.
    """
    found, names = [], set[str]()
    for case in table.cases:
        stop_if(cancelled)
        progress(f"Checking {case.name}")
        volume = read_scan(case.path)
        found.append(examine(volume))
        segments = _segmentation(table, case, volume).segments
        names |= {one.name for one in segments if one.name != UNLABELLED}
    same_content(table.path, table.cases, [one.content for one in found])
    if not names:
        raise ConfigError(f"The label maps of {table.path.name} hold no structure.")
    return found, tuple(sorted(names))


def superpatches_of(
    table: Table,
    vectors: Sequence[SuperpatchVectors],
    names: Sequence[str],
    least_voxels: int,
    progress: Callable[[str], None],
    cancelled: Callable[[], bool],
) -> Superpatches:
    """Look which structures are in the superpatches of all scans.

    Args:
        table: the cases.
        vectors: the pooled features of each, whose boxes count.
        names: names of the structures.
        least_voxels: voxels from which a structure counts as present.
        progress: callback before each scan with a message.
        cancelled: True stops the work.

    Raises:
        Cancelled: `cancelled` returned True.
        VolumeError: a scan or label map cannot be read.
    """
    parts = []
    for number, (case, found) in enumerate(zip(table.cases, vectors, strict=True)):
        stop_if(cancelled)
        progress(f"Structures of {case.name}")
        volume = read_scan(case.path)
        labels = _segmentation(table, case, volume)
        slices = [tuple(map(slice, start, stop)) for start, stop in found.boxes.tolist()]
        centres = found.boxes.mean(axis=1) / np.array(volume.shape) * 2.0 - 1.0
        pairs = itertools.combinations_with_replacement(range(3), 2)
        products = [centres[:, a] * centres[:, b] for a, b in pairs]
        values = [(volume.voxels[part].mean(), volume.voxels[part].std()) for part in slices]
        parts.append(
            Superpatches(
                np.full(len(slices), number),
                found.boxes,
                np.stack([_targets(labels, labels.labels[part], names, least_voxels) for part in slices]),
                np.stack([*centres.T, *products], axis=1),
                np.array(values, dtype=np.float64),
            )
        )
    return Superpatches(
        *(
            np.concatenate([getattr(part, field) for part in parts])
            for field in ("cases", "boxes", "targets", "places", "values")
        )
    )


def _segmentation(table: Table, case: Case, volume: Volume) -> Segmentation:
    try:
        return read_segmentation(table.beside(case), volume, scan=case.path)
    except MaesilError as error:
        raise VolumeError(f"The labels {case.target} of {case.name} cannot be used: {error}") from error


def _targets(segmentation: Segmentation, part: np.ndarray, names: Sequence[str], least: int) -> np.ndarray:
    """(S,) int8 of one superpatch; a structure that the file does not name is absent."""
    counts = np.bincount(part.ravel(), minlength=1)
    found = {
        one.name: int(counts[one.value]) if one.value < len(counts) else 0 for one in segmentation.segments
    }
    missing = UNKNOWN if found.get(UNLABELLED, 0) >= least else ABSENT
    return np.array([PRESENT if found.get(name, 0) >= least else missing for name in names], dtype=np.int8)
