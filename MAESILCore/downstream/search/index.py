"""Exact search of similar places in an index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MAESILCore.data.scans import read_scan
from MAESILCore.data.volume import Volume
from MAESILCore.downstream.search.boxes import PooledBoxes
from MAESILCore.downstream.search.layout import (
    PLACES,
    PROJECTION,
    VECTORS,
    Description,
    IndexedScan,
    read_description,
)
from MAESILCore.downstream.search.ranking import APART, best_places
from MAESILCore.errors import Cancelled, ConfigError, VolumeError
from MAESILCore.files import read_array
from MAESILCore.lattice import Triple
from MAESILCore.lattice.whitening import Projection, unit
from MAESILCore.optional import require
from MAESILCore.store.ingest import series_of

#: Rows per call of the library, after which the search can be stopped.
_ROWS = 1 << 18
#: Least cosine between two directions of one place of one scan, after rounding to 16 bits and by other devices.
_SAME = 0.9


@dataclass(frozen=True)
class Hit:
    """A similar place.

    Attributes:
        similarity: cosine between directions of the index, from -1 to 1.
        number: number of the scan in the index.
        scan: the scan.
        box: index (k, j, i) of the box on the lattice of the scan.
        ras: its centre in mm.
    """

    similarity: float
    number: int
    scan: IndexedScan
    box: Triple
    ras: tuple[float, float, float]

    @property
    def distance(self) -> float:
        """Cosine distance, from 0 to 2."""
        return 1.0 - self.similarity


class Index:
    """An index, memory-mapped.

    Attributes:
        folder: its folder.
        description: what it holds.
    """

    def __init__(
        self,
        folder: Path,
        description: Description,
        projection: Projection,
        vectors: np.ndarray,
        places: np.ndarray,
    ) -> None:
        self.folder, self.description = folder, description
        self._projection, self._vectors, self._places = projection, vectors, places
        self._starts = np.cumsum([0, *(scan.rows for scan in description.scans)])

    @classmethod
    def open(cls, folder: str | Path) -> Index:
        """Open an index.

        Raises:
            ConfigError: the folder is no index, or it is empty or damaged.
        """
        folder = Path(folder)
        found = read_description(folder)
        if not found.scans:
            raise ConfigError(
                f"The index {folder} holds no scan: run maesil index again, which goes on where it was stopped."
            )
        try:
            axes, vectors, places = (
                read_array(folder / name.format(found.identity)) for name in (PROJECTION, VECTORS, PLACES)
            )
            rows, width = sum(scan.rows for scan in found.scans), len(found.mean)
            if axes.shape != (width, *vectors.shape[1:]) or len(vectors) != rows or places.shape != (rows, 2):
                raise ValueError("another number of rows")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"The arrays of the index {folder} are damaged: delete {VECTORS.format(found.identity)} there, and "
                "run maesil index again, which makes them anew."
            ) from error
        return cls(folder, found, Projection(np.array(found.mean), np.array(axes)), vectors, places)

    @property
    def scans(self) -> tuple[IndexedScan, ...]:
        """Its scans."""
        return self.description.scans

    def directions_of(self, vectors: np.ndarray) -> np.ndarray:
        """What the index compares: unit vectors by its projection. A vector that equals its mean gives zeros.

        The mean and the axes are those of the whole index, not of each scan, as scans of different parts of the body
        differ in both.

        Args:
            vectors: (N, C), pooled like those of the index.

        Returns:
            (N, D) float32.

        Raises:
            ConfigError: another number of channels.
        """
        width = len(self.description.mean)
        if vectors.ndim != 2 or vectors.shape[1] != width:
            raise ConfigError(
                f"The index {self.folder} holds vectors of {width} values, but the shape given is "
                f"{vectors.shape}: use the features of its own model and level."
            )
        return self._projection.directions_of(vectors)

    def numbers_of(self, number: int) -> np.ndarray:
        """The numbers of the boxes of a scan that the index holds, ascending, (N,) int32."""
        return np.asarray(self._places[self._rows(number), 1])

    def directions_at(self, number: int, boxes: Sequence[int] | np.ndarray) -> np.ndarray:
        """The directions of some boxes of a scan, by their numbers; those that hold only air are left out."""
        rows = np.flatnonzero(np.isin(self.numbers_of(number), boxes)) + self._starts[number]
        return np.asarray(self._vectors[rows], dtype=np.float32)

    def copies_of(self, boxes: PooledBoxes) -> list[int]:
        """The numbers of the scans that have these pooled features, on the same lattice: they are the same scan."""
        found = []
        for number, scan in enumerate(self.scans):
            if scan.lattice_shape != boxes.shape or scan.rows != len(boxes.numbers):
                continue
            is_there = np.allclose(scan.lattice_to_ras, boxes.lattice_to_ras, atol=1e-3)
            if is_there and np.array_equal(self.numbers_of(number), boxes.numbers):
                products = self.directions_of(boxes.vectors) * self._vectors[self._rows(number)]
                if products.sum(axis=1).min() > _SAME:
                    found.append(number)
        return found

    def _rows(self, number: int) -> slice:
        return slice(int(self._starts[number]), int(self._starts[number + 1]))

    def search(
        self,
        directions: np.ndarray,
        most: int = 20,
        *,
        apart: int = APART,
        without: tuple[int, Sequence[Triple]] | None = None,
        leave_out: Sequence[int] = (),
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Hit]:
        """The most similar places, best first. It is exact: every row is compared.

        Args:
            directions: (D,) or (N, D), of `directions_of` or `directions_at`; several, as of a region, count as their
                mean.
            most: number of places.
            apart: of the places of one scan that are nearer than this many boxes along every axis, only the best.
            without: number of a scan and boxes (k, j, i) there, such as those that were asked for: they and their
                neighbours are left out.
            leave_out: numbers of scans that are not searched.
            cancelled: called from time to time; True stops the search.

        Raises:
            Cancelled: `cancelled` returned True.
            ConfigError: the directions are zeros, or a number does not fit.
            MissingPackageError: numkong is not installed.
        """
        if most < 1 or apart < 1:
            raise ConfigError(
                f"Give at least 1 place and a distance of at least 1 box, not {most} and {apart}."
            )
        (query,) = unit(np.atleast_2d(directions).mean(axis=0, keepdims=True))
        if not query.any():
            raise ConfigError("The place has the mean features of the index: choose another place.")
        scores = self._scores(query, cancelled)
        for number in leave_out:
            scores[self._rows(number)] = -np.inf
        shapes = [scan.lattice_shape for scan in self.scans]
        hits = []
        for row, number, box in best_places(scores, self._places, shapes, most, apart=apart, without=without):
            if not np.isfinite(scores[row]):
                break
            scan = self.scans[number]
            # Rounding of 16 bits may exceed 1.
            hits.append(Hit(min(float(scores[row]), 1.0), number, scan, box, centre_of(scan, box)))
        return hits

    def _scores(self, query: np.ndarray, cancelled: Callable[[], bool] | None) -> np.ndarray:
        """The similarity of every row, (N,) float32."""
        numkong = require("numkong", "The search")
        half, scores = query.astype(np.float16)[None], np.empty(len(self._vectors), dtype=np.float32)
        for start in range(0, len(scores), _ROWS):
            if cancelled is not None and cancelled():
                raise Cancelled("The search was stopped.")
            rows = self._vectors[start : start + _ROWS]
            scores[start : start + _ROWS] = np.asarray(numkong.cdist(half, rows, "dot", threads=0))[0]
        return scores

    def path_of(self, scan: IndexedScan, folder: Path | None = None) -> Path:
        """Where a scan is; `folder` replaces that of the index, if the scans were moved."""
        return Path(folder or self.description.folder) / scan.path

    def read(self, scan: IndexedScan, folder: Path | None = None) -> Volume:
        """Read a scan of the index; `folder` as for `path_of`.

        Raises:
            VolumeError: it is gone or cannot be read.
        """
        path = self.path_of(scan, folder)
        if not path.exists():
            raise VolumeError(f"{scan.name} is gone: give the folder of the scans, or make the index again.")
        if not scan.series:
            return read_scan(path)
        uids = series_of(path)
        if len(uids) < scan.series:
            raise VolumeError(f"{scan.file} has no series {scan.series} any more: make the index again.")
        return read_scan(path, uids[scan.series - 1])


def centre_of(scan: IndexedScan, box: Triple) -> tuple[float, float, float]:
    """RAS position in mm of the centre of a box (k, j, i) of a scan."""
    r, a, s, _ = (np.array(scan.lattice_to_ras) @ [*box[::-1], 1.0]).tolist()
    return r, a, s
