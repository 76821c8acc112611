"""Ribs and their cartilage, breast bone, shoulder blades, collar bones, and the wings of the pelvis."""

from __future__ import annotations

import numpy as np

from MAESILCore.phantom.labels import Label
from MAESILCore.phantom.patient import Patient
from MAESILCore.phantom.sampling import Canvas, Region
from MAESILCore.phantom.shapes import add_strap, add_tube, meet, smooth_path, unit
from MAESILCore.phantom.spine import vertebra_height
from MAESILCore.phantom.trunk import back_level, cage_point, cage_wall

#: Per pair: the angle from the back at which bone ends (degrees), how far it has sunk there (mm).
_RIBS = (
    (146, 30), (150, 42), (151, 56), (151, 70), (150, 82), (147, 92), (142, 98), (134, 98), (125, 92),
    (114, 80), (84, 46),
    (58, 26),
)  # fmt: skip
#: Where the cartilage of ribs 1 to 7 meets the breast bone: height, mm.
_JOINTS = (141, 110, 87, 65, 44, 26, 12)
_CAGE_MIDDLE = 4.2


def _rib_path(patient: Patient, number: int, side: int) -> np.ndarray:
    """Rows (x, y, z, half thickness, half breadth) from the vertebra to the end of the bone."""
    end, sink = _RIBS[number - 1]
    top = vertebra_height(patient, number) + 6.0
    spine_x, spine_y = float(patient.spine_x(top)), float(patient.spine_y(top))
    head = np.array([spine_x + side * 17, spine_y - 13, top])
    neck = np.array([spine_x + side * 33, spine_y - 27, top + 1])
    if number == 1:
        head, neck = head + np.array([0, 2, -2]), neck + np.array([-side * 4, 6, -1])
    rows = [head, neck]
    for angle in np.linspace(max(32.0, 20 + 1.2 * number), end, 9):
        share = (1 - np.cos(np.radians(angle * 180 / 165))) / (1 - np.cos(np.radians(end * 180 / 165)))
        rows.append(cage_point(patient, float(angle), top - sink * float(share), _CAGE_MIDDLE, side))
    thickness = np.interp(np.arange(len(rows)), [0, 1, 3, 10], [3.2, 3.4, 3.9, 3.2])
    breadth = np.interp(np.arange(len(rows)), [0, 1, 3, 10], [4.2, 4.6, 6.4, 6.8])
    return smooth_path([[*row, t, b] for row, t, b in zip(rows, thickness, breadth, strict=True)], 7.0)


def _cartilage_path(patient: Patient, number: int, side: int, rib: np.ndarray) -> np.ndarray:
    """From the end of a rib up to the breast bone, or (8 to 10) to the cartilage above."""
    start = rib[-1, :3]
    if number <= 7:
        goal_z = float(_JOINTS[number - 1])
        goal = cage_point(patient, 180 - 8.5, goal_z, 5.5, side)
    else:
        above = {8: (150, -32.0), 9: (141, -60.0), 10: (131, -84.0)}[number]
        goal = cage_point(patient, above[0], above[1], 4.0, side)
    rows = [start]
    for share in (0.3, 0.65, 0.88):
        angle = np.degrees(np.arctan2(abs(start[0]), float(patient.cage_y(start[2])) - start[1]))
        goal_angle = np.degrees(np.arctan2(abs(goal[0]), float(patient.cage_y(goal[2])) - goal[1]))
        # Cartilage first follows the rib, then turns up.
        lift = share**1.8
        z = start[2] + (goal[2] - start[2]) * lift
        rows.append(cage_point(patient, angle + (goal_angle - angle) * share, float(z), 4.6, side))
    rows.append(goal)
    return smooth_path([[*row, 3.4, 5.6] for row in rows], 7.0)


def _normals(patient: Patient, path: np.ndarray) -> np.ndarray:
    """Outwards from the axis of the cage at each row of a path."""
    centre = np.stack([np.zeros(len(path)), patient.cage_y(path[:, 2]), path[:, 2]], axis=1)
    return np.stack([unit(row) for row in path[:, :3] - centre])


def paint_ribs(canvas: Canvas, patient: Patient) -> None:
    """Twelve pairs of ribs with their cartilage."""
    bone, cartilage = canvas.distance_field(), canvas.distance_field()
    for side in (-1, 1):
        for number in range(1, 13):
            path = _rib_path(patient, number, side)
            add_strap(canvas, bone, path, _normals(patient, path))
            if number <= 10:
                path = _cartilage_path(patient, number, side, path)
                add_strap(canvas, cartilage, path, _normals(patient, path))
    region = canvas.region((-190, -150, -190), (190, 150, 230))
    if region is None:
        return
    cartilage, bone = cartilage[region.slices], bone[region.slices]
    canvas.paint(region, cartilage, 105 + 22 * region.texture, Label.RIBS)
    _paint_bone(canvas, region, bone, Label.RIBS, shell=1.3, marrow=190)


def _paint_bone(
    canvas: Canvas,
    region: Region,
    distance: np.ndarray,
    label: Label,
    shell: float,
    marrow: float,
) -> None:
    canvas.paint(region, distance, 640 + 80 * region.texture, label)
    canvas.paint(region, distance + shell, marrow + 45 * region.texture)


def paint_sternum(canvas: Canvas, patient: Patient) -> None:
    """Handle, body and tip of the breast bone."""
    region = canvas.region((-36, 30, -40), (36, 150, 165))
    if region is None:
        return
    points = region.points
    wall = cage_wall(patient, points)
    half = np.interp(
        points.z, [-34, -12, 2, 30, 70, 100, 108, 116, 140, 152], [3, 5, 14, 17, 14, 13, 13, 19, 25, 22]
    )
    across = np.abs(points.x) - half.astype(np.float32)
    through = np.abs(wall.distance - np.float32(6.2)) - np.float32(5.0)
    # A notch at the top, a joint between handle and body.
    top = points.z - (np.float32(147) + 0.012 * points.x**2)
    bone = meet(meet(across, through, 5.0), np.maximum(top, -30 - points.z), 4.0)
    bone = np.maximum(bone, 1.6 - np.abs(points.z - 105))
    _paint_bone(canvas, region, bone, Label.STERNUM, shell=1.2, marrow=130)


def paint_shoulders(canvas: Canvas, patient: Patient) -> None:
    """Collar bones and shoulder blades, the blades turned out as they are with the arms up."""
    field = canvas.distance_field()
    for side in (-1, 1):
        clavicle = [
            (side * 19, 66, 150, 8.5), (side * 44, 60, 165, 6.2), (side * 74, 38, 178, 5.4),
            (side * 104, 8, 182, 5.6),
            (side * 124, -12, 178, 6.5),
        ]  # fmt: skip
        add_tube(canvas, field, smooth_path(clavicle))
        ridge = [(side * 66, -84, 128, 4.0), (side * 100, -78, 148, 5.5), (side * 130, -44, 172, 7.0)]
        add_tube(canvas, field, smooth_path(ridge))
        socket = [(side * 138, -30, 150, 11.0), (side * 130, -42, 140, 8.0)]
        add_tube(canvas, field, np.array(socket))
        border = [cage_point(patient, 64 - 0.13 * (z - 20), z, 19.0, side) for z in (22, 60, 100, 130)]
        border.append(np.array([side * 132, -40, 142]))
        add_tube(canvas, field, smooth_path([[*row, 3.6] for row in border]))
    region = canvas.region((-175, -140, 5), (175, 90, 205))
    if region is None:
        return
    points = region.points
    wall = cage_wall(patient, points)
    spread = np.degrees(np.arctan2(np.abs(points.x), patient.cage_y(points.z) - points.y))
    # The blade is a thin sheet over the cage, a triangle in (angle, height).
    sheet = np.abs(wall.distance - np.float32(18.5) - 2 * patient.waviness(points, 2)) - np.float32(1.7)
    inner = (np.float32(34) + np.float32(0.06) * (150 - points.z) - spread) * np.float32(1.6)
    outer = (spread - (np.float32(66) - np.float32(0.13) * (points.z - 20))) * np.float32(1.6)
    blade = np.maximum(np.maximum(sheet, np.maximum(inner, outer)), np.maximum(points.z - 146, 22 - points.z))
    joined = np.minimum(
        field[region.slices], np.maximum(blade, np.float32(back_level(patient) + 14) - points.y)
    )
    _paint_bone(canvas, region, joined, Label.SHOULDER_GIRDLE, shell=1.4, marrow=230)


def paint_pelvis(canvas: Canvas, patient: Patient) -> None:
    """The wings of the pelvis, for grids that reach so far down."""
    region = canvas.region((-180, -140, -420), (180, 120, -200))
    if region is None:
        return
    points = region.points
    wall = cage_wall(patient, points)
    spread = np.degrees(np.arctan2(np.abs(points.x), patient.cage_y(points.z) - points.y))
    sheet = np.abs(wall.distance - np.float32(1) + 0.12 * np.maximum(-points.z - 240, 0)) - np.float32(4.5)
    crest = points.z - (np.float32(-212) - np.float32(0.011) * (spread - 78) ** 2)
    wing = meet(sheet, np.maximum(crest, np.abs(spread - 74) - 48), 4.0)
    _paint_bone(canvas, region, wing, Label.PELVIS, shell=1.6, marrow=190)
