"""The best places of a search, one place per neighbourhood. Needs neither PyTorch nor an index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from MAESILCore.lattice import Triple

#: Boxes of one scan that are nearer than this many boxes along every axis are one place; the best one is kept.
APART = 3

#: Candidates per wanted place at first; more are taken while neighbours use them up.
_CANDIDATES = 64


def best_places(
    scores: np.ndarray,
    places: np.ndarray,
    shapes: Sequence[Triple],
    most: int,
    *,
    apart: int = APART,
    without: tuple[int, Sequence[Triple]] | None = None,
) -> list[tuple[int, int, Triple]]:
    """The rows with the largest scores, best first, one per neighbourhood.

    Args:
        scores: (N,).
        places: (N, 2), number of the scan and of the box of each row.
        shapes: boxes along k, j, i of the lattice of each scan.
        most: number of places.
        apart: of the boxes of one scan that are nearer than this many boxes along every axis, only the best counts.
        without: number of a scan and boxes (k, j, i) there: they and their neighbours are left out.

    Returns:
        Row, number of the scan, and box (k, j, i) of each place.
    """
    count = most * _CANDIDATES
    while True:
        found = _among(min(count, len(scores)), scores, places, shapes, most, apart, without)
        if len(found) == most or count >= len(scores):
            return found
        count *= 8


def _among(
    count: int,
    scores: np.ndarray,
    places: np.ndarray,
    shapes: Sequence[Triple],
    most: int,
    apart: int,
    without: tuple[int, Sequence[Triple]] | None,
) -> list[tuple[int, int, Triple]]:
    """The best places among the `count` best rows."""
    best = np.argpartition(scores, len(scores) - count)[len(scores) - count :]
    # Of equal ones the first row comes first.
    best = best[np.lexsort((best, -scores[best]))]
    taken: dict[int, list[np.ndarray]] = {}
    if without is not None:
        taken[without[0]] = [np.array(box) for box in without[1]]
    found: list[tuple[int, int, Triple]] = []
    for row in best.tolist():
        number, box_number = places[row].tolist()
        box = np.array(np.unravel_index(box_number, shapes[number]))
        near = taken.setdefault(number, [])
        if any(int(np.abs(box - other).max()) < apart for other in near):
            continue
        near.append(box)
        k, j, i = box.tolist()
        found.append((row, number, (k, j, i)))
        if len(found) == most:
            break
    return found
