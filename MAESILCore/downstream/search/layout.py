"""The files of an index.

```
INDEX/
  index.json         version, folder, model, mean, and one entry per scan; written last
  projection-ID.npy  (C, D) float32, axes of `projection.Projection`
  vectors-ID.npy     (N, D) float16, unit vectors along these axes, of all boxes of all scans
  places-ID.npy      (N, 2) int32, number of the scan and of the box of each row
  scans/KEY-N.npz    the boxes of one scan, from which the next call makes these arrays anew
  lock
```

It names scans by their path below the folder, and holds nothing else of their headers than the geometry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import Triple

INDEX, SCANS, LOCK = "index.json", "scans", "lock"
PROJECTION, VECTORS, PLACES = "projection-{}.npy", "vectors-{}.npy", "places-{}.npy"

#: Version of the layout.
VERSION = 1

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class IndexedScan:
    """A scan of an index.

    Attributes:
        file: its displayable path below the folder.
        path: its path below the folder, for opening it.
        series: number of the DICOM series among those of a folder, from 1; 0 is a scan alone.
        size: bytes of its files.
        modified: latest modification time of its files in ns.
        shape: voxels along k, j, i.
        ijk_to_ras: (4, 4) rows.
        lattice_shape: boxes along k, j, i.
        lattice_to_ras: (4, 4) rows, maps (i, j, k, 1) of a box to the RAS position of its centre in mm.
        rows: boxes that hold more than air, thus in the index.
    """

    file: str
    path: str
    series: int
    size: int
    modified: int
    shape: Triple
    ijk_to_ras: Matrix
    lattice_shape: Triple
    lattice_to_ras: Matrix
    rows: int

    @property
    def name(self) -> str:
        """Its name for people."""
        return f"{self.file} (series {self.series})" if self.series else self.file

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> IndexedScan:
        """From JSON."""
        shapes = {name: tuple(fields[name]) for name in ("shape", "lattice_shape")}
        matrices = {name: tuple(map(tuple, fields[name])) for name in ("ijk_to_ras", "lattice_to_ras")}
        return cls(**{**fields, **shapes, **matrices})


@dataclass(frozen=True)
class Description:
    """What an index holds.

    Attributes:
        folder: the absolute folder of the scans.
        model: checkpoint file, run folder or bundled name.
        model_hash: hash of the checkpoint.
        level: index of the feature level, from the shallowest.
        box: voxels of a box along k, j, i.
        mean: mean feature vector of all boxes.
        scans: the scans, in the order of their rows.
        left_out: (file, reason) of the scans that cannot be used.
        identity: part of the names of the arrays; "" while there are none.
    """

    folder: str
    model: str
    model_hash: str
    level: int
    box: Triple
    mean: tuple[float, ...] = ()
    scans: tuple[IndexedScan, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    identity: str = ""

    def to_json(self) -> dict[str, Any]:
        """For `index.json`."""
        return {"version": VERSION, **asdict(self)}


def matrix_of(array: np.ndarray) -> Matrix:
    """A (4, 4) array as rows."""
    return tuple(map(tuple, array.tolist()))


def is_index(folder: Path) -> bool:
    """Whether a folder is an index."""
    return (folder / INDEX).is_file()


def read_description(folder: Path) -> Description:
    """Read `index.json`.

    Raises:
        ConfigError: the folder is no index, or the file is damaged or of a newer version.
    """
    if not is_index(folder):
        raise ConfigError(f"{folder} is no index: give a folder that `maesil index` has written.")
    try:
        fields = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        version = int(fields.pop("version"))
        if version > VERSION:
            raise ConfigError(
                f"The index {folder} has version {version}, made by a newer MAESIL: update MAESIL."
            )
        scans = tuple(map(IndexedScan.of, fields["scans"]))
        found = Description(**fields)
        left_out = tuple((file, reason) for file, reason in found.left_out)
        k, j, i = found.box
        return replace(found, box=(k, j, i), mean=tuple(found.mean), scans=scans, left_out=left_out)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"{folder / INDEX} is damaged: delete the folder {folder}, and make the index again."
        ) from error


def write_scan(path: Path, scan: IndexedScan, vectors: np.ndarray, numbers: np.ndarray) -> None:
    """Write the boxes of one scan.

    Deviations from the scan's own mean, over their largest magnitude, are stored in 16 bits.

    Args:
        path: the file.
        scan: the scan.
        vectors: (N, C) float32, at least one.
        numbers: (N,) int32, numbers of the boxes.

    Raises:
        OSError: the file cannot be written.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    deviations = vectors - mean.astype(np.float32)
    scale = max(float(np.abs(deviations).max()), float(np.finfo(np.float32).tiny))
    header = json.dumps(asdict(scan)).encode()
    with open(path, "wb") as file:
        np.savez(
            file,
            header=np.frombuffer(header, dtype=np.uint8),
            mean=mean,
            scale=np.float64(scale),
            numbers=numbers,
            deviations=(deviations / scale).astype(np.float16),
        )


@dataclass(frozen=True, eq=False)
class ScanFile:
    """A file of `write_scan`.

    Attributes:
        path: the file.
        scan: the scan.
        mean: (C,) float64, the mean vector of its boxes.
    """

    path: Path
    scan: IndexedScan
    mean: np.ndarray

    @classmethod
    def read(cls, path: Path) -> ScanFile | None:
        """Read the header of a file; None if it is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                scan = IndexedScan.of(json.loads(arrays["header"].tobytes()))
                return cls(path, scan, arrays["mean"])
        except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile):
            return None

    def deviations_from(self, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The vectors minus a mean, (N, C) float32, and the numbers of their boxes, (N,) int32.

        Raises:
            ConfigError: the file is damaged; it is removed, so that the next call reads its scan anew.
        """
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                deviations = arrays["deviations"].astype(np.float32)
                deviations *= np.float32(arrays["scale"])
                deviations += (self.mean - mean).astype(np.float32)
                return deviations, arrays["numbers"]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            self.path.unlink(missing_ok=True)
            raise ConfigError(
                f"The stored features of {self.scan.name} were damaged and are removed: run again to make them anew."
            ) from error
