"""The vessels inside lungs and liver."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from MAESILCore.phantom.branching import Tree, add_tree, filling, goals_inside, grow_tree
from MAESILCore.phantom.labels import Label
from MAESILCore.phantom.liver import liver_distance
from MAESILCore.phantom.lungs import LEFT, RIGHT, lung_distance
from MAESILCore.phantom.patient import Draw, Patient
from MAESILCore.phantom.sampling import Canvas, Corner, Points, Region
from MAESILCore.phantom.shapes import ellipsoid


class Trees(NamedTuple):
    """The vessel trees of a patient."""

    lung: list[Tree]
    liver: list[Tree]
    mesentery: list[Tree]


_Stem = list[tuple[float, float, float]]

#: Per side: the corners of an artery and of a vein at the hilum, mm.
_LUNG_STEMS: dict[int, tuple[_Stem, _Stem]] = {
    RIGHT: (
        [(26, -9, 66), (36, -10, 63), (44, -12, 58), (50, -18, 46), (54, -26, 32)],
        [(24, -18, 46), (34, -16, 46), (42, -14, 46), (50, -12, 46), (56, -12, 46)],
    ),
    LEFT: (
        [(-30, -8, 82), (-38, -15, 76), (-45, -21, 66), (-49, -26, 52), (-54, -32, 36)],
        [(-28, -18, 46), (-38, -16, 48), (-46, -14, 48), (-52, -12, 48), (-58, -12, 48)],
    ),
}
_LIVER_STEMS: tuple[_Stem, ...] = (
    [(22, -4, -8), (28, 2, -12), (40, 10, -18), (54, 14, -26)],
    [(26, 4, -56), (38, 8, -52), (52, 6, -54), (64, 2, -58)],
)
#: Upper bounds of the classes of radius that are painted one after the other, mm.
_CLASSES = (0.85, 1.3, 2.0, 99.0)
#: Mean radius within each class, mm.
_MEANS = (0.76, 1.05, 1.6, 3.0)


def lung_trees(patient: Patient) -> list[Tree]:
    """An artery tree and a vein tree for each lung."""

    def inside(points: Points) -> np.ndarray:
        return lung_distance(patient, points)

    trees = []
    for side, stems in _LUNG_STEMS.items():
        draw = Draw(patient.seed, 3, side + 1)
        low: Corner = (min(0.0, side * 140.0), -105.0, -85.0)
        high: Corner = (max(0.0, side * 140.0), 105.0, 205.0)
        for stem in stems:
            goals = goals_inside(draw, inside, low, high, 460, 4.0)
            trees.append(grow_tree(draw, np.array(stem, dtype=np.float64), goals, 0.72, 6.2))
    return trees


def liver_trees(patient: Patient) -> list[Tree]:
    """The hepatic veins and the portal vein."""

    def inside(points: Points) -> np.ndarray:
        return liver_distance(patient, points)

    draw = Draw(patient.seed, 4)
    trees = []
    for stem in _LIVER_STEMS:
        goals = goals_inside(draw, inside, (-75, -90, -150), (140, 100, 25), 46, 9.0)
        trees.append(grow_tree(draw, np.array(stem, dtype=np.float64), goals, 1.25, 6.0))
    return trees


def mesenteric_trees(patient: Patient) -> list[Tree]:
    """Vessels in the fat between the loops of bowel."""

    def inside(points: Points) -> np.ndarray:
        return ellipsoid(points, (-4, 40, -165), (84, 36, 74))

    draw = Draw(patient.seed, 7)
    goals = goals_inside(draw, inside, (-90, 0, -245), (85, 80, -90), 60, 3.0)
    stem = [(2.0, 14.0, -112.0), (0.0, 20.0, -124.0), (2.0, 24.0, -138.0), (4.0, 26.0, -150.0)]
    return [grow_tree(draw, np.array(stem), goals, 1.0, 3.2)]


def paint_mesenteric_vessels(canvas: Canvas, patient: Patient, trees: list[Tree]) -> None:
    """Vessels between the loops of bowel."""
    region = canvas.region((-95, -5, -250), (90, 85, -85))
    if region is not None:
        _paint(canvas, region, trees, patient.tissues.venous)


def paint_lung_vessels(canvas: Canvas, patient: Patient, trees: list[Tree]) -> None:
    """Arteries and veins inside the lungs, the thin ones first."""
    region = canvas.region((-145, -110, -100), (145, 115, 210))
    if region is not None:
        _paint(canvas, region, trees, min(patient.tissues.blood, 130.0))


def paint_liver_vessels(canvas: Canvas, patient: Patient, trees: list[Tree]) -> None:
    """Veins inside the liver."""
    region = canvas.region((-80, -95, -160), (145, 105, 30))
    if region is not None:
        _paint(canvas, region, trees, patient.tissues.venous)


def _paint(canvas: Canvas, region: Region, trees: list[Tree], hu: float) -> None:
    thinnest = 0.0
    for thickest, mean in zip(_CLASSES, _MEANS, strict=True):
        field = canvas.distance_field()
        for tree in trees:
            add_tree(canvas, field, tree.between(thinnest, thickest))
        canvas.paint(region, field[region.slices], hu, Label.VESSELS, opacity=filling(mean, canvas.voxel))
        thinnest = thickest
