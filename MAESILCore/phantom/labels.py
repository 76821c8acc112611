"""The labels of the phantom."""

from __future__ import annotations

from enum import IntEnum


class Label(IntEnum):
    """Values of the label volume; vessels inside organs have the label of the vessel."""

    BACKGROUND = 0
    BODY = 1
    LUNG_RIGHT = 2
    LUNG_LEFT = 3
    HEART = 4
    SPINE = 5
    RIBS = 6
    LIVER = 7
    VESSELS = 8
    AIRWAYS = 9
    STERNUM = 10
    SHOULDER_GIRDLE = 11
    PELVIS = 12
    SPLEEN = 13
    STOMACH = 14
    KIDNEYS = 15
    BOWEL = 16


#: Names by label value.
LEGEND: dict[int, str] = {int(label): label.name.lower().replace("_", " ") for label in Label}
LEGEND[Label.BODY] = "body (other tissue)"
