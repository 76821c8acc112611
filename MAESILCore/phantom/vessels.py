"""The great vessels and the windpipe with its main branches, as tubes."""

from __future__ import annotations

import numpy as np

from MAESILCore.phantom.labels import Label
from MAESILCore.phantom.patient import Patient
from MAESILCore.phantom.sampling import Canvas, Region
from MAESILCore.phantom.shapes import add_tube, smooth_path

#: Rows x, y, z, radius, mm.
_Path = list[tuple[float, float, float, float]]

_AORTA: _Path = [
    (-4, 14, 34, 13), (4, 20, 52, 16), (10, 18, 76, 15.5), (6, 6, 102, 14.5), (-8, -13, 113, 13.5),
    (-20, -33, 104, 13),
    (-23, -43, 84, 12.8), (-22, -46, 50, 12.4), (-20, -43, 10, 12), (-14, -34, -35, 11.5),
    (-8, -19, -80, 10.8),
    (-8, -7, -130, 9.8), (-6, -3, -180, 9), (-2, -5, -208, 9),
]  # fmt: skip
_ARTERIES: tuple[_Path, ...] = (
    [(3, 0, 112, 7), (9, 4, 135, 6.5), (22, 0, 165, 5), (28, -4, 200, 4), (28, -6, 330, 3.8)],
    [(-6, -8, 118, 5), (-14, -6, 150, 4.4), (-24, -6, 200, 4), (-27, -8, 330, 3.8)],
    [(-15, -22, 114, 5.5), (-26, -20, 150, 5), (-50, 0, 183, 4.6), (-95, 0, 176, 4.4), (-135, -2, 160, 4)],
    [(18, 2, 152, 5), (48, 0, 183, 4.6), (95, 0, 176, 4.4), (135, -2, 160, 4)],
    [(-2, -5, -205, 7), (24, -8, -240, 6), (52, 10, -300, 5)],
    [(-2, -5, -205, 7), (-28, -8, -240, 6), (-56, 10, -300, 5)],
    [(-8, -10, -84, 4.5), (-8, 8, -82, 4.2), (18, 12, -78, 3.2), (40, 18, -68, 2.6)],
    [(-8, 6, -83, 3.6), (-30, 0, -70, 3.4), (-62, -22, -58, 3), (-84, -36, -50, 2.6)],
    [(-8, -8, -96, 4.2), (-5, 12, -112, 3.8), (0, 20, -150, 3.2), (8, 20, -200, 2.2)],
    [(-8, -16, -108, 3.4), (-30, -32, -108, 3), (-52, -38, -106, 2.6)],
    [(0, -16, -112, 3.4), (30, -34, -116, 3), (50, -36, -120, 2.6)],
)  # fmt: skip
_VEINS: tuple[_Path, ...] = (
    [(26, 14, 40, 9), (27, 12, 70, 9.5), (25, 14, 112, 9), (24, 16, 128, 8)],
    [(24, 16, 124, 7), (30, 14, 150, 6.5), (38, 6, 180, 6), (36, -2, 215, 5.5), (34, -6, 330, 5)],
    [(24, 20, 122, 6), (4, 26, 132, 6), (-22, 20, 146, 6), (-34, 6, 178, 6), (-34, -6, 215, 5.5)],
    [(-34, -6, 212, 5.5), (-34, -8, 330, 5)],
    [(36, 8, 172, 5.5), (70, 18, 172, 5.2), (110, 4, 166, 5), (138, 2, 156, 4.6)],
    [(-34, 8, 172, 5.5), (-70, 18, 172, 5.2), (-110, 4, 166, 5), (-138, 2, 156, 4.6)],
    [(24, 6, 14, 11), (22, -6, -20, 11.5), (19, -12, -70, 11), (17, -8, -130, 10.5), (15, -8, -200, 10)],
    [(15, -8, -200, 8), (38, -12, -240, 6.5), (58, 6, -300, 6)],
    [(15, -8, -200, 8), (-14, -14, -230, 6.5), (-50, 2, -300, 6)],
    [(26, 4, -56, 6.5), (20, 10, -74, 6.8), (8, 14, -92, 6.5), (6, 22, -130, 5), (12, 24, -190, 3.5)],
    [(10, 12, -88, 5), (-22, 8, -78, 4.6), (-58, -16, -64, 4.2), (-82, -34, -54, 3.6)],
    [(18, -10, -108, 4.6), (-4, 2, -106, 4.2), (-30, -20, -106, 4), (-52, -36, -106, 3.4)],
    [(20, -12, -116, 4.6), (36, -26, -118, 4.2), (52, -36, -120, 3.4)],
    [(20, -44, 84, 3.6), (14, -40, 40, 3.4), (10, -36, -40, 3)],
)  # fmt: skip
_PULMONARY: tuple[_Path, ...] = (
    [(-12, 42, 48, 13), (-15, 30, 66, 14), (-17, 12, 78, 13)],
    [(-14, 10, 76, 11), (4, -3, 72, 10.5), (26, -9, 66, 10), (42, -10, 60, 8)],
    [(-19, 8, 79, 11), (-30, -8, 82, 10.5), (-41, -18, 72, 9), (-46, -22, 56, 7.5)],
    [(22, -16, 48, 8.5), (36, -13, 50, 7), (46, -8, 54, 6)],
    [(20, -24, 38, 8), (36, -30, 30, 7), (46, -36, 22, 6)],
    [(-26, -16, 52, 8), (-38, -10, 58, 7), (-47, -6, 64, 6)],
    [(-26, -26, 38, 8), (-40, -32, 30, 7), (-50, -38, 22, 6)],
)  # fmt: skip
_WINDPIPE: _Path = [(0, 2, 330, 9.5), (0, -4, 230, 9.2), (2, -12, 170, 9), (3, -17, 120, 9), (3, -19, 92, 9)]
_BRONCHI: tuple[_Path, ...] = (
    [(4, -19, 94, 8), (18, -19, 78, 7.4), (32, -18, 64, 6.4), (40, -20, 48, 5), (47, -27, 26, 4)],
    [(0, -19, 94, 7.6), (-18, -21, 76, 6.8), (-36, -22, 60, 6), (-44, -26, 46, 5), (-51, -33, 24, 4)],
    [(28, -18, 68, 4.6), (44, -14, 77, 3.6), (54, -10, 88, 2.4), (58, -8, 98, 1.5)],
    [(40, -19, 50, 3.6), (52, -4, 40, 2.6), (60, 8, 32, 1.5)],
    [(-38, -21, 60, 4.6), (-51, -11, 67, 3.4), (-58, -2, 78, 2.3), (-61, 3, 88, 1.5)],
    [(46, -26, 28, 3.2), (54, -36, 14, 2.3), (60, -44, 2, 1.4)],
    [(-50, -32, 26, 3.2), (-57, -41, 13, 2.3), (-62, -48, 2, 1.4)],
    [(44, -15, 77, 2.6), (54, -28, 88, 1.8), (58, -34, 94, 1.3)],
    [(-51, -12, 67, 2.6), (-59, -26, 82, 1.8), (-62, -32, 90, 1.3)],
)  # fmt: skip
_GULLET: _Path = [
    (-4, -12, 330, 7), (-6, -18, 230, 7), (-6, -28, 170, 7.5), (-6, -31, 110, 8), (-4, -33, 60, 8),
    (-6, -26, 20, 8.5),
    (-14, -12, -8, 8.5), (-30, -4, -26, 8),
]  # fmt: skip


def _tubes(canvas: Canvas, paths: tuple[_Path, ...] | list[_Path], grow: float = 0.0) -> np.ndarray:
    field = canvas.distance_field()
    for path in paths:
        rows = smooth_path(path, 5.0)
        rows[:, 3] += grow
        add_tube(canvas, field, rows)
    return field


def _trunk(canvas: Canvas) -> Region | None:
    return canvas.region((-150, -75, -420), (150, 75, 340))


def paint_great_vessels(canvas: Canvas, patient: Patient) -> None:
    """Aorta and its branches, caval veins and theirs, portal vein, and the trunks of the lung vessels."""
    region = _trunk(canvas)
    if region is None:
        return
    texture = region.texture
    tissues = patient.tissues
    groups = (
        (_VEINS, tissues.venous), (_PULMONARY, tissues.blood), ((_AORTA, *_ARTERIES), tissues.arterial)
    )  # fmt: skip
    for paths, hu in groups:
        distance = _tubes(canvas, list(paths))[region.slices]
        # A wall that is a little darker than the blood.
        canvas.paint(region, distance - 0.8, 45.0, Label.VESSELS)
        canvas.paint(region, distance, np.float32(hu) + 3 * texture, Label.VESSELS)


def paint_airways(canvas: Canvas, patient: Patient) -> None:
    """Windpipe and bronchi with their walls, and the gullet."""
    region = _trunk(canvas)
    if region is None:
        return
    gullet = _tubes(canvas, [_GULLET])[region.slices] + 0.8 * patient.waviness(region.points, 0)
    canvas.paint(region, gullet, patient.tissues.muscle - 14)
    canvas.paint(region, gullet + 6.4, -60.0)
    distance = _tubes(canvas, [_WINDPIPE, *_BRONCHI])[region.slices]
    canvas.paint(region, distance - 1.0, 10.0, Label.AIRWAYS)
    canvas.paint(region, distance, -985.0, Label.AIRWAYS)
