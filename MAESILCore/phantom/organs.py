"""Organs, vessels and airways."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from MAESILCore.phantom.anatomy import PROFILES, TUBES, Patient, cage_wall
from MAESILCore.phantom.canvas import Canvas, Points, ellipsoid, frame, join, meet, rod, smooth_path
from MAESILCore.phantom.labels import Label

#: The long axis of the heart points left, forwards and down.
_HEART = frame((-0.74, 0.50, -0.45), (0.25, 0.75, 0.4))
_GALL_BLADDER = ((46, 52, -92), (26, 13, 15), frame((0.25, 0.45, -0.85)))
#: Limits of the radius classes of vessels, mm; each class is painted at once.
_CLASSES = (0.0, 0.85, 1.3, 2.0, 99.0)
#: Exponent of the radii at a fork: 3 (Murray 1926, Proc. Natl. Acad. Sci. 12:207), slightly less in lungs.
_MURRAY = 2.6


def _heart_distance(patient: Patient, points: Points) -> np.ndarray:
    """Distance to the surface of the heart, mm."""
    size = patient.heart_size
    ventricles = ellipsoid(points, (-26, 22, 17), (56 * size, 42 * size, 37 * size), _HEART)
    right = join(ventricles, ellipsoid(points, (26, 16, 27), (24 * size, 30, 36)), 16.0)
    left = ellipsoid(points, (-2, -18, 43), (36 * size, 21, 24))
    heart = join(right, join(left, ellipsoid(points, (-12, 40, 46), (20, 19, 26)), 8.0), 14.0)
    return np.maximum(heart + 1.6 * patient.wave(points, 3), patient.diaphragm(points) + 3 - points.z)


def _lung_distance(patient: Patient, points: Points) -> np.ndarray:
    """Distance to the surface of both lungs, mm; the sign of x selects the lung."""
    x, y, z = points
    middle = np.abs(x + 3) - PROFILES.mediastinum_width(z) * (1 - 0.4 * np.clip(-y / 40, 0, 1)) - 2
    between = join(_heart_distance(patient, points) - 4, ellipsoid(points, (-1, 4, 108), (33, 37, 44)), 14.0)
    between = join(between, join(middle, patient.spine_envelope(points), 10.0), 12.0)
    between = join(between, rod(points, (-21, -42, 92, 16), (-14, -32, -90, 13)), 8.0)
    for hilum in ((34, -9, 61), (-40, -9, 67)):
        between = join(between, ellipsoid(points, hilum, (15, 17, 23)), 14.0)
    between = join(between, rod(points, (22, -2, 20, 15), (22, -8, -40, 15)), 10.0)
    between = between + 1.5 * patient.wave(points, 4)
    # The diaphragm is steep near the wall, where height differs from distance.
    chest = meet(cage_wall(points) + 2.2, (patient.diaphragm(points) - z) * 0.75, 5.0)
    return meet(chest, -between, 7.0)


def _liver_distance(patient: Patient, points: Points) -> np.ndarray:
    """Distance to the surface of the liver, mm."""
    x, y, z = points
    wave, other = patient.wave(points, 1), patient.wave(points, 2)
    # The lower face rises from the right edge to the tip of the left lobe; its back is higher.
    below = -34 - 0.62 * patient.liver_size * (x + 50) + 0.10 * (y - 20) + 4 * wave - z
    # Left lobe: only in front of stomach and spine, and thinner towards its tip.
    left = (20 - x) * np.where(x < 20, 0.45, 1.7).astype(np.float32) - y - 16 + 3 * other
    liver = meet(cage_wall(points) + 3.5, (z - patient.diaphragm(points) + 2.5) * 0.8, 4.0)
    liver = meet(meet(liver, below * 0.84, 16.0), left * 0.9, 14.0)
    liver = meet(meet(liver, -74 - x - 0.15 * z, 20.0), 12 - patient.spine_envelope(points), 10.0)
    liver = meet(liver, -ellipsoid(points, (64, -46, -128), (35, 32, 58)), 12.0)
    return meet(liver, 2 - ellipsoid(points, *_GALL_BLADDER), 6.0) + 1.2 * other


def paint_heart(canvas: Canvas, patient: Patient) -> None:
    """Paint the muscle and the blood of four chambers."""
    points, size, texture = canvas.points, patient.heart_size, canvas.texture
    outline = _heart_distance(patient, points)
    wall = ellipsoid(points, (-38, 11, 15), (47 * size, 31 * size, 31 * size), _HEART)
    canvas.paint(outline, patient.hu["heart"] + 6 * texture, Label.HEART)
    atrium = ellipsoid(points, (-2, -18, 43), (33 * size, 18, 21))
    right = ellipsoid(points, (-16, 36, 14), (45 * size, 25 * size, 30 * size), _HEART)
    right = meet(join(right, ellipsoid(points, (-11, 41, 45), (15, 14, 24)), 10.0), -wall, 4.0)
    left = ellipsoid(points, (-33, 9, 17), (39 * size, 20 * size, 20 * size), _HEART) + 1.2 * texture
    atria = np.minimum(atrium, ellipsoid(points, (27, 16, 27), (22 * size, 27, 34)))
    for chamber in (np.maximum(atria, outline + 2), np.maximum(right, outline + 3.5), left):
        canvas.paint(chamber, patient.hu["blood"] + 4 * texture)


def paint_lungs(canvas: Canvas, patient: Patient) -> None:
    """Paint lung tissue: air with a haze of small vessels, denser towards the back."""
    points, texture = canvas.points, canvas.texture
    x, y, z = points
    lung = _lung_distance(patient, points)
    tissue = -868 - 0.32 * y - 0.06 * z + 17 * texture + 26 * np.maximum(texture - 1.3, 0)
    # Near the pleura the vessels are too fine to see.
    tissue = tissue + 9 * patient.wave(points, 2) + 16 * np.exp(np.minimum(lung, 0) / 9)
    for side, label in ((1, Label.LUNG_RIGHT), (-1, Label.LUNG_LEFT)):
        canvas.paint(np.maximum(lung, -side * (x + 3)), tissue, label)


def paint_liver(canvas: Canvas, patient: Patient) -> None:
    """Paint liver tissue and gall bladder."""
    points, texture = canvas.points, canvas.texture
    liver, bladder = _liver_distance(patient, points), ellipsoid(points, *_GALL_BLADDER)
    canvas.paint(liver, patient.hu["liver"] + 5 * texture, Label.LIVER)
    canvas.paint(bladder - 1.0, 62.0, Label.BODY)
    canvas.paint(bladder + 1.0, 10 + 2 * texture)


def paint_spleen(canvas: Canvas, patient: Patient) -> None:
    """Paint the spleen, shaped by wall, diaphragm, stomach and kidney."""
    points = canvas.points
    spleen = ellipsoid(points, (-102, -38, -50), (60, 32, 44), frame((-0.15, 0.62, -0.75), (1, 0.2, 0)))
    spleen = meet(meet(spleen, cage_wall(points) + 5, 6.0), points.z - patient.diaphragm(points) + 4, 6.0)
    for hollow in (((-62, 6, -48), (40, 46, 50)), ((-62, -42, -104), (34, 32, 60))):
        spleen = meet(spleen, -ellipsoid(points, *hollow), 9.0)
    spleen = spleen + 1.2 * patient.wave(points, 2)
    canvas.paint(spleen, patient.hu["spleen"] + 5 * canvas.texture, Label.SPLEEN)


def paint_kidneys(canvas: Canvas, patient: Patient) -> None:
    """Paint kidneys with cortex, pyramids and the fat of the sinus."""
    points, texture, hu = canvas.points, canvas.texture, patient.hu["kidney"]
    for side, middle in ((1, (61, -42, -122)), (-1, (-61, -44, -108))):
        axes = frame((side * 0.22, 0.18, -0.95), (side * 0.75, -0.6, 0.05))
        hilum = (middle[0] - side * 17, middle[1] + 13, middle[2])
        gate = ellipsoid(points, (hilum[0] - side * 10, hilum[1] + 8, hilum[2]), (16, 13, 10), axes)
        kidney = meet(ellipsoid(points, middle, (54, 30, 25), axes), -gate, 5.0) + 1.2 * patient.wave(
            points, 1
        )
        canvas.paint(kidney, hu + 4 * texture, Label.KIDNEYS)
        # Pyramids point from the cortex towards the sinus, about eight along the kidney.
        ripple = np.cos((points.z - middle[2]) * (2 * np.pi / 15)) * 3
        canvas.paint(np.maximum(kidney + 8, -(kidney + 18)) - ripple, hu - (42 if patient.contrast else 3))
        sinus = ellipsoid(points, hilum, (24, 17, 13), axes) + 1.5 * texture
        canvas.paint(np.maximum(sinus, kidney + 3), -78.0)


def paint_belly(canvas: Canvas, patient: Patient) -> None:
    """Paint psoas, diaphragm, small bowel, colon with stool and gas, and stomach."""
    points, texture, hu = canvas.points, canvas.texture, patient.hu
    y, wave = points.y, patient.wave(points, 3)
    wall, height = cage_wall(points), points.z - patient.diaphragm(points)
    diaphragm = np.maximum(np.abs(height + 1.0) * 0.8 - 1.2, wall)
    canvas.paint(np.minimum(canvas.tubes(TUBES["psoas"]) + wave, diaphragm), hu["muscle"] + 7 * texture)
    loops = np.maximum(canvas.tubes(TUBES["small bowel"]) + 0.8 * texture, wall + 3)
    canvas.paint(loops, hu["bowel"], Label.BOWEL)
    canvas.paint(loops + 2.2, 24 + 16 * texture + 14 * wave)
    path = smooth_path(TUBES["colon"][0], 4.0)
    # The bulges of the colon.
    path[:, 3] *= 1 + 0.14 * np.sin(np.arange(len(path)) * (2 * np.pi * 4 / 27))
    colon = np.maximum(canvas.rods(path[:-1], path[1:]) + 2 * wave, wall + 3)
    canvas.paint(colon, hu["bowel"] - 25, Label.BOWEL)
    canvas.paint(colon + 2.4, np.maximum(5 + 55 * texture - 260 * np.maximum(texture - 0.55, 0), -700))
    canvas.paint(np.maximum(colon + 3.0, 14 - y + 26 * wave + 0.05 * (points.x - 40)), -950.0)
    stomach = meet(meet(canvas.tubes(TUBES["stomach"]) + 3.0 * wave, height + 3, 5.0), wall + 4, 6.0)
    canvas.paint(stomach, hu["bowel"], Label.STOMACH)
    inside = stomach + 3.6 + 0.5 * texture + 0.8 * wave
    canvas.paint(inside, 18 + 5 * texture + 12 * wave)
    # Gas collects in front, with a horizontal air-fluid level.
    canvas.paint(np.maximum(inside + 0.6, 38 - y), -960.0)


def lung_trees(patient: Patient) -> np.ndarray:
    """Arteries and veins of both lungs as rods: (2, N, 4) starts and stops with rows (x, y, z, radius)."""
    trees = []
    for number, stem in enumerate(TUBES["lung stems"]):
        draw, side = patient.random(30 + number), np.sign(stem[0][0])
        goals = draw.uniform((0, -105, -85), (140, 105, 205), (4000, 3)) * (side, 1, 1)
        inside = _lung_distance(patient, Points(*goals.T.astype(np.float32))) < -4
        trees.append(_grow(draw, np.array(stem, dtype=np.float64), goals[inside][:460]))
    return np.concatenate(trees, axis=1)


def _grow(draw: np.random.RandomState, trunk: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """Join each goal to the tree at the lowest cost; branches leave from the second half of the trunk."""
    nodes, parents = trunk, [*range(-1, len(trunk) - 1)]
    headings = np.diff(trunk, axis=0, prepend=trunk[:1])
    ways = np.cumsum(np.linalg.norm(headings, axis=1))
    barred = len(trunk) // 2
    order = np.argsort(np.linalg.norm(goals - trunk[-1], axis=1), kind="stable")
    # Some far goals make the main branches first; the others follow from the root outwards.
    far = len(order) // 8
    for goal in goals[np.concatenate([order[::-1][:far], order[:-far]])]:
        offsets, directions = goal - nodes[barred:], headings[barred:]
        gaps = np.linalg.norm(offsets, axis=1) + 1e-6
        aligned = (directions * offsets).sum(axis=1) / gaps / np.linalg.norm(directions, axis=1)
        # Cost: distance to the goal, length to the root, and change of direction.
        anchor = barred + int(np.argmin(gaps * (1.65 - 0.65 * aligned) + 0.22 * ways[barred:]))
        start, gap = nodes[anchor], gaps[anchor - barred]
        heading = headings[anchor] / np.linalg.norm(headings[anchor])
        bend = start + (goal - start) * 0.25 + (heading * 0.20 + draw.uniform(-0.08, 0.08, 3)) * gap
        share = np.linspace(0, 1, max(3, int(np.ceil(gap / 7.0)) + 1))[:, None]
        twig = (1 - share) ** 2 * start + 2 * share * (1 - share) * bend + share**2 * goal
        parents += [anchor, *range(len(nodes), len(nodes) + len(twig) - 2)]
        steps = np.diff(twig, axis=0)
        headings = np.concatenate([headings, steps])
        ways = np.append(ways, ways[anchor] + np.cumsum(np.linalg.norm(steps, axis=1)))
        nodes = np.concatenate([nodes, twig[1:]])
    twigs = np.zeros(len(nodes))
    for index in range(len(nodes) - 1, 0, -1):
        twigs[index] = max(twigs[index], 1.0)
        twigs[parents[index]] += twigs[index]
    radii = np.minimum(0.72 * twigs ** (1 / _MURRAY), 6.2)[barred:, None]
    return np.stack([np.hstack([nodes[parents[barred:]], radii]), np.hstack([nodes[barred:], radii])])


def paint_tree(canvas: Canvas, tree: np.ndarray, hu: float) -> None:
    """Paint a vessel tree, thin vessels first; those thinner than a voxel are painted with partial opacity."""
    for low, high in pairwise(_CLASSES):
        rods = tree[:, (tree[1, :, 3] >= low) & (tree[1, :, 3] < high)]
        mean = float(rods[1, :, 3].mean()) / canvas.voxel if rods.size else 1.0
        opacity = min(1.0, np.pi * mean**2 / min(1.0, 0.5 + mean))
        canvas.paint(canvas.rods(rods[0], rods[1]), hu, Label.VESSELS, opacity)


def paint_trunks(canvas: Canvas, patient: Patient) -> None:
    """Paint oesophagus, great vessels, trachea and bronchi, each with its wall."""
    hu = patient.hu
    for name, label, wall, inside, lumen in (
        ("gullet", None, 0.0, hu["muscle"] - 14, -60.0),
        ("veins", Label.VESSELS, 0.8, 45.0, hu["vein"]),
        ("pulmonary vessels", Label.VESSELS, 0.8, 45.0, hu["blood"]),
        ("arteries", Label.VESSELS, 0.8, 45.0, hu["artery"]),
        ("airways", Label.AIRWAYS, 1.0, 10.0, -985.0),
    ):
        distance = canvas.tubes(TUBES[name])
        canvas.paint(distance - wall, inside, label)
        canvas.paint(distance + (0.0 if label else 6.4), lumen + 3 * canvas.texture, label)
