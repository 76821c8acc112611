"""Section "System check": whether reconstructions can run on this computer, and how to repair problems."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from types import SimpleNamespace

import qt
import slicer
from slicer.i18n import tr as _

from MAESILSlicerLib.desktop import settings
from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.installation import Installation
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.desktop.storagepanel import StoragePanel
from MAESILSlicerLib.session.session import Session
from MAESILSlicerLib.system.check import SystemCheck
from MAESILSlicerLib.system.diagnostics import diagnosticsText
from MAESILSlicerLib.system.messages import Action
from MAESILSlicerLib.system.report import SystemReport

INTERVAL_MS = 200


class SystemPanel:
    """Checks the computer in the background, once when the section is opened and again on request.

    Args:
        ui: the window's widgets.
        session: the session whose last failure goes into the diagnostics.
        onChanged: called when the report or the obstacle has changed.
        onNotice: called with a sentence and whether it reports a failure.
        check: creates a system check without starting it.

    Attributes:
        report: report of the last check; None until it has ended.
    """

    def __init__(
        self,
        ui: SimpleNamespace,
        session: Session,
        onChanged: Callable[[], None],
        onNotice: Callable[[str, bool], None],
        check: Callable[[], SystemCheck] = lambda: SystemCheck(),
    ) -> None:
        self._ui, self._session, self._onChanged, self._makeCheck = ui, session, onChanged, check
        self.report: SystemReport | None = None
        self._check: SystemCheck | None = None
        self._lastFailure = ""
        self._isRepairing = False
        self._installation = Installation(onNotice, self._takeReport, self.start)
        self._storage = StoragePanel(ui, session, onNotice)
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._connections = Connections()
        self._connections.connect(self._timer, "timeout()", self._poll)
        for button, slot in (
            (ui.checkButton, self.start),
            (ui.copyButton, self._copy),
            (ui.repairButton, self._repair),
            (ui.reinstallButton, self._reinstall),
            (ui.offlineButton, self._installFromFolder),
        ):
            self._connections.connect(button, "clicked()", slot)
        self._connections.connect(ui.systemSection, "contentsCollapsed(bool)", self._onCollapsed)

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
        self._check = self._makeCheck()
        self._check.start()
        self._timer.start()
        self._onChanged()

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
        """Update the storage list after a possible change on disk."""
        self._storage.refresh()

    def close(self) -> None:
        """Stop the check and undo all connections."""
        self._stop()
        self._storage.close()
        self._connections.close()

    def _showRepair(self) -> None:
        ui, obstacle = self._ui, self.obstacle
        if ui.installLabel.text != obstacle:
            ui.installLabel.setText(obstacle)
        ui.installLabel.setVisible(bool(obstacle))
        ui.repairButton.setVisible(bool(obstacle and self._action))
        ui.repairButton.setText(_buttonOf(self._action)[0] if self._check is None else _("Checking ..."))

    def _showButtons(self) -> None:
        """Enable the usable buttons; tooltips give the reason for the others."""
        ui, report = self._ui, self.report
        checking = (
            _("The computer is being checked; this takes a few seconds.") if self._check is not None else ""
        )
        unknown = checking or (_("Check the computer first.") if report is None else "")
        running = _("A reconstruction is running.") if self._session.isRunning else ""
        # After a failed check, the missing packages are unknown.
        failed = "" if report is None or report.system else _("The check has failed; check again first.")
        for button, purpose, reason in (
            (ui.checkButton, _buttonOf("checkAgain")[1], checking),
            (
                ui.copyButton,
                _("Copy a description of this computer for a bug report; it names no patient and no user."),
                unknown,
            ),
            (
                ui.reinstallButton,
                _("Install or repair what the model needs to run. The size is told first."),
                unknown or running or failed,
            ),
            (
                ui.offlineButton,
                _("Install from a folder of wheel files, without a network."),
                unknown or running or failed,
            ),
            (ui.repairButton, _buttonOf(self._action)[1], checking or running),
        ):
            button.setEnabled(not reason)
            button.setToolTip(reason or purpose)

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
            if isRepairing and self._action not in ("", "checkAgain"):
                self._repair()
            else:
                self._installation.resume(report)

    def _takeReport(self, report: SystemReport) -> None:
        self._stop()
        self.report = report
        self._onChanged()

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


def _buttonOf(action: Action) -> tuple[str, str]:
    """Text and tooltip of the button for a repair."""
    if action == "checkAgain":
        return _("Check again"), _("Look again for PyTorch, graphics cards and drivers.")
    purpose = _("Install what the model needs to run. The size is told first.")
    return (_("Reinstall PyTorch...") if action == "reinstallTorch" else _("Install...")), purpose
