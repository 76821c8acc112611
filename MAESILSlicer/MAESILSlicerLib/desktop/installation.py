"""Installs the packages for reconstruction on request, and resumes after a restart of Slicer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from MAESILSlicerLib.desktop import settings
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.system.install import Confirm, InstallError, Outcome, install, installPyTorchExtension
from MAESILSlicerLib.system.installers import Installers
from MAESILSlicerLib.system.plan import makePlan
from MAESILSlicerLib.system.report import SystemReport


class Installation:
    """Asks for consent, installs and reports the outcome; blocks Slicer meanwhile.

    Args:
        onNotice: called with a sentence and whether it reports a failure.
        onReport: called with the report of the system check after an installation.
        onBroken: called when an installation failed partway, so the installed state is unknown.

    Attributes:
        failureLog: the output of the last installation if it failed; else "".
    """

    def __init__(
        self,
        onNotice: Callable[[str, bool], None],
        onReport: Callable[[SystemReport], None],
        onBroken: Callable[[], None],
    ) -> None:
        self._onNotice, self._onReport, self._onBroken = onNotice, onReport, onBroken
        self.failureLog = ""

    def run(self, report: SystemReport, reinstallTorch: bool = False, folder: str = "") -> None:
        """Install the packages that a report lists as missing.

        Args:
            report: report of the last system check.
            reinstallTorch: whether to replace a PyTorch that seems to work.
            folder: folder of wheels to install from; "" is the internet.
        """
        settings.setPendingInstallation("")
        self.failureLog = ""
        try:
            # The question needs the normal cursor; the wait cursor follows the answer.
            with ExitStack() as waiting:
                outcome = self._installed(report, reinstallTorch, folder, _confirmation(waiting))
        except InstallError as error:
            settings.setPendingInstallation("")
            self.failureLog = f"{error.log}\n{error}".strip()
            self._onNotice(str(error), True)
            if error.log:
                self._onBroken()
            return
        if outcome.report is not None:
            self._onReport(outcome.report)
        self._onNotice(outcome.sentence, False)

    def resume(self, report: SystemReport) -> None:
        """Resume the installation that waited for a restart, if its extension is now installed."""
        pending = settings.pendingInstallation()
        if pending and report.hasPyTorchExtension:
            self.run(report, reinstallTorch=pending == settings.REINSTALL)

    def _installed(
        self, report: SystemReport, reinstallTorch: bool, folder: str, confirm: Confirm
    ) -> Outcome:
        installers = Installers.fromSlicer()
        plan = makePlan(report, reinstallTorch, fromFolder=bool(folder))
        if plan.obstacle is not None and plan.obstacle.action == "installExtension":
            pending = settings.REINSTALL if reinstallTorch else settings.INSTALL
            return installPyTorchExtension(
                installers, confirm, remember=lambda: settings.setPendingInstallation(pending)
            )
        return install(
            plan,
            installers,
            confirm,
            folder=Path(folder) if folder else None,
            onLine=slicer.util.showStatusMessage,
        )


def _confirmation(waiting: ExitStack) -> Confirm:
    def confirm(question: str) -> bool:
        agreed = bool(slicer.util.confirmOkCancelDisplay(translated(question), windowTitle=_("MAESIL")))
        if agreed:
            waiting.enter_context(slicer.util.WaitCursor())
        return agreed

    return confirm
