"""What a search looks for: a place or a region of a scan."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MAESILCore.data.scans import read_scan
from MAESILCore.downstream.search.boxes import PooledBoxes, sums
from MAESILCore.downstream.search.index import Index
from MAESILCore.downstream.search.layout import IndexedScan
from MAESILCore.errors import CheckpointError, ConfigError, VolumeError
from MAESILCore.inference import encode_levels
from MAESILCore.lattice import SuperpatchGrid, Triple
from MAESILCore.models.catalogue import hash_of_model, resolve
from MAESILCore.models.checkpoint import load_checkpoint
from MAESILCore.store.sources import state_of

#: Chooses voxels: gets the shape (k, j, i) and the IJK-to-RAS matrix of a scan, and returns (k, j, i) bool.
Region = Callable[[Triple, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Query:
    """A place or a region, for `Index.search`.

    Attributes:
        directions: (N, D) float32, of its boxes that hold more than air.
        boxes: their indices (k, j, i).
        number: number of its scan in the index; None if it is not there.
        notes: sentences for the user about reading the scan.
    """

    directions: np.ndarray
    boxes: tuple[Triple, ...]
    number: int | None
    notes: tuple[str, ...] = ()

    @property
    def without(self) -> tuple[int, tuple[Triple, ...]] | None:
        """The argument `without` of `Index.search`, so that a search does not find what it looks for."""
        return None if self.number is None else (self.number, self.boxes)

    def checked(self) -> Query:
        """This query.

        Raises:
            VolumeError: it has no boxes.
        """
        if not self.boxes:
            raise VolumeError("There is only air at this place of the scan: choose one inside the body.")
        return self


def at(ras: Sequence[float]) -> Region:
    """The voxel at a RAS position in mm.

    The region raises:
        ConfigError: the position is outside the scan.
    """

    def region(shape: Triple, ijk_to_ras: np.ndarray) -> np.ndarray:
        i, j, k = np.floor(np.linalg.solve(ijk_to_ras, [*ras, 1.0])[:3] + 0.5).astype(int).tolist()
        if not all(0 <= n < size for n, size in zip((k, j, i), shape, strict=True)):
            place = ", ".join(f"{value:g}" for value in ras)
            raise ConfigError(f"The place {place} (R, A, S in mm) is outside the scan: choose one inside it.")
        voxels = np.zeros(shape, dtype=bool)
        voxels[k, j, i] = True
        return voxels

    return region


def within(start: Sequence[int], stop: Sequence[int]) -> Region:
    """The voxels of a box from `start` to `stop` (exclusive), both (k, j, i).

    The region raises:
        ConfigError: no voxel of the scan is in the box.
    """

    def region(shape: Triple, ijk_to_ras: np.ndarray) -> np.ndarray:
        voxels = np.zeros(shape, dtype=bool)
        voxels[tuple(slice(max(a, 0), max(b, 0)) for a, b in zip(start, stop, strict=True))] = True
        if not voxels.any():
            raise ConfigError("No voxel of the scan is in the region: choose a region inside the scan.")
        return voxels

    return region


def query_of(
    index: Index,
    scan: Path,
    region: Region,
    *,
    series: str | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Query:
    """The features of a place or a region of a scan, with the model of an index.

    A scan that the index holds unchanged needs no model; of another one, only the tiles around the region pass.

    Args:
        index: the index.
        scan: a scan file or DICOM folder, in the index or not.
        region: `at`, `within`, or a function like them, for example of a mask.
        series: number or UID of the DICOM series if a folder has several.
        batch_size: superpatches per pass; None is the device's default.
        device: auto, cpu, cuda, cuda:N or mps.
        progress: callback with passes done and passes in all.
        cancelled: called before each batch; True stops the work.

    Raises:
        Cancelled: `cancelled` returned True.
        CheckpointError: the model of the index is gone or has changed.
        ConfigError: the region is outside the scan.
        VolumeError: the scan cannot be read, or the region holds only air.
    """
    number = None if series is not None else _number_in(index, scan)
    if number is not None:
        entry = index.scans[number]
        boxes = _boxes_of(region(entry.shape, np.array(entry.ijk_to_ras)), index.description.box)
        numbers = np.flatnonzero(boxes)
        held = numbers[np.isin(numbers, index.numbers_of(number))]
        return Query(index.directions_at(number, held), _places(held, boxes.shape), number).checked()
    description = index.description
    path = resolve(description.model)
    if hash_of_model(path) != description.model_hash:
        raise CheckpointError(
            f"The model {description.model} has changed since the index {index.folder} was made: make the index again."
        )
    volume, model = read_scan(scan, series), load_checkpoint(path)
    boxes = _boxes_of(region(volume.shape, volume.ijk_to_ras), description.box)
    voxels = SuperpatchGrid(volume.shape, description.box, description.box).expand(boxes)
    (found,) = encode_levels(
        volume,
        model,
        (description.level,),
        wanted=sums(voxels.astype(np.int32), model.patch_size) > 0,
        batch_size=batch_size,
        device=device,
        progress=progress,
        cancelled=cancelled,
    )
    pooled = PooledBoxes.of(found.map)
    rows = np.flatnonzero(np.isin(pooled.numbers, np.flatnonzero(boxes)))
    places = _places(pooled.numbers[rows], boxes.shape)
    notes = (*volume.notes, *model.notes)
    return Query(index.directions_of(pooled.vectors[rows]), places, None, notes).checked()


def _boxes_of(voxels: np.ndarray, box: Triple) -> np.ndarray:
    """The boxes that are at least half in a region, or else the one with most of it, (Dk, Dj, Di) bool."""
    shares = sums(voxels.astype(np.int32), box) / sums(np.ones(voxels.shape, dtype=np.int32), box)
    return np.asarray(shares >= min(0.5, shares.max()))


def _places(numbers: np.ndarray, shape: tuple[int, ...]) -> tuple[Triple, ...]:
    k, j, i = np.unravel_index(numbers, shape)
    return tuple(zip(k.tolist(), j.tolist(), i.tolist(), strict=True))


def _number_in(index: Index, scan: Path) -> int | None:
    """The number of a scan in an index; None if the index does not hold it as it is now."""
    here = os.path.realpath(scan)
    state = None
    for number, entry in enumerate(index.scans):
        if not entry.series and _is_at(index, entry, here):
            state = state or state_of(Path(here))
            if (entry.size, entry.modified) == state:
                return number
    return None


def _is_at(index: Index, entry: IndexedScan, here: str) -> bool:
    # Names first, as each real path asks the disk.
    path = index.path_of(entry)
    return os.path.basename(path) == os.path.basename(here) and os.path.realpath(path) == here
