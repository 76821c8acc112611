"""Trunk, table and skeleton."""

from __future__ import annotations

import numpy as np

from MAESILCore.phantom.anatomy import (
    FAT,
    PROFILES,
    TABLES,
    TUBES,
    Patient,
    cage_point,
    cage_wall,
    superellipse,
)
from MAESILCore.phantom.canvas import Canvas, Points, ellipse, ellipsoid, frame, join, meet
from MAESILCore.phantom.labels import Label

#: Heights of the upper ends of C3 to S6, mm; T1 has index 5, S1 index 22.
_HEIGHTS = [[17.0] * 5, np.linspace(18.5, 27.5, 12), [30, 32, 34, 35, 34], [30.0] * 6]
_TOPS = 275.0 - np.cumsum(np.concatenate([[0.0], *_HEIGHTS]))
_SACRUM = float(_TOPS[22])


def paint_trunk(canvas: Canvas, patient: Patient) -> None:
    """Paint skin, fat and the muscles of the wall; the cavity is filled with fat."""
    _paint_table(canvas, patient)
    points, texture, wave = canvas.points, canvas.texture, patient.wave(canvas.points)
    z, mirrored = points.z, Points(np.abs(points.x), points.y, points.z)
    y = points.y - PROFILES.skin_y(z)
    lean = superellipse(points.x, y, PROFILES.skin_width(z), PROFILES.skin_depth(z))
    forwards = y / (np.hypot(points.x, y) + 1e-4)
    belly, slim = np.clip((40 - z) / 160, 0, 1), np.clip((250 - z) / 90, 0.12, 1)
    skin = lean - 0.8 * wave - patient.fat * (0.25 + 0.55 * belly + 0.2 * forwards * belly) * slim
    if patient.female:
        skin = join(skin, ellipsoid(mirrored, (74, 92, 38), (57, 30 + 0.7 * patient.fat, 50)), 22.0)
    # The furrow along the spine, then the back flattened by the table.
    skin = skin + 3.5 * np.exp(-((points.x / 14) ** 2)) * np.maximum(-forwards, 0)
    skin = meet(skin, patient.back - points.y, 14.0)
    canvas.paint(skin, 8.0, Label.BODY)
    canvas.paint(skin + 1.9, FAT + 5 * texture)
    wall, limit = cage_wall(points), np.maximum(lean + 1 + 2 * wave, skin + 4)
    ahead = np.where(forwards > 0, PROFILES.muscle_front(z), PROFILES.muscle_back(z)) * forwards**2
    thickness = PROFILES.muscle_side(z) * (1 - forwards**2) + ahead - 1.2 * patient.wave(points, 2)
    muscle = meet(limit, wall - thickness, 6.0)
    canvas.paint(muscle, patient.hu["muscle"] + 7 * texture)
    # Films of fat between the layers of the wall, and between the muscles of the shoulders.
    for depth, kind in ((11.5, 3), (19.0, 4)):
        film = np.abs(wall - depth - 1.6 * patient.wave(points, kind)) - 0.7
        canvas.paint(np.maximum(film, muscle + 2), FAT, opacity=0.75)
    for centre, radii, first, second in TABLES["shoulder muscles"]:
        shoulder = np.maximum(ellipsoid(mirrored, centre, radii, frame(first, second)) + 2 * wave, limit)
        canvas.paint(shoulder - 1.2, FAT)
        canvas.paint(shoulder, patient.hu["muscle"] + 7 * texture)
    canvas.paint(wall - 0.5, FAT + 5 * texture)


def _paint_table(canvas: Canvas, patient: Patient) -> None:
    """Paint the table, a thin curved shell filled with foam, and its mattress; label 0."""
    x, y = canvas.points.x, canvas.points.y - patient.back
    top, bottom = y + 13 - x * x / 1900, y + 42 - x * x / 1250
    inside = np.maximum(np.maximum(top, -bottom), np.abs(x) - 235)
    canvas.paint(np.maximum(np.maximum(y - 1 - x * x / 2300, -top), np.abs(x) - 205), -962.0)
    canvas.paint(inside, -935.0)
    canvas.paint(np.maximum(np.abs(inside + 1.2) - 1.2, -bottom - 30), -240.0)


def _paint_bone(canvas: Canvas, distance: np.ndarray, label: Label, shell: float, marrow: float) -> None:
    canvas.paint(distance, 640 + 80 * canvas.texture, label)
    canvas.paint(distance + shell, marrow + 45 * canvas.texture)


def paint_spine(canvas: Canvas, patient: Patient) -> None:
    """Paint vertebrae, discs, canal and cord."""
    z, texture = canvas.points.z, canvas.texture
    x, y = canvas.points.x - patient.spine_x(z), canvas.points.y - PROFILES.spine_y(z)
    width, depth = PROFILES.spine_width(z), PROFILES.spine_depth(z)
    # End plates are perpendicular to the curve of the spine.
    along = z + y * (PROFILES.spine_y(z + 1) - PROFILES.spine_y(z - 1)) / 2
    middle, height = _level(patient, along)
    offset, back = along - middle, y + depth + 7.5
    between = np.abs(offset) - height * 0.415 + 1.2 - 50 * (middle < _SACRUM)
    waist = 0.89 + 0.11 * (offset / (height * 0.5)) ** 2
    # The back of a vertebral body is flat.
    around = np.maximum(ellipse((x, y), (width * waist, depth * waist)), -y - depth * 0.86)
    canal = ellipse((x, back), (10.5, 8.0))
    ring = meet(np.maximum(canal - 4.5, -canal), np.abs(offset - 2.5) - height * 0.3, 3.0)
    reach = np.abs(x) - 10
    wing = ellipse((back + np.maximum(reach, 0) * 0.32 - 1, offset - 2), (4.2, 5.5))
    arch = join(ring, np.maximum(wing, np.maximum(reach - width - 3, -reach)), 5.0)
    # Spinous processes slant down steeply in the chest.
    behind = -9 - back
    slanted = along + PROFILES.spinous_slant(along) * np.maximum(behind, 0)
    middle, height = _level(patient, slanted)
    spinous = meet(np.abs(x) - 2.4 - 0.06 * behind, np.abs(slanted - middle) - height * 0.27, 3.0)
    spinous = meet(spinous, np.maximum(behind - np.where(middle < _SACRUM, 8, 24), -behind - 3), 2.0)
    bone = np.minimum(np.maximum(meet(around, between, 3.0), -canal), join(arch, spinous, 3.0))
    bone = bone + 0.8 * patient.wave(canvas.points)
    canvas.paint(np.maximum(np.maximum(around + 0.8, -between), -canal), 88 + 8 * texture, Label.SPINE)
    # End plates and shell are dense; the marrow behind them loosens inwards.
    canvas.paint(bone, 520 + 60 * texture, Label.SPINE)
    canvas.paint(bone + 1.7, 160 + 40 * texture + 90 * np.exp(np.minimum(bone + 1.7, 0) * 0.4))
    canvas.paint(np.maximum(canal, bone - 12), 6.0, Label.SPINE)
    canvas.paint(np.maximum(ellipse((x, back), (6.2, 4.6)), -120 - z), 42.0)


def _level(patient: Patient, height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middle and height, with its disc, of the vertebra at each height, mm."""
    tops = (_TOPS + patient.vertebra_shift).astype(np.float32)
    index = np.clip(np.searchsorted(-tops, -height) - 1, 0, len(tops) - 2)
    return (tops[index] + tops[index + 1]) / 2, tops[index] - tops[index + 1]


def paint_ribs(canvas: Canvas, patient: Patient) -> None:
    """Paint twelve pairs of ribs; each is three stacked tubes, higher than thick."""
    tubes = []
    for number, (end, sink) in enumerate(TABLES["ribs"], start=1):
        top = float(_TOPS[number + 4] + _TOPS[number + 5]) / 2 + patient.vertebra_shift + 6.0
        x, y = float(patient.spine_x(top)), float(PROFILES.spine_y(top))
        angles = np.linspace(max(32.0, 20 + 1.2 * number), end, 9)
        sunk = sink * (1 - np.cos(np.radians(angles * 12 / 11))) / (1 - np.cos(np.radians(end * 12 / 11)))
        for side in (-1, 1):
            rib = [(x + side * 17, y - 13, top), (x + side * 33, y - 27, top + 1)]
            rib += [cage_point(a, top - s, 4.2, side) for a, s in zip(angles, sunk, strict=True)]
            tubes += [[(x, y, z + shift, 3.6) for x, y, z in rib] for shift in (-2.5, 0, 2.5)]
    _paint_bone(canvas, canvas.tubes(tubes), Label.RIBS, shell=1.3, marrow=190)


def paint_sternum(canvas: Canvas, patient: Patient) -> None:
    """Paint manubrium, body and tip of the sternum."""
    x, _, z = canvas.points
    across, through = np.abs(x) - PROFILES.sternum_width(z), np.abs(cage_wall(canvas.points) - 6.2) - 5.0
    ends = np.maximum(z - 147 - 0.012 * x**2, -30 - z)
    # The joint between manubrium and body.
    bone = np.maximum(meet(meet(across, through, 5.0), ends, 4.0), 1.6 - np.abs(z - 105))
    _paint_bone(canvas, bone, Label.STERNUM, shell=1.2, marrow=130)


def paint_girdles(canvas: Canvas, patient: Patient) -> None:
    """Paint clavicles, shoulder blades (turned out, since the arms are up) and the wings of the pelvis."""
    x, y, z = canvas.points
    wall, spread = cage_wall(canvas.points), np.degrees(np.arctan2(np.abs(x), PROFILES.cage_y(z) - y))
    # The blade is a thin sheet over the cage, a triangle in (angle, height).
    sheet = np.abs(wall - 18.5 - 2 * patient.wave(canvas.points, 2)) - 1.7
    edges = np.maximum(34 + 0.06 * (150 - z) - spread, spread - 66 + 0.13 * (z - 20)) * 1.6
    blade = np.maximum(np.maximum(sheet, edges), np.maximum(np.abs(z - 84) - 62, patient.back + 14 - y))
    bone = np.minimum(canvas.tubes(TUBES["shoulder girdle"]), blade)
    _paint_bone(canvas, bone, Label.SHOULDER_GIRDLE, shell=1.4, marrow=230)
    crest = np.maximum(z + 212 + 0.011 * (spread - 78) ** 2, np.abs(spread - 74) - 48)
    wing = meet(np.abs(wall - 1 + 0.12 * np.maximum(-z - 240, 0)) - 4.5, crest, 4.0)
    _paint_bone(canvas, wing, Label.PELVIS, shell=1.6, marrow=190)
