"""The lungs: what is left of the rib cage beside the mediastinum and above the diaphragm."""

from __future__ import annotations

import numpy as np

from MAESILCore.phantom.labels import Label
from MAESILCore.phantom.patient import Patient
from MAESILCore.phantom.sampling import Canvas, Points
from MAESILCore.phantom.shapes import capsule, ellipsoid, frame, join, meet
from MAESILCore.phantom.spine import spine_envelope
from MAESILCore.phantom.trunk import cage_wall, diaphragm_height

RIGHT, LEFT = 1, -1


def heart_axes() -> np.ndarray:
    """The long axis of the heart points left, forwards and down."""
    return frame((-0.74, 0.50, -0.45), (0.25, 0.75, 0.4))


def heart_outline(patient: Patient, points: Points) -> np.ndarray:
    """Distance to the surface of the heart, mm."""
    size = patient.heart_size
    ventricles = ellipsoid(points, (-26, 22, 17), (56 * size, 42 * size, 37 * size), heart_axes())
    atrium_right = ellipsoid(points, (26, 16, 27), (24 * size, 30, 36))
    atrium_left = ellipsoid(points, (-2, -18, 43), (36 * size, 21, 24))
    cone = ellipsoid(points, (-12, 40, 46), (20, 19, 26))
    heart = join(join(ventricles, atrium_right, 16.0), join(atrium_left, cone, 8.0), 14.0)
    heart = heart + 1.6 * patient.waviness(points, 3)
    return np.maximum(heart, diaphragm_height(patient, points) + np.float32(3) - points.z)


def mediastinum(patient: Patient, points: Points) -> np.ndarray:
    """Distance to all that lies between the lungs, with its fat, mm."""
    heart = heart_outline(patient, points) - 4
    spine = spine_envelope(patient, points)
    x, z = points.x + 3, points.z
    behind = np.clip(-points.y * np.float32(1 / 40), 0, 1)
    half = np.interp(z, [-80, 0, 60, 90, 130, 165, 190, 210], [9, 7, 6, 4, 13, 24, 30, 34]).astype(np.float32)
    middle = np.abs(x) - (half * (1 - 0.4 * behind) + 2)
    great = ellipsoid(points, (-1, 4, 108), (33, 37, 44))
    aorta = capsule(points, (-21, -42, 92), (-14, -32, -90), 16.0, 13.0)
    tissue = join(join(heart, great, 14.0), join(middle, spine, 10.0), 12.0)
    tissue = join(tissue, aorta, 8.0)
    for side in (RIGHT, LEFT):
        hilum = ellipsoid(points, (side * 37 - 3, -9, 61 if side == RIGHT else 67), (15, 17, 23))
        tissue = join(tissue, hilum, 14.0)
    cava = capsule(points, (22, -2, 20), (22, -8, -40), 15.0, 15.0)
    return join(tissue, cava, 10.0) + 1.5 * patient.waviness(points, 4)


def lung_distance(patient: Patient, points: Points) -> np.ndarray:
    """Distance to the surface of both lungs, mm; the sign of x tells which one."""
    wall = cage_wall(patient, points).distance + np.float32(2.2)
    floor = diaphragm_height(patient, points) - points.z
    # The floor is steep near the wall, where its height differs much from the distance to it.
    chest = meet(wall, floor * np.float32(0.75), 5.0)
    return meet(chest, -mediastinum(patient, points), 7.0)


def _fissures(patient: Patient, points: Points) -> np.ndarray:
    """Distance to the thin sheets between the lobes, mm."""
    wave = 3.5 * patient.waviness(points, 1)
    steep = np.float32(0.82)
    right = (points.y * steep - (np.float32(48) - points.z) * np.float32(0.57)) + wave
    left = (points.y * np.float32(0.78) - (np.float32(52) - points.z) * np.float32(0.62)) + wave
    level = np.maximum(np.abs(points.z - 58 - 0.12 * points.y + 1.4 * wave), -right)
    both = np.where(points.x > 0, np.minimum(np.abs(right), level), np.abs(left))
    return np.asarray(both - np.float32(0.35))


def paint_lungs(canvas: Canvas, patient: Patient) -> None:
    """Lung tissue: air with a haze of small vessels, denser towards the back, and the fissures."""
    region = canvas.region((-145, -110, -100), (145, 115, 210))
    if region is None:
        return
    points = region.points
    lung = lung_distance(patient, points)
    texture = region.texture
    coarse = patient.waviness(points, 2)
    tissue = np.float32(-868) - np.float32(0.32) * points.y - 0.06 * points.z + 17 * texture + 9 * coarse
    tissue += 26 * np.maximum(texture - 1.3, 0)
    # Towards the pleura the vessels become too fine to see.
    tissue += 16 * np.exp(np.minimum(lung, 0) * np.float32(1 / 9))
    for side, label in ((RIGHT, Label.LUNG_RIGHT), (LEFT, Label.LUNG_LEFT)):
        canvas.paint(region, np.maximum(lung, -side * (points.x + 3)), tissue, label)
    canvas.paint(region, np.maximum(_fissures(patient, points), lung + 1), -690.0, opacity=0.75)
