"""Reads boxes of voxels from the shards of one scan.

This follows the public format of Zarr 3 shards (zarr-specs, codec `sharding_indexed`): encoded chunks, then an index of
(offset, length) pairs with a CRC-32C. zarr-python reads the same files at a tenth of the speed, and tensorstore, which
is as fast, refuses to work in forked processes.
"""

from __future__ import annotations

import os
import threading
import weakref
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.errors import VolumeError
from MAESILCore.optional import require
from MAESILCore.store.layout import BODY, CHUNK, SCANS, VOXELS, Shape, counts_of, shard_of

_CRC_BYTES = 4


class DamagedScanError(VolumeError):
    """A scan of a store that is missing or damaged.

    Attributes:
        reason: the damage, such as "chunk 0, 1, 2 is damaged".
    """

    def __init__(self, name: str, identity: str, reason: str) -> None:
        super().__init__(
            f"The scan {name} of the store cannot be read ({reason}): delete its folder {SCANS}/{identity} in the "
            "store and run maesil prepare again, which reads it anew. maesil prepare --check names all damaged scans."
        )
        self.name, self.identity, self.reason = name, identity, reason

    def __reduce__(self) -> tuple[type[DamagedScanError], tuple[str, str, str]]:
        return DamagedScanError, (self.name, self.identity, self.reason)


class ScanReader:
    """Reads one scan. It may be shared by threads, and by processes through fork.

    Args:
        folder: the scan's folder in the store.
        shape: its extents along k, j, i.
        name: name of the scan in messages.

    Attributes:
        body: (k, j, i) share of voxels above -500 HU in each chunk, float32.

    Raises:
        DamagedScanError: a file is missing or damaged.
    """

    def __init__(self, folder: Path, shape: Shape, name: str) -> None:
        self.shape, self.name, self._identity = shape, name, folder.name
        blosc: Any = require("numcodecs.blosc", "A store")
        # Without threads Blosc keeps no state, so that it works in all threads and in forked processes.
        blosc.use_threads = False
        self._decompress = blosc.decompress
        self._crc: Any = require("google_crc32c", "A store").value
        self._counts = counts_of(shape)
        self._per_shard = tuple(extent // CHUNK for extent in shard_of(shape))
        try:
            self._shards, self._places = self._open(folder / VOXELS / "c")
            self.body = self._body(folder / BODY / "c" / "0" / "0" / "0")
        except OSError as error:
            raise self._damaged(f"{error.strerror or error}") from error

    def read(self, start: Shape, size: Shape) -> np.ndarray:
        """The int16 voxels of a box inside the scan, along k, j, i.

        Raises:
            DamagedScanError: a chunk is missing or damaged.
        """
        box = np.empty(size, dtype=np.int16)
        spans = [
            _spans(first, first + extent, count)
            for first, extent, count in zip(start, size, self._counts, strict=True)
        ]
        for (k, to_k, of_k), (j, to_j, of_j), (i, to_i, of_i) in product(*spans):
            box[to_k, to_j, to_i] = self.chunk(k, j, i)[of_k, of_j, of_i]
        return box

    def chunk(self, k: int, j: int, i: int) -> np.ndarray:
        """A whole chunk, int16 (32, 32, 32); voxels beyond the scan hold its lowest value.

        Raises:
            DamagedScanError: it is missing or damaged.
        """
        content = self._encoded(k, j, i)
        try:
            return np.frombuffer(self._decompress(content), dtype="<i2").reshape(CHUNK, CHUNK, CHUNK)
        except (RuntimeError, ValueError) as error:  # of Blosc, or of another number of voxels
            raise self._damaged(f"chunk {k}, {j}, {i} cannot be decoded") from error

    def verify(self) -> None:
        """Check the checksums of all chunks.

        Raises:
            DamagedScanError: one is missing or damaged.
        """
        for k, j, i in product(*map(range, self._counts)):
            self._encoded(k, j, i)

    def _encoded(self, k: int, j: int, i: int) -> memoryview:
        offset, length = self._places[k, j, i].tolist()
        shard = self._shards[k // self._per_shard[0], j // self._per_shard[1], i // self._per_shard[2]]
        try:
            return self._checked(shard.read(offset, length), f"chunk {k}, {j}, {i}")
        except OSError as error:
            raise self._damaged(error.strerror or str(error)) from error

    def _open(self, folder: Path) -> tuple[dict[Shape, _File], np.ndarray]:
        """The shards by position, and (offset, length) of each chunk in its shard, (k, j, i, 2)."""
        shards: dict[Shape, _File] = {}
        places = np.zeros((*self._counts, 2), dtype=np.int64)
        size = int(np.prod(self._per_shard)) * 16 + _CRC_BYTES
        grid = [-(-count // per) for count, per in zip(self._counts, self._per_shard, strict=True)]
        for k, j, i in product(*map(range, grid)):
            shard = shards[k, j, i] = _File(folder / str(k) / str(j) / str(i))
            content = self._checked(shard.read(shard.size - size, size), "an index of chunks")
            index = np.frombuffer(content, dtype="<i8").reshape(*self._per_shard, 2)
            where = tuple(
                slice(n * per, (n + 1) * per) for n, per in zip((k, j, i), self._per_shard, strict=True)
            )
            inside = places[where]
            inside[...] = index[tuple(map(slice, inside.shape[:3]))]
        return shards, places

    def _body(self, path: Path) -> np.ndarray:
        content = self._checked(path.read_bytes(), "the table of body shares")
        counts = np.frombuffer(content, dtype="<u2")
        if counts.size != np.prod(self._counts):
            raise self._damaged("the table of body shares has another size")
        k, j, i = (
            np.minimum(CHUNK, extent - CHUNK * np.arange(count)).astype(np.float32)
            for extent, count in zip(self.shape, self._counts, strict=True)
        )
        return np.asarray(counts.reshape(self._counts) / np.einsum("k,j,i->kji", k, j, i), dtype=np.float32)

    def _checked(self, content: bytes, what: str) -> memoryview:
        """The content without its CRC-32C."""
        payload, crc = memoryview(content)[:-_CRC_BYTES], content[-_CRC_BYTES:]
        if len(crc) < _CRC_BYTES or self._crc(bytes(payload)) != int.from_bytes(crc, "little"):
            raise self._damaged(f"{what} is damaged")
        return payload

    def _damaged(self, reason: str) -> DamagedScanError:
        return DamagedScanError(self.name, self._identity, reason)


def _spans(first: int, last: int, count: int) -> list[tuple[int, slice, slice]]:
    """The chunks between two voxels of one axis: number, slice of the box, slice of the chunk."""
    spans = []
    for number in range(first // CHUNK, min(count, -(-last // CHUNK))):
        low, high = max(first, number * CHUNK), min(last, (number + 1) * CHUNK)
        origin = number * CHUNK
        spans.append((number, slice(low - first, high - first), slice(low - origin, high - origin)))
    return spans


class _File:
    """A file for reading at offsets, without a position that threads or processes would share."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - threads may still read; see the next line
        weakref.finalize(self, self._file.close)
        self._number, self._lock = self._file.fileno(), threading.Lock()
        self.size = os.fstat(self._number).st_size

    def read(self, offset: int, length: int) -> bytes:
        """The bytes at an offset; fewer at the end of the file."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise OSError("a file is too short")
        if hasattr(os, "pread"):
            return os.pread(self._number, length, offset)
        with self._lock:  # Windows
            self._file.seek(offset)
            return self._file.read(length)
