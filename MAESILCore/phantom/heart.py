"""The heart with its chambers."""

from __future__ import annotations

import numpy as np

from MAESILCore.phantom.labels import Label
from MAESILCore.phantom.lungs import heart_axes, heart_outline
from MAESILCore.phantom.patient import Patient
from MAESILCore.phantom.sampling import Canvas
from MAESILCore.phantom.shapes import carve, ellipsoid, join


def paint_heart(canvas: Canvas, patient: Patient) -> None:
    """Muscle, the blood of four chambers, and the fat in the grooves."""
    region = canvas.region((-100, -55, -60), (70, 85, 95))
    if region is None:
        return
    points, tissues, size = region.points, patient.tissues, patient.heart_size
    outline = heart_outline(patient, points)
    texture, wave = region.texture, patient.waviness(points, 0)
    axes = heart_axes()
    left_wall = ellipsoid(points, (-38, 11, 15), (47 * size, 31 * size, 31 * size), axes)
    muscle = np.float32(tissues.myocardium) + 6 * texture
    blood = np.float32(tissues.blood) + 4 * texture
    canvas.paint(region, outline, muscle, Label.HEART)
    # Fat lies in the grooves between the chambers.
    groove = np.abs(carve(left_wall, ellipsoid(points, (-20, -18, 43), (30, 20, 22)), 6.0) - 3) - 1.3
    canvas.paint(region, np.maximum(groove + 2 * wave, outline + 1.0), tissues.fat + 30, opacity=0.6)
    left = ellipsoid(points, (-33, 9, 17), (39 * size, 20 * size, 20 * size), axes) + 1.2 * texture
    right = ellipsoid(points, (-16, 36, 14), (45 * size, 25 * size, 30 * size), axes)
    right = join(right, ellipsoid(points, (-11, 41, 45), (15, 14, 24)), 10.0)
    right = np.maximum(carve(right, left_wall, 4.0), outline + 3.5)
    atrium_right = np.maximum(ellipsoid(points, (27, 16, 27), (22 * size, 27, 34)), outline + 2)
    atrium_left = np.maximum(ellipsoid(points, (-2, -18, 43), (33 * size, 18, 21)), outline + 2)
    for chamber in (atrium_left, atrium_right, right, left):
        canvas.paint(region, chamber, blood)
