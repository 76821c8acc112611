"""The dialog that asks for the file of a model."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from MAESILCore.models.card import SUFFIX


def chosenCheckpoint() -> str:
    """The path of the checkpoint that the user chooses; "" if they choose none."""
    path: str = qt.QFileDialog.getOpenFileName(
        slicer.util.mainWindow(),
        _("Choose a MAESIL checkpoint"),
        "",
        _("Checkpoints (*{suffix})").format(suffix=SUFFIX),
    )
    return path
