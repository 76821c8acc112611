"""The trunk: rib cage and diaphragm as surfaces, skin, fat and muscle, and the table below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MAESILCore.phantom.labels import Label
from MAESILCore.phantom.patient import Curve, Patient
from MAESILCore.phantom.sampling import Canvas, Points, Region
from MAESILCore.phantom.shapes import Ellipsoid, frame, join, meet

_SQUARENESS = np.float32(2.3)
#: Thickness of the muscles outside the rib cage by direction and height, mm.
_SIDE = Curve(
    (230, 60), (200, 40), (178, 16), (150, 13), (90, 13), (40, 13), (0, 12), (-60, 13), (-120, 17), (-320, 19)
)
_FRONT = Curve(
    (230, 60), (200, 34), (175, 18), (120, 17), (70, 15), (30, 9), (-20, 8), (-120, 10), (-320, 11)
)
_BACK = Curve((230, 70), (190, 48), (150, 31), (80, 24), (0, 22), (-80, 29), (-150, 36), (-320, 36))


@dataclass(frozen=True)
class Wall:
    """Where a point lies with respect to the rib cage.

    Attributes:
        distance: Distance from the inside of the cage along the ray from its axis, mm, negative inside.
        side: Share of the direction that points sideways, 0 to 1.
        front: Share that points forwards.
        back: Share that points backwards.
    """

    distance: np.ndarray
    side: np.ndarray
    front: np.ndarray
    back: np.ndarray


def _superellipse(
    x: np.ndarray, y: np.ndarray, width: np.ndarray, depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distance along the ray from the centre to the outline, and the distance to the centre, mm."""
    gauge = np.abs(x / width) ** _SQUARENESS + np.abs(y / depth) ** _SQUARENESS
    gauge = np.maximum(gauge, np.float32(1e-6)) ** (1 / _SQUARENESS)
    radius = np.sqrt(x * x + y * y) + np.float32(1e-4)
    return radius - radius / gauge, radius


def cage_wall(patient: Patient, points: Points) -> Wall:
    """The rib cage (below it, the abdominal wall) seen from each point."""
    y = points.y - patient.cage_y(points.z)
    distance, radius = _superellipse(points.x, y, patient.cage_width(points.z), patient.cage_depth(points.z))
    side, forwards = points.x / radius, y / radius
    return Wall(
        distance=distance,
        side=side * side,
        front=np.maximum(forwards, 0) ** 2,
        back=np.maximum(-forwards, 0) ** 2,
    )


def cage_point(patient: Patient, angle: float, z: float, offset: float, side: int) -> np.ndarray:
    """The point `offset` mm outside the cage; the angle runs from the back (0) to the front (180 degrees)."""
    width, depth = float(patient.cage_width(z)), float(patient.cage_depth(z))
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    power = float(_SQUARENESS)
    radius = ((abs(sine) / width) ** power + (abs(cosine) / depth) ** power) ** (-1 / power) + offset
    return np.array([side * radius * sine, float(patient.cage_y(z)) - radius * cosine, z])


def _dome(
    points: Points, centre: tuple[float, float], top: float, radii: tuple[float, float, float]
) -> np.ndarray:
    """Height of one half of the diaphragm; `radii` to the side, to the front and to the back, mm."""
    y = points.y - np.float32(centre[1])
    depth = np.where(y > 0, np.float32(radii[1]), np.float32(radii[2]))
    square = ((points.x - np.float32(centre[0])) / np.float32(radii[0])) ** 2 + (y / depth) ** 2
    inner = np.minimum(square, np.float32(0.94))
    return np.float32(top) - 72 * (1 - np.sqrt(1 - inner)) - 62 * (square - inner)


def diaphragm_height(patient: Patient, points: Points) -> np.ndarray:
    """Height of the top of the diaphragm above each (x, y), mm."""
    right = _dome(points, (64, 12), patient.right_dome, (70, 104, 80))
    left = _dome(points, (-66, 8), patient.left_dome, (68, 98, 78))
    middle = _dome(points, (-4, 26), patient.left_dome - 9, (70, 84, 62))
    return -join(join(-right, -left, 20.0), -middle, 12.0) + 2.5 * patient.waviness(
        Points(points.x, points.y, points.z * 0), 1
    )


def _skin_and_muscle_limit(canvas: Canvas, patient: Patient) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the skin, and to the surface below which muscle may lie, mm."""
    points = canvas.points
    y = points.y - patient.body_y(points.z)
    base, radius = _superellipse(points.x, y, patient.body_width(points.z), patient.body_depth(points.z))
    wave = patient.waviness(points, 0)
    forwards = y / radius
    belly = np.clip((np.float32(40) - points.z) * np.float32(1 / 160), 0, 1)
    amount = 0.25 + 0.55 * belly + 0.2 * forwards * belly
    slim = np.clip((np.float32(250) - points.z) * np.float32(1 / 90), np.float32(0.12), 1)
    skin = base - 0.8 * wave - np.float32(patient.fat) * amount * slim
    if patient.female:
        _add_breasts(canvas, patient, skin)
    # The furrow along the spine, then the back flattened by the table.
    skin += np.float32(3.5) * np.exp(-((points.x / np.float32(14)) ** 2)) * np.maximum(-forwards, 0)
    return meet(skin, -(points.y - np.float32(back_level(patient))), 14.0), base + np.float32(4) + 2 * wave


def _add_breasts(canvas: Canvas, patient: Patient, skin: np.ndarray) -> None:
    """Let the distance to the skin run over the breasts, in place."""
    blend = 22.0
    for side in (-1, 1):
        breast = Ellipsoid((side * 74, 92, 38), (57, 30 + 0.7 * patient.fat, 50))
        region = canvas.region(*breast.bounds(blend + 6))
        if region is not None:
            here = skin[region.slices]
            here[...] = join(here, breast.distance(region.points), blend)


def back_level(patient: Patient) -> float:
    """The y at which the back lies on the mattress, mm."""
    return -112.5 - 0.35 * patient.fat


def paint_trunk(canvas: Canvas, patient: Patient) -> None:
    """Skin, fat, breasts and the muscles of the wall; the cavity is left filled with fat."""
    points, tissues = canvas.points, patient.tissues
    region = Region((slice(None), slice(None), slice(None)), points, canvas.texture)
    skin, limit = _skin_and_muscle_limit(canvas, patient)
    wall = cage_wall(patient, points)
    texture = region.texture
    fat = np.float32(tissues.fat) + 5 * texture
    canvas.paint(region, skin, 8.0, Label.BODY)
    canvas.paint(region, skin + 1.9, fat)
    if patient.female:
        _paint_glands(canvas, skin)
    thickness = _SIDE(points.z) * wall.side + _FRONT(points.z) * wall.front + _BACK(points.z) * wall.back
    thickness -= 1.2 * patient.waviness(points, 2)
    muscle = np.maximum(meet(limit, wall.distance - thickness, 6.0), skin + 4)
    canvas.paint(region, muscle, np.float32(tissues.muscle) + 7 * texture)
    _paint_shoulder_muscles(canvas, patient, np.maximum(limit - 3, skin + 4))
    _paint_fat_planes(canvas, region, patient, wall, muscle)
    canvas.paint(region, np.maximum(wall.distance - 0.5, skin + 6), fat)


def _paint_glands(canvas: Canvas, skin: np.ndarray) -> None:
    for side in (-1, 1):
        gland = Ellipsoid((side * 76, 100, 38), (32, 20, 28))
        region = canvas.region(*gland.bounds(25))
        if region is not None:
            distance = gland.distance(region.points) + 7 * region.texture
            canvas.paint(region, np.maximum(distance, skin[region.slices] + 6), 20.0, opacity=0.8)


#: The muscles around the shoulder blade and in the two folds of the armpit, of the right side:
#: centre, half-axes, direction of the first of these and of the second.
_SHOULDER = (
    ((104, -66, 108), (68, 42, 13), (-0.10, 0.10, 1.0), (0.80, 0.60, 0.0)),
    ((112, -86, 112), (62, 40, 12), (-0.12, 0.10, 1.0), (0.80, 0.60, 0.0)),
    ((139, -44, 92), (78, 32, 14), (0.08, 0.12, 1.0), (-0.25, 0.97, 0.0)),
    ((90, 52, 128), (62, 46, 11), (0.86, -0.42, 0.42), (0.2, 0.45, -0.9)),
    ((136, -12, 172), (30, 24, 34), (0.6, -0.3, 0.7), (0.0, 1.0, 0.0)),
    ((54, -78, 186), (66, 40, 20), (0.86, 0.20, -0.40), (0.2, 0.4, 0.9)),
)  # fmt: skip


def _paint_shoulder_muscles(canvas: Canvas, patient: Patient, limit: np.ndarray) -> None:
    for side in (1, -1):
        for centre, radii, first, second in _SHOULDER:
            flip = np.where(np.arange(3) == 0, side, 1)
            muscle = Ellipsoid(np.multiply(centre, flip), radii, frame(flip * first, flip * second))
            region = canvas.region(*muscle.bounds(5))
            if region is None:
                continue
            distance = muscle.distance(region.points) + 2 * patient.waviness(region.points, 2)
            distance = np.maximum(distance, limit[region.slices])
            # A film of fat keeps neighbouring muscles apart.
            canvas.paint(region, distance - 1.2, patient.tissues.fat)
            canvas.paint(region, distance, np.float32(patient.tissues.muscle) + 7 * region.texture)


def _paint_fat_planes(
    canvas: Canvas, region: Region, patient: Patient, wall: Wall, muscle: np.ndarray
) -> None:
    """The thin layers of fat between the muscles of the wall, and the white line at the front."""
    points, fat = region.points, patient.tissues.fat
    wave, other = patient.waviness(points, 3), patient.waviness(points, 4)
    for depth, swing in ((11.5, wave), (19.0, other), (29.0, wave - other)):
        sheet = np.abs(wall.distance - np.float32(depth) - 1.6 * swing) - np.float32(0.7)
        canvas.paint(region, np.maximum(sheet, muscle + 2), fat, opacity=0.75)
    middle = np.abs(points.x + 2 * wave) - 3.5
    front = np.maximum(np.maximum(middle, 20 - points.y), points.z + 45)
    canvas.paint(region, np.maximum(front, muscle + 1), fat, opacity=0.9)


def paint_table(canvas: Canvas, patient: Patient) -> None:
    """The table: a thin curved shell filled with foam, and a mattress on it; label 0."""
    level = back_level(patient)
    region = canvas.region((-265, level - 75, -1e4), (265, level + 70, 1e4))
    if region is None:
        return
    x, y = region.points.x, region.points.y
    rise = x * x
    top = y - np.float32(level - 13) - rise * np.float32(1 / 1900)
    bottom = y - np.float32(level - 42) - rise * np.float32(1 / 1250)
    inside = np.maximum(np.maximum(top, -bottom), np.abs(x) - 235)
    mattress = np.maximum(
        np.maximum(y - np.float32(level + 1) - rise * np.float32(1 / 2300), -top), np.abs(x) - 205
    )
    canvas.paint(region, mattress, -962.0)
    canvas.paint(region, inside, -935.0)
    canvas.paint(region, np.maximum(np.abs(inside + 1.2) - 1.2, -bottom - 30), -240.0)
