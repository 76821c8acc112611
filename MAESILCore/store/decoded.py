"""Keeps decoded voxels in memory, for stores of few or small scans."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import numpy as np

from MAESILCore.store.layout import CHUNK, counts_of
from MAESILCore.store.opened import Store

#: Default memory limit in bytes.
LIMIT = 256 << 20


class DecodedScans:
    """The decoded chunks of the scans that are read first, as many as fit into a memory limit.

    No scan is replaced by another: boxes are drawn at random, so that any scan is as likely to be drawn again, and the
    others cost no memory. It may be used by several threads; another process gets an empty one.

    Args:
        store: the store.
        limit: bytes.
    """

    def __init__(self, store: Store, limit: int = LIMIT) -> None:
        self._store, self._limit, self._left = store, limit, limit
        self._scans: dict[int, tuple[np.ndarray, np.ndarray] | None] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[DecodedScans], tuple[Store, int]]:
        return DecodedScans, (self._store, self._limit)

    def read(self, number: int, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
        """See `Store.read`; the voxels must not be changed."""
        kept = self._scan(number)
        if kept is None:
            return self._store.read(number, start, size)
        voxels, is_decoded = kept
        ends = [first + extent for first, extent in zip(start, size, strict=True)]
        chunks = tuple(
            slice(first // CHUNK, -(-end // CHUNK)) for first, end in zip(start, ends, strict=True)
        )
        for missing in np.argwhere(~is_decoded[chunks]).tolist():
            k, j, i = (chunk.start + n for chunk, n in zip(chunks, missing, strict=True))
            place = voxels[tuple(slice(n * CHUNK, (n + 1) * CHUNK) for n in (k, j, i))]
            place[...] = self._store.reader(number).chunk(k, j, i)[tuple(map(slice, place.shape))]
            is_decoded[k, j, i] = True
        return voxels[tuple(map(slice, start, ends))]

    def _scan(self, number: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The voxels of a scan and which chunks of it are decoded; None if it does not fit."""
        with self._lock:
            if number not in self._scans:
                self._scans[number], shape = None, self._store.shape(number)
                size = 2 * math.prod(shape)
                if size <= self._left:
                    self._left -= size
                    self._scans[number] = np.empty(shape, np.int16), np.zeros(counts_of(shape), bool)
            return self._scans[number]
