"""What fills the belly beside the liver, and the muscles behind it."""

from __future__ import annotations

import numpy as np

from MAESILCore.phantom.labels import Label
from MAESILCore.phantom.patient import Draw, Patient
from MAESILCore.phantom.sampling import Canvas, Region
from MAESILCore.phantom.shapes import add_tube, carve, ellipsoid, frame, meet, smooth_path
from MAESILCore.phantom.trunk import cage_wall, diaphragm_height

_STOMACH = [
    (-50, -40, -24, 24), (-64, -26, -26, 37), (-74, 2, -40, 37), (-72, 26, -70, 29), (-56, 42, -98, 24),
    (-30, 50, -114, 21),
    (-2, 50, -112, 18), (20, 42, -102, 13),
]  # fmt: skip
_DUODENUM = [
    (20, 42, -102, 11),
    (40, 26, -96, 12),
    (44, 10, -118, 12),
    (38, 4, -152, 12),
    (8, 6, -158, 11),
    (-22, 14, -146, 11),
]
_PANCREAS = [
    (34, 14, -112, 12),
    (24, 20, -100, 14),
    (6, 28, -92, 10),
    (-22, 18, -82, 9.5),
    (-50, -8, -74, 9.5),
    (-74, -28, -66, 8),
]
_COLON = [
    (76, 6, -226, 25), (84, 2, -196, 24), (90, 4, -160, 22), (82, 30, -142, 21), (58, 54, -146, 18),
    (22, 60, -152, 16),
    (-22, 60, -150, 16), (-62, 44, -126, 19), (-92, 8, -98, 19), (-98, -22, -116, 17), (-98, -28, -160, 16),
    (-96, -22, -205, 16), (-80, 0, -248, 16), (-40, 4, -280, 16), (0, -20, -310, 15),
]  # fmt: skip


def _tube(canvas: Canvas, region: Region, path: np.ndarray) -> np.ndarray:
    field = canvas.distance_field()
    add_tube(canvas, field, path)
    return np.asarray(field[region.slices])


def paint_back_muscles(canvas: Canvas, patient: Patient) -> None:
    """Psoas and the crura of the diaphragm."""
    region = canvas.region((-90, -80, -420), (90, 40, 0))
    if region is None:
        return
    field = canvas.distance_field()
    for side in (-1, 1):
        psoas = [
            (side * 23, -36, -86, 4), (side * 28, -36, -120, 11), (side * 35, -34, -160, 16),
            (side * 44, -28, -210, 20),
            (side * 56, -6, -260, 21), (side * 72, 14, -330, 20),
        ]  # fmt: skip
        add_tube(canvas, field, smooth_path(psoas))
        crus = [(side * 13, -16, -6, 4), (side * 15, -24, -40, 5), (side * 13, -22, -90, 3.5)]
        add_tube(canvas, field, smooth_path(crus))
    texture = region.texture
    distance = field[region.slices] + 1.2 * patient.waviness(region.points, 1)
    canvas.paint(region, distance, np.float32(patient.tissues.muscle) + 7 * texture)


def paint_diaphragm(canvas: Canvas, patient: Patient) -> None:
    """The muscle between chest and belly, a thin sheet along the wall."""
    region = canvas.region((-145, -110, -110), (145, 115, 30))
    if region is None:
        return
    points = region.points
    height = points.z - diaphragm_height(patient, points)
    sheet = np.maximum(np.abs(height + 1.0) * np.float32(0.8) - 1.2, cage_wall(patient, points).distance)
    canvas.paint(region, sheet, patient.tissues.muscle)


def paint_spleen(canvas: Canvas, patient: Patient) -> None:
    """The spleen, moulded by wall, stomach and kidney."""
    region = canvas.region((-145, -110, -130), (-40, 60, 20))
    if region is None:
        return
    points = region.points
    axes = frame((-0.15, 0.62, -0.75), (1, 0.2, 0))
    spleen = ellipsoid(points, (-102, -38, -50), (60, 32, 44), axes)
    spleen = meet(spleen, cage_wall(patient, points).distance + 5, 6.0)
    spleen = meet(spleen, points.z - diaphragm_height(patient, points) + 4, 6.0)
    spleen = carve(spleen, ellipsoid(points, (-62, 6, -48), (40, 46, 50)), 10.0)
    spleen = carve(spleen, ellipsoid(points, (-62, -42, -104), (34, 32, 60)), 8.0)
    texture = region.texture
    spleen = spleen + 1.2 * patient.waviness(points, 2)
    canvas.paint(region, spleen, np.float32(patient.tissues.spleen) + 5 * texture, Label.SPLEEN)


def paint_kidneys(canvas: Canvas, patient: Patient) -> None:
    """Kidneys with cortex, pyramids and the fat of the sinus; the adrenal glands above them."""
    region = canvas.region((-105, -85, -190), (105, 15, -30))
    if region is None:
        return
    points, tissues = region.points, patient.tissues
    texture = region.texture
    enhanced = tissues.kidney > 60
    for side, middle in ((1, (61.0, -42.0, -122.0)), (-1, (-61.0, -44.0, -108.0))):
        axes = frame((side * 0.22, 0.18, -0.95), (side * 0.75, -0.6, 0.05))
        kidney = ellipsoid(points, middle, (54, 30, 25), axes) + 1.2 * patient.waviness(points, 1)
        hilum = np.subtract(middle, (side * 17, -13, 0))
        sinus = ellipsoid(points, hilum, (24, 17, 13), axes) + 1.5 * texture
        gate = hilum - np.array([side * 10, -8, 0])
        kidney = carve(kidney, ellipsoid(points, gate, (16, 13, 10), axes), 5.0)
        canvas.paint(region, kidney, np.float32(tissues.kidney) + 4 * texture, Label.KIDNEYS)
        # Pyramids point from the cortex towards the sinus, about eight along the kidney.
        ripple = np.cos((points.z - middle[2]) * np.float32(2 * np.pi / 15)) * 3
        pyramids = np.maximum(kidney + 7, -(kidney + 19)) - ripple + 1
        canvas.paint(region, pyramids, tissues.kidney - (42 if enhanced else 3))
        canvas.paint(region, np.maximum(sinus, kidney + 3), -78.0)
        gland = np.abs(points.x - side * 38 - 0.25 * (points.y + 28)) - 2.3
        gland = np.maximum(gland, ellipsoid(points, (side * 38, -28, -62), (9, 15, 14)))
        canvas.paint(region, gland, 72.0 if enhanced else 32.0)


def paint_stomach(canvas: Canvas, patient: Patient) -> None:
    """Stomach with wall, fluid and a bubble of gas at the front; duodenum and pancreas."""
    region = canvas.region((-130, -90, -185), (70, 100, 25))
    if region is None:
        return
    points, tissues = region.points, patient.tissues
    wave, texture = patient.waviness(points, 3), region.texture
    pancreas = _tube(canvas, region, smooth_path(_PANCREAS)) + 2.2 * texture + 1.5 * wave
    canvas.paint(region, pancreas, np.float32(tissues.pancreas) + 6 * texture)
    duodenum = _tube(canvas, region, smooth_path(_DUODENUM)) + 1.5 * wave + 0.7 * texture
    canvas.paint(region, duodenum, tissues.bowel, Label.BOWEL)
    canvas.paint(region, duodenum + 3.0, 22 + 14 * texture)
    stomach = _tube(canvas, region, smooth_path(_STOMACH)) + 3.0 * wave
    stomach = meet(stomach, points.z - diaphragm_height(patient, points) + 3, 5.0)
    stomach = meet(stomach, cage_wall(patient, points).distance + 4, 6.0)
    canvas.paint(region, stomach, tissues.bowel, Label.STOMACH)
    inside = stomach + 3.6 + 0.5 * texture + 0.8 * wave
    canvas.paint(region, inside, 18 + 5 * texture + 12 * wave)
    # Gas collects in front, and its mirror is level.
    canvas.paint(region, np.maximum(inside + 0.6, np.float32(38) - points.y), -960.0)


def paint_bowel(canvas: Canvas, patient: Patient) -> None:
    """Colon with its bulges, stool and gas, and loops of small bowel in the fat between."""
    region = canvas.region((-130, -75, -420), (130, 100, -80))
    if region is None:
        return
    points, tissues = region.points, patient.tissues
    wave, texture = patient.waviness(points, 4), region.texture
    wall = cage_wall(patient, points).distance + 3
    loops = np.maximum(_tube(canvas, region, _loops(patient)) + 0.8 * texture, wall)
    canvas.paint(region, loops, tissues.bowel, Label.BOWEL)
    canvas.paint(region, loops + 2.2, 24 + 16 * texture + 14 * wave)
    colon_path = smooth_path(_COLON, 4.0)
    # The bulges of the colon.
    colon_path[:, 3] *= 1 + 0.14 * np.sin(np.arange(len(colon_path)) * (2 * np.pi * 4 / 27))
    colon = np.maximum(_tube(canvas, region, colon_path) + 2 * wave, wall)
    canvas.paint(region, colon, tissues.bowel - 25, Label.BOWEL)
    stool = np.float32(5) + 55 * texture - 260 * np.maximum(texture - 0.55, 0)
    canvas.paint(region, colon + 2.4, np.maximum(stool, -700))
    gas = np.maximum(colon + 3.0, np.float32(14) - points.y + 26 * wave + np.float32(0.05) * (points.x - 40))
    canvas.paint(region, gas, -950.0)


def _loops(patient: Patient) -> np.ndarray:
    """The winding path of the small bowel, rows (x, y, z, radius)."""
    draw = Draw(patient.seed, 5)
    rows = []
    for layer, z in enumerate(np.arange(-132.0, -330.0, -25.0)):
        order = np.linspace(-1, 1, 7) * (1 if layer % 2 else -1)
        for step, across in enumerate(order):
            sway = draw.array(3) - 0.5
            front = (24 if step % 2 else 46) + 26 * sway[1]
            radius = 11.0 + 3.5 * (sway[0] + sway[2])
            rows.append((58 * across + 14 * sway[0], front, z + 20 * sway[2], radius))
    return smooth_path(rows, 6.0)
