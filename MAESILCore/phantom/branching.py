"""Vessel trees that grow into an organ: each goal is joined to the tree where that costs least.

The radii follow Murray's law (Murray 1926, Proc. Natl. Acad. Sci. 12:207), by which the cubes of the radii
add up at a fork; the exponent here is a little lower, as measured in lungs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from MAESILCore.phantom.patient import Draw
from MAESILCore.phantom.sampling import Canvas, Corner, Points
from MAESILCore.phantom.shapes import add_rods

_MURRAY = 2.6
_STEP = 7.0


@dataclass(frozen=True)
class Tree:
    """Rods of a tree.

    Attributes:
        starts: Rows (x, y, z, radius), mm.
        stops: Rows (x, y, z, radius), mm.
    """

    starts: np.ndarray
    stops: np.ndarray

    def between(self, thinnest: float, thickest: float) -> Tree:
        """The rods whose mean radius lies in [thinnest, thickest)."""
        radii = (self.starts[:, 3] + self.stops[:, 3]) / 2
        chosen = (radii >= thinnest) & (radii < thickest)
        return Tree(self.starts[chosen], self.stops[chosen])


def goals_inside(
    draw: Draw, distance: Callable[[Points], np.ndarray], low: Corner, high: Corner, count: int, depth: float
) -> np.ndarray:
    """At most `count` evenly scattered points (N, 3) that lie deeper than `depth` mm in a structure."""
    box = np.asarray(low) + (np.asarray(high) - np.asarray(low)) * draw.array(count * 9, 3)
    x, y, z = (column.astype(np.float32) for column in box.T)
    return box[np.asarray(distance(Points(x, y, z))) < -depth][:count]


class _Growth:
    """A growing tree: nodes, the parent of each, the way from the root and the direction of arrival."""

    def __init__(self, trunk: np.ndarray, capacity: int) -> None:
        self.count = len(trunk)
        self.nodes = np.zeros((capacity, 3))
        self.headings = np.zeros((capacity, 3))
        self.ways = np.zeros(capacity)
        self.parents = np.arange(-1, capacity - 1)
        self.nodes[: self.count] = trunk
        steps = np.diff(trunk, axis=0)
        lengths = np.linalg.norm(steps, axis=1)
        self.headings[1 : self.count] = steps / lengths[:, None]
        self.headings[0] = self.headings[1]
        self.ways[1 : self.count] = np.cumsum(lengths)

    def cheapest(self, goal: np.ndarray, barred: int) -> int:
        """The node to leave from: near, not far from the root, and without turning back."""
        here = slice(barred, self.count)
        offsets = goal - self.nodes[here]
        gaps = np.linalg.norm(offsets, axis=1)
        aligned = (self.headings[here] * offsets).sum(axis=1) / (gaps + 1e-6)
        cost = gaps * (1.65 - 0.65 * aligned) + 0.22 * self.ways[here]
        return barred + int(np.argmin(cost))

    def extend(self, anchor: int, goal: np.ndarray, sway: np.ndarray) -> None:
        """Add a gently bent twig from a node to a goal."""
        start = self.nodes[anchor].copy()
        gap = float(np.linalg.norm(goal - start))
        bend = start + self.headings[anchor] * gap * 0.20 + sway * gap * 0.16 + (goal - start) * 0.25
        previous, pieces = anchor, max(2, int(np.ceil(gap / _STEP)))
        for share in np.arange(1, pieces + 1) / pieces:
            node = (1 - share) ** 2 * start + 2 * share * (1 - share) * bend + share**2 * goal
            step = node - self.nodes[previous]
            length = float(np.linalg.norm(step)) + 1e-9
            self.nodes[self.count], self.parents[self.count] = node, previous
            self.headings[self.count], self.ways[self.count] = step / length, self.ways[previous] + length
            previous, self.count = self.count, self.count + 1

    def twigs(self) -> np.ndarray:
        """How many twigs end below each node."""
        counts = np.zeros(self.count)
        for index in range(self.count - 1, 0, -1):
            counts[index] = max(counts[index], 1.0)
            counts[self.parents[index]] += counts[index]
        return np.maximum(counts, 1.0)


def grow_tree(draw: Draw, trunk: np.ndarray, goals: np.ndarray, tip: float, thickest: float) -> Tree:
    """Grow a tree from the last corners of a trunk.

    Args:
        draw: Random numbers for the bends.
        trunk: Corners of the stem, (N, 3), from its root; branches leave from the second half of it.
        goals: Where twigs shall end, (N, 3).
        tip: Radius of a twig, mm.
        thickest: Largest radius, mm.
    """
    span = float(np.linalg.norm(np.ptp(np.concatenate([trunk, goals]), axis=0)))
    growth = _Growth(trunk, len(trunk) + len(goals) * (3 + int(span / _STEP)))
    order = np.argsort(np.linalg.norm(goals - trunk[-1], axis=1), kind="stable")
    # Some far goals first make the main branches; the rest fills in from the root outwards.
    far = order[::-1][: len(order) // 8]
    barred = len(trunk) // 2
    order = np.concatenate([far, order[: len(order) - len(far)]])
    for index, sway in zip(order, draw.array(len(order), 3) - 0.5, strict=True):
        growth.extend(growth.cheapest(goals[index], barred), goals[index], sway)
    radii = np.minimum(tip * growth.twigs() ** (1 / _MURRAY), thickest)[:, None]
    children = np.arange(max(1, barred), growth.count)
    starts = np.concatenate([growth.nodes[growth.parents[children]], radii[children]], axis=1)
    return Tree(starts, np.concatenate([growth.nodes[children], radii[children]], axis=1))


def add_tree(canvas: Canvas, field: np.ndarray, tree: Tree) -> None:
    """Lower `field` to the distance to a tree."""
    add_rods(canvas, field, tree.starts, tree.stops)


def filling(radius: float, voxel: float) -> float:
    """How much of a voxel a rod thinner than it fills, over what the edge of a thick one would give."""
    share = np.pi * (radius / voxel) ** 2
    return float(min(1.0, share / min(1.0, 0.5 + radius / voxel)))
