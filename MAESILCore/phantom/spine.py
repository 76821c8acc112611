"""The spine: vertebrae with a marrow, discs between them, the canal, and the processes behind."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from MAESILCore.phantom.labels import Label
from MAESILCore.phantom.patient import Patient
from MAESILCore.phantom.sampling import Canvas, Points
from MAESILCore.phantom.shapes import ellipse, join, meet

#: The heights of the upper ends of C3 to S1, mm; T1 is at index 5, L5 at index 21.
_TOPS = np.concatenate(
    [
        [275.0, 258.5, 242.0, 225.5, 208.5],
        190.0 - np.concatenate([[0.0], np.cumsum(np.linspace(18.5, 27.5, 12))]),
        -86.0 - np.cumsum([30.0, 32.0, 34.0, 35.0, 34.0]),
    ]
)
FIRST_THORACIC = 5
_SACRUM = float(_TOPS[-1])


def vertebra_height(patient: Patient, number: int) -> float:
    """The height of the middle of a thoracic (1 to 12) vertebra, mm."""
    index = FIRST_THORACIC + number - 1
    return float((_TOPS[index] + _TOPS[index + 1]) / 2) + patient.vertebra_shift


class _Level(NamedTuple):
    """The vertebra that each point belongs to."""

    middle: np.ndarray  # height of its middle
    height: np.ndarray  # disc included
    offset: np.ndarray  # mm above its middle, along the spine


def _level(patient: Patient, height: np.ndarray) -> _Level:
    tops = np.concatenate([_TOPS, _SACRUM - 30.0 * np.arange(1, 7)]) + patient.vertebra_shift
    rows = np.arange(-460.0, 400.0, 0.5)
    # Beyond the last known vertebra the end ones repeat.
    index = np.clip(np.searchsorted(-tops, -rows, side="left") - 1, 0, len(tops) - 2)
    place = np.clip(((height + 460.0) * 2).astype(np.int32), 0, len(rows) - 1)
    middles = ((tops[:-1] + tops[1:]) / 2).astype(np.float32)[index]
    heights = (tops[:-1] - tops[1:]).astype(np.float32)[index]
    return _Level(middles[place], heights[place], height - middles[place])


class _Frame(NamedTuple):
    """Coordinates that follow the spine."""

    x: np.ndarray
    y: np.ndarray
    along: np.ndarray
    half_width: np.ndarray
    half_depth: np.ndarray
    canal: np.ndarray  # y of the middle of the canal


def _frame(patient: Patient, points: Points) -> _Frame:
    x = points.x - patient.spine_x(points.z)
    y = points.y - patient.spine_y(points.z)
    # End plates stand at right angles to the curve of the spine.
    along = points.z + y * patient.spine_y.slope(points.z)
    width = np.interp(points.z, [-250, -86, 190, 260], [25.5, 21.0, 13.0, 11.0]).astype(np.float32)
    depth = np.interp(points.z, [-250, -86, 190, 260], [17.5, 16.5, 9.5, 8.0]).astype(np.float32)
    return _Frame(x, y, along, width, depth, -depth - np.float32(7.5))


def spine_envelope(patient: Patient, points: Points) -> np.ndarray:
    """A smooth distance to the vertebral bodies and their heads of ribs, for what lies beside the spine."""
    spine = _frame(patient, points)
    body = ellipse(spine.x, spine.y, spine.half_width + 2, spine.half_depth + 2)
    behind = ellipse(spine.x, spine.y + 22, spine.half_width + 11, 13.0)
    return join(body, behind, 16.0)


def _bodies(spine: _Frame, level: _Level) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the vertebral bodies and to the discs."""
    disc = np.float32(1.2) + np.float32(0.085) * level.height
    share = level.offset / (level.height * np.float32(0.5))
    waist = np.float32(1.0) - np.float32(0.11) * (1 - share * share)
    around = ellipse(spine.x, spine.y, spine.half_width * waist, spine.half_depth * waist)
    # The back of a vertebral body is flat.
    around = np.maximum(around, -(spine.y + spine.half_depth * np.float32(0.86)))
    between = np.abs(level.offset) - (level.height * np.float32(0.5) - disc)
    sacrum = np.where(level.middle < _SACRUM, np.float32(-50), np.float32(0))
    return meet(around, between + sacrum, 3.0), np.maximum(around + np.float32(0.8), -between - sacrum)


def _arch(spine: _Frame, level: _Level, canal: np.ndarray) -> np.ndarray:
    """Distance to pedicles, laminae, and transverse processes."""
    y = spine.y - spine.canal
    ring = np.maximum(canal - np.float32(4.5), -canal)
    tall = np.abs(level.offset - np.float32(2.5)) - level.height * np.float32(0.30)
    ring = meet(ring, tall, 3.0)
    reach = np.abs(spine.x) - np.float32(10)
    line = -np.maximum(reach, 0) * np.float32(0.32) + np.float32(1)
    wing = ellipse(y - line, level.offset - np.float32(2), 4.2, 5.5)
    wing = np.maximum(wing, np.maximum(np.abs(spine.x) - (spine.half_width + 13), -reach))
    joint_x, joint_y = np.abs(spine.x) - (spine.half_width * np.float32(0.72)), y + 6
    joint = np.maximum(
        ellipse(joint_x, joint_y, 5.0, 5.5), np.abs(level.offset) - level.height * np.float32(0.46)
    )
    return join(join(ring, wing, 5.0), joint, 3.0)


def _spinous(patient: Patient, spine: _Frame) -> np.ndarray:
    """Distance to the spinous processes, which slant down steeply in the chest."""
    start = spine.canal - np.float32(9)
    behind = start - spine.y
    steep = np.interp(spine.along, [-120, -60, 40, 130, 230], [0.15, 0.45, 1.0, 0.8, 0.4]).astype(np.float32)
    level = _level(patient, spine.along + steep * np.maximum(behind, 0))
    tall = np.abs(level.offset) - level.height * np.float32(0.27)
    length = np.where(level.middle < _SACRUM, np.float32(8), np.float32(24))
    thin = np.abs(spine.x) - (np.float32(2.4) + np.float32(0.06) * behind)
    return meet(meet(thin, tall, 3.0), np.maximum(behind - length, -behind - 3), 2.0)


def paint_spine(canvas: Canvas, patient: Patient) -> None:
    """Vertebrae, discs, canal and cord."""
    region = canvas.region((-48, -128, -1e4), (48, 12, 1e4))
    if region is None:
        return
    points = region.points
    spine = _frame(patient, points)
    level = _level(patient, spine.along)
    texture, wave = region.texture, patient.waviness(points, 0)
    bodies, discs = _bodies(spine, level)
    canal = ellipse(spine.x, spine.y - spine.canal, 10.5, 8.0)
    bodies, discs = np.maximum(bodies, -canal), np.maximum(discs, -canal)
    bone = np.minimum(bodies, join(_arch(spine, level, canal), _spinous(patient, spine), 3.0)) + 0.8 * wave
    canvas.paint(region, discs, 88 + 8 * texture, Label.SPINE)
    marrow = np.float32(160) + 40 * texture
    # The end plates and the shell are dense, the marrow behind them loosens inwards.
    canvas.paint(region, bone, np.float32(520) + 60 * texture, Label.SPINE)
    canvas.paint(region, bone + 1.7, marrow + 90 * np.exp(np.minimum(bone + 1.7, 0) * np.float32(0.4)))
    canvas.paint(region, np.maximum(canal, bone - 12), 6.0, Label.SPINE)
    cord = ellipse(spine.x, spine.y - spine.canal, 6.2, 4.6)
    canvas.paint(region, np.maximum(cord, -120 - points.z), 42.0)
