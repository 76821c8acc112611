"""The liver and the gall bladder."""

from __future__ import annotations

import numpy as np

from MAESILCore.phantom.labels import Label
from MAESILCore.phantom.patient import Patient
from MAESILCore.phantom.sampling import Canvas, Points
from MAESILCore.phantom.shapes import carve, ellipsoid, frame, meet
from MAESILCore.phantom.spine import spine_envelope
from MAESILCore.phantom.trunk import cage_wall, diaphragm_height

GALL_BLADDER = ((46.0, 52.0, -92.0), (26.0, 13.0, 15.0), frame((0.25, 0.45, -0.85)))


def liver_distance(patient: Patient, points: Points) -> np.ndarray:
    """Distance to the surface of the liver, mm."""
    wave, other = patient.waviness(points, 1), patient.waviness(points, 2)
    size = patient.liver_size
    wall = cage_wall(patient, points).distance + 3.5
    top = points.z - diaphragm_height(patient, points) + np.float32(2.5)
    # The lower face rises from the right edge to the tip of the left lobe; the back of it lies higher.
    lower = np.float32(-34) - np.float32(0.62 * size) * (points.x + 50) + 0.10 * (points.y - 20) + 4 * wave
    below = (lower - points.z) * np.float32(0.84)
    # Left lobe: only in front of stomach and spine, and thinner towards its tip.
    aside = np.float32(20) - points.x
    left = aside * np.where(aside > 0, np.float32(0.45), np.float32(1.7)) - (points.y + 16) + 3 * other
    left = left * np.float32(0.9)
    tip = np.float32(-74) - points.x - 0.15 * points.z
    liver = meet(meet(wall, top * np.float32(0.8), 4.0), below, 16.0)
    liver = meet(meet(liver, left, 14.0), tip, 20.0)
    liver = carve(liver, spine_envelope(patient, points) - 12, 10.0)
    liver = carve(liver, ellipsoid(points, (64, -46, -128), (35, 32, 58)), 12.0)
    liver = carve(liver, ellipsoid(points, *GALL_BLADDER) - 2, 6.0)
    return liver + 1.2 * other


def paint_liver(canvas: Canvas, patient: Patient) -> None:
    """Liver tissue, the fissure of the round ligament, and the gall bladder."""
    region = canvas.region((-85, -100, -175), (145, 110, 35))
    if region is None:
        return
    points = region.points
    liver = liver_distance(patient, points)
    texture = region.texture
    canvas.paint(region, liver, np.float32(patient.tissues.liver) + 5 * texture, Label.LIVER)
    ligament = np.abs(points.x - 8 - 0.2 * points.y - 2 * patient.waviness(points, 3)) - 1.8
    front = np.maximum(28 - points.y, points.z + 42)
    canvas.paint(region, np.maximum(np.maximum(ligament, front), liver + 2), -70.0)
    bladder = ellipsoid(points, *GALL_BLADDER)
    canvas.paint(region, bladder - 1.0, 62.0, Label.BODY)
    canvas.paint(region, bladder + 1.0, 10 + 2 * texture)
