"""Installs what the model needs, at the press of a button."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.system.install import Outcome, install, installPyTorchExtension
from MAESILSlicerLib.system.installers import Installers
from MAESILSlicerLib.system.plan import makePlan
from MAESILSlicerLib.system.report import SystemReport


class Installation:
    """Asks, installs and tells how it went; Slicer waits meanwhile.

    Args:
        onNotice: called with a sentence, and whether it tells of a failure.
        onReport: called with the check that follows an installation.
        installers: gives the ways to install.
    """

    def __init__(
        self,
        onNotice: Callable[[str, bool], None],
        onReport: Callable[[SystemReport], None],
        installers: Callable[[], Installers] = lambda: Installers.fromSlicer(),
    ) -> None:
        self._onNotice, self._onReport, self._installers = onNotice, onReport, installers

    def run(self, report: SystemReport, folder: str = "") -> None:
        """Install what a report misses; from a folder of wheels if one is named."""
        try:
            with slicer.util.WaitCursor():
                outcome = self._installed(report, folder)
        except MaesilError as error:
            self._onNotice(str(error), True)
            return
        if outcome.report is not None:
            self._onReport(outcome.report)
        self._onNotice(outcome.sentence, False)

    def _installed(self, report: SystemReport, folder: str) -> Outcome:
        installers = self._installers()
        plan = makePlan(report, fromFolder=bool(folder))
        if plan.obstacle is not None and plan.obstacle.action == "installExtension":
            return installPyTorchExtension(installers, _confirm)
        return install(
            plan,
            installers,
            _confirm,
            folder=Path(folder) if folder else None,
            onLine=slicer.util.showStatusMessage,
        )


def _confirm(question: str) -> bool:
    return bool(slicer.util.confirmOkCancelDisplay(question, windowTitle=_("MAESIL")))
