"""An opened store: its scans as arrays, and reading of boxes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.data.formats.geometry import spacing_of
from MAESILCore.errors import ConfigError
from MAESILCore.store.index import Index
from MAESILCore.store.layout import CHUNK, SCANS, STORE, VERSION, Shape, is_hu
from MAESILCore.store.reader import ScanReader

#: Most scans with open files; each takes a file handle per shard and up to some 100 KiB.
_OPEN_SCANS = 64


def read_description(folder: Path) -> dict[str, Any]:
    """The content of `store.json`.

    Raises:
        ConfigError: it is missing, damaged, or of a later version.
    """
    try:
        content = json.loads((folder / STORE).read_text(encoding="utf-8"))
        version = int(content["version"])
    except OSError as error:
        raise ConfigError(f"{folder} is no store: {STORE} cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{folder / STORE} is damaged: run maesil prepare again on the store.") from error
    if version > VERSION:
        raise ConfigError(
            f"The store {folder} has version {version}, and this MAESIL reads up to {VERSION}: update MAESIL."
        )
    return dict(content)


class Store:
    """The scans of a store, in the order of their files.

    It may be used by several threads, sent to other processes, and used after fork.

    Args:
        folder: the store.

    Attributes:
        folder: the store.
        files: path of each source below the folder that was given to `maesil prepare`.
        identities: hash of each scan, the name of its folder.
        shapes: (N, 3) extents along k, j, i.
        ijk_to_ras: (N, 4, 4) geometries.
        is_hu: whether the voxels are HU; else they have no unit, nor the same scale in each scan.

    Raises:
        ConfigError: the folder is no store, or its index is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).absolute()
        self.is_hu = is_hu(read_description(self.folder)["settings"])
        index = Index(self.folder)
        index.refuse_damage()
        scans = index.scans()
        self.files = tuple(file for file, _ in scans)
        self.identities = tuple(scan.identity for _, scan in scans)
        self.shapes = np.array([scan.shape for _, scan in scans], dtype=np.int64).reshape(-1, 3)
        self.ijk_to_ras = np.array([scan.ijk_to_ras for _, scan in scans], dtype=np.float64).reshape(-1, 4, 4)
        self._open = lru_cache(_OPEN_SCANS)(self._reader)

    def __len__(self) -> int:
        return len(self.files)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open = lru_cache(_OPEN_SCANS)(self._reader)

    def shape(self, number: int) -> Shape:
        """Extents of a scan along k, j, i."""
        k, j, i = self.shapes[number].tolist()
        return k, j, i

    def spacing(self, number: int) -> tuple[float, float, float]:
        """Spacing of a scan in mm along k, j, i."""
        i, j, k = spacing_of(self.ijk_to_ras[number]).tolist()
        return k, j, i

    def read(self, number: int, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
        """The int16 voxels of a box inside a scan, along k, j, i.

        Raises:
            DamagedScanError: the scan is missing or damaged; the message names it.
        """
        return self.reader(number).read(_three(start), _three(size))

    def body_share(self, number: int, start: Sequence[int], size: Sequence[int]) -> float:
        """Estimate the share of the body in a box, from the shares of its chunks, without reading voxels.

        Raises:
            DamagedScanError: the scan is missing or damaged.
        """
        body = self.reader(number).body
        parts, weights = [], []
        for first, extent, count in zip(start, size, body.shape, strict=True):
            low, high = first // CHUNK, min(count, -(-(first + extent) // CHUNK))
            edges = np.clip(np.arange(low, high + 1) * CHUNK, first, first + extent)
            parts.append(slice(low, high))
            weights.append(np.diff(edges) / extent)
        k, j, i = weights
        return float(np.einsum("kji,k,j,i", body[tuple(parts)], k, j, i))

    def reader(self, number: int) -> ScanReader:
        """The reader of a scan.

        Raises:
            DamagedScanError: the scan is missing or damaged.
        """
        return self._open(number)

    def _reader(self, number: int) -> ScanReader:
        folder = self.folder / SCANS / self.identities[number]
        return ScanReader(folder, self.shape(number), self.files[number])


def _three(values: Sequence[int]) -> Shape:
    k, j, i = map(int, values)
    return k, j, i
