"""Section "System check": whether reconstructions can run on this computer, and how to repair problems."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from MAESILSlicerLib.desktop import settings
from MAESILSlicerLib.desktop.installation import Installation
from MAESILSlicerLib.desktop.panel import Panel
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.desktop.storagelist import StorageList
from MAESILSlicerLib.system import requirements
from MAESILSlicerLib.system.check import SystemCheck
from MAESILSlicerLib.system.diagnostics import diagnosticsText
from MAESILSlicerLib.system.messages import Action
from MAESILSlicerLib.system.report import SystemReport

if TYPE_CHECKING:
    from MAESILSlicerLib.desktop.window import Window

INTERVAL_MS = 200


class SystemPanel(Panel):
    """Checks the computer in the background, once when the section is opened and again on request.

    Attributes:
        report: report of the last check; None until it has ended.
    """

    uiFile = "System.ui"
    topics = frozenset({"job", "system"})

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self.report: SystemReport | None = None
        self._check: SystemCheck | None = None
        self._lastFailure = ""
        self._isRepairing = self._isForTraining = False
        self._installation = Installation(self._notify, self._takeReport, self.start)
        self._storage = StorageList(self._ui, self._session, self._notify)
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self.connect(self._timer, "timeout()", self._poll)
        ui = self._ui
        self.connect(ui.systemSection, "contentsCollapsed(bool)", self._onCollapsed)
        self.connect(ui.checkButton, "clicked()", self.start)
        self.connect(ui.copyButton, "clicked()", self._copy)
        self.connect(ui.repairButton, "clicked()", self._repair)
        self.connect(ui.reinstallButton, "clicked()", self._reinstall)
        self.connect(ui.offlineButton, "clicked()", self._installFromFolder)

    @property
    def obstacle(self) -> str:
        """Why no reconstruction can run on this computer; "" if one can or if that is unknown yet."""
        if self.report is not None:
            if self.report.canCompute:
                return ""
            problem = self.report.problem
            return translated(problem.text if problem is not None else self.report.line)
        # This needs no check.
        if importlib.util.find_spec("torch") is None:
            return _("PyTorch, which runs the model, is not installed yet.")
        return ""

    @property
    def _action(self) -> Action:
        """The action of the button beside the obstacle."""
        if self.report is None:
            return "install"  # Without a report, the only known obstacle is a missing PyTorch.
        return self.report.problem.action if self.report.problem is not None else ""

    def enter(self) -> None:
        """Called when the module is opened; resumes an installation that waited for a restart."""
        if settings.pendingInstallation():
            self._checkOnce()
        self._storage.refresh()

    def start(self) -> None:
        """Check again in the background."""
        self._stop()
        self.report = None
        self._check = SystemCheck()
        self._check.start()
        self._timer.start()
        self._window.schedule("system")

    def installForTraining(self) -> None:
        """Install what pre-training needs, after a check of the computer and the user's consent."""
        if self.report is None:
            self._isForTraining = True
            self._checkOnce()
        else:
            missing = (*self.report.missing, *requirements.unmetForTraining())
            self._installation.run(replace(self.report, missing=missing))

    def _checkOnce(self) -> None:
        if self.report is None and self._check is None:
            self.start()

    def refresh(self) -> None:
        """Show the report."""
        ui, report = self._ui, self.report
        if self._session.failed:
            self._lastFailure = self._session.message
        unknown = _("Checking ...") if self._check is not None else _("Not checked yet.")
        ui.systemLabel.setText(unknown if report is None else translated(report.line))
        problem = report.problem if report is not None else None
        ui.systemDetailsLabel.setText(_detailsOf(report))
        ui.systemDetailsLabel.setVisible(problem is not None)
        hasTorch = report is not None and report.hasTorch
        ui.reinstallButton.setText(_("Reinstall PyTorch...") if hasTorch else _("Install PyTorch..."))
        self._showRepair()
        self._showButtons()
        self._storage.showRunning()

    def showStorage(self) -> None:
        """Update the list of stored files after a change on disk."""
        self._storage.refresh()

    def close(self) -> None:
        """Stop the check and undo all connections."""
        super().close()
        self._stop()
        self._storage.close()

    def _showRepair(self) -> None:
        ui, obstacle = self._ui, self.obstacle
        if ui.installLabel.text != obstacle:
            ui.installLabel.setText(obstacle)
        ui.installLabel.setVisible(bool(obstacle))
        ui.repairButton.setVisible(bool(obstacle and self._action))
        repair = {
            "checkAgain": _("Check again"),
            "reinstallTorch": _("Reinstall PyTorch..."),
        }.get(self._action, _("Install..."))
        ui.repairButton.setText(_("Checking ...") if self._check is not None else repair)

    def _showButtons(self) -> None:
        """Enable the usable buttons; tooltips give the reason for the others."""
        ui, report = self._ui, self.report
        checking = (
            _("The computer is being checked; this takes a few seconds.") if self._check is not None else ""
        )
        unknown = checking or (_("Check the computer first.") if report is None else "")
        running = self._running()
        # After a failed check, the missing packages are unknown.
        failed = "" if report is None or report.system else _("The check has failed; check again first.")
        self.allow(ui.checkButton, unless=checking)
        self.allow(ui.copyButton, unless=unknown)
        self.allow(ui.repairButton, unless=checking or running)
        self.allow(ui.reinstallButton, ui.offlineButton, unless=unknown or running or failed)

    def _notify(self, sentence: str, failed: bool) -> None:
        """Show a sentence, and refresh the panels, because an installation or deletion may have changed settings."""
        self._window.notify(sentence, failed)
        self._window.schedule("system")

    def _stop(self) -> None:
        self._timer.stop()
        if self._check is not None:
            self._check.close()
            self._check = None

    def _poll(self) -> None:
        report = self._check.poll() if self._check is not None else None
        if report is not None:
            self._takeReport(report)
            isRepairing, self._isRepairing = self._isRepairing, False
            isForTraining, self._isForTraining = self._isForTraining, False
            if isForTraining:
                self.installForTraining()
            elif isRepairing and self._action not in ("", "checkAgain"):
                self._repair()
            else:
                self._installation.resume(report)

    def _takeReport(self, report: SystemReport) -> None:
        self._stop()
        self.report = report
        self._window.schedule("system")

    def _copy(self) -> None:
        # Node names often contain patient names.
        names = {
            node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLStorableNode") if node.GetName()
        }
        slicer.app.clipboard().setText(
            diagnosticsText(self.report, self._lastFailure, names, self._installation.failureLog)
        )

    def _repair(self) -> None:
        if self.report is None:
            # The packages to install are known after the check.
            self._isRepairing = True
            self._checkOnce()
        elif self._action == "checkAgain":
            self.start()
        else:
            self._installation.run(self.report)

    def _reinstall(self) -> None:
        if self.report is not None:
            self._installation.run(self.report, reinstallTorch=self.report.hasTorch)

    def _installFromFolder(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Choose the folder of wheel files")
        )
        if folder and self.report is not None:
            # If nothing is missing, the folder is meant to replace PyTorch.
            isComplete = self.report.hasTorch and not self.report.missing
            self._installation.run(self.report, reinstallTorch=isComplete, folder=folder)

    def _onCollapsed(self, isCollapsed: bool) -> None:
        if not isCollapsed:
            self._checkOnce()
            self._storage.refresh()


def _detailsOf(report: SystemReport | None) -> str:
    """Explanation and repair of a problem, without the text of the line above."""
    if report is None or report.problem is None:
        return ""
    problem = report.problem
    return translated(problem.repair if problem.sentence in report.line else problem.text)
