"""Sections of a slice with the boxes of a grid: pure functions on arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Corner pairs of a box's edges; corner n is at the far end of k, j, i where bit 2, 1, 0 of n is set.
_EDGES = np.array([(a, a | bit) for bit in (1, 2, 4) for a in range(8) if not a & bit])


class Sections(NamedTuple):
    """The boxes that a slice cuts, N of them.

    Attributes:
        index: (N,) int64, index of each box, row-major over k, j, i.
        topLeft: (N, 2), the corner of each section nearest to the top left, in pixels x, y; y points up.
        size: (N, 2), width and height of each section in pixels.
    """

    index: np.ndarray
    topLeft: np.ndarray
    size: np.ndarray


def sectionsOf(cornersXyz: np.ndarray) -> Sections:
    """The sections of a grid's boxes with the plane z = 0.

    Args:
        cornersXyz: (Ck + 1, Cj + 1, Ci + 1, 3), crossings of the grid's edges in a slice's x, y, z, pixels.
    """
    ends = (slice(None, -1), slice(1, None))
    boxes = [cornersXyz[ends[n >> 2 & 1], ends[n >> 1 & 1], ends[n & 1]].reshape(-1, 3) for n in range(8)]
    corners = np.stack(boxes, axis=1)
    isAbove = corners[..., 2] >= 0
    index = np.flatnonzero(isAbove.any(axis=1) & ~isAbove.all(axis=1))
    begin, end = corners[index][:, _EDGES[:, 0]], corners[index][:, _EDGES[:, 1]]
    isCut = isAbove[index][:, _EDGES[:, 0]] != isAbove[index][:, _EDGES[:, 1]]
    along = np.divide(begin[..., 2], begin[..., 2] - end[..., 2], out=np.zeros(isCut.shape), where=isCut)
    crossings = (begin + along[..., None] * (end - begin))[..., :2]
    low = np.where(isCut[..., None], crossings, np.inf).min(axis=1)
    high = np.where(isCut[..., None], crossings, -np.inf).max(axis=1)
    farthest = np.where(isCut, crossings[..., 0] - crossings[..., 1], np.inf).argmin(axis=1)
    return Sections(index, crossings[np.arange(len(index)), farthest], high - low)
