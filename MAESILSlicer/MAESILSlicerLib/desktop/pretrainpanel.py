"""Section "Pre-train": starts runs in the background and lists those of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.desktop import settings
from MAESILSlicerLib.desktop.chosenrun import ChosenRun
from MAESILSlicerLib.desktop.panel import Panel
from MAESILSlicerLib.desktop.runinputs import RunInputs
from MAESILSlicerLib.desktop.runstable import RunsTable
from MAESILSlicerLib.session.runwords import Endings, sentence

if TYPE_CHECKING:
    from MAESILSlicerLib.desktop.window import Window

INTERVAL_MS = 1000


class PretrainPanel(Panel):
    """Starts runs and shows those of the chosen folder; reads the disk only while the section is open."""

    uiFile = "Pretrain.ui"
    topics = frozenset({"system", "runs", "layout", "job"})

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._board = window.study.board
        self._isEntered = False
        self._endings = Endings()
        ui = self._ui
        self._inputs = RunInputs(window, self, self._board)
        self._table = RunsTable(ui.runsTable, self._showChosen)
        self._chosen = ChosenRun(window, self, self._board, self._inputs.copy, self._onDeleted)
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self.connect(self._timer, "timeout()", self._look)
        self.connect(ui.pretrainSection, "contentsCollapsed(bool)", self._onCollapsed)
        self.connect(ui.runsFolderButton, "clicked()", self._chooseRunsFolder)
        self.connect(ui.startButton, "clicked()", self._start)
        self._board.changed.connect(self._onRuns)

    @property
    def isFollowing(self) -> bool:
        """Whether the disk is read once a second."""
        return self._timer.active

    def enter(self) -> None:
        """Follow the runs, if the section is open."""
        self._isEntered = True
        self._follow()

    def leave(self) -> None:
        """Stop following the runs and restore the user's layout; the runs go on."""
        self._isEntered = False
        self._follow()
        self._chosen.leave()

    def refresh(self) -> None:
        """Show the inputs' state, the runs and the chosen run, while the section is open."""
        if not self.isFollowing:
            return
        self._ui.runsFolderEdit.setText(str(settings.runsFolder()))
        self._ui.runsFolderEdit.setToolTip(str(settings.runsFolder()))
        self._inputs.show()
        self._table.show(self._board.runs)
        self._showChosen()

    def showViews(self) -> None:
        """Update the buttons, because the layout has changed."""
        self._chosen.showViews()

    def close(self) -> None:
        """Undo all connections."""
        super().close()
        self._timer.stop()
        self._board.changed.disconnect(self._onRuns)
        self._inputs.close()
        self._table.close()
        self._chosen.close()

    def _chooseRunsFolder(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Choose the folder that keeps all runs"), str(settings.runsFolder())
        )
        if folder:
            settings.setRunsFolder(Path(folder))
            self._look()
            self.refresh()

    # The runs

    def _start(self) -> None:
        inputs = self._inputs
        if inputs.isLacking:
            self._window.system.installForTraining()
            return
        if inputs.obstacle:
            return
        name = inputs.name
        try:
            with slicer.util.WaitCursor():
                self._look()
                folder = self._board.start(inputs.scans, **inputs.arguments)
        except MaesilError as error:
            self._window.notify(str(error), True)
            return
        self._window.notify(sentence("runs.started", name=name), False)
        inputs.forgetName()
        self._table.choose(folder)
        self._look()
        self.refresh()

    def _showChosen(self) -> None:
        run = next((run for run in self._board.runs if run.folder == self._table.chosen), None)
        self._chosen.show(run)

    def _onDeleted(self) -> None:
        self._table.choose(None)
        self._look()
        self.refresh()

    def _onRuns(self, _topics: frozenset[str]) -> None:
        ending = self._endings.of(self._board.runs)
        if ending is not None:
            self._window.notify(*ending)
        self._window.schedule("runs")

    def _onCollapsed(self, _isCollapsed: bool) -> None:
        self._follow()

    def _follow(self) -> None:
        """Read the disk while the section is open, and only then."""
        if self._isEntered and not self._ui.pretrainSection.collapsed:
            self._inputs.open()
            self._timer.start()
            self._look()
            self._window.schedule("runs")
        else:
            self._timer.stop()

    def _look(self) -> None:
        self._window.study.runs()
        self._chosen.look()
        self._inputs.look()
