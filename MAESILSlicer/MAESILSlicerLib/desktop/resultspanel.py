"""Section "Results": scores, jumps to superpatches and the comparison."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.desktop.panel import Panel
from MAESILSlicerLib.desktop.resultviews import RESULTS
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.results.exports import saveFiles
from MAESILSlicerLib.results.resultset import ResultSet, allResults
from MAESILSlicerLib.results.tables import superpatchOfRow

if TYPE_CHECKING:
    from MAESILSlicerLib.desktop.window import Window


class ResultsPanel(Panel):
    """Shows the newest results of the chosen volume, including those of a loaded scene."""

    uiFile = "Results.ui"
    topics = frozenset({"volume", "results", "layout"})

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._hadMask2d = self._wasComparing = False
        self._views = window.resultViews
        self._results: ResultSet | None = None
        self._arrived: ResultSet | None = None
        self._isEntered = False
        ui = self._ui
        ui.metricsTable.setMRMLScene(slicer.mrmlScene)
        ui.superpatchTable.setMRMLScene(slicer.mrmlScene)
        self.connect(ui.compareButton, "clicked()", self._compare)
        self.connect(ui.plotButton, "clicked()", self._plot)
        self.connect(ui.saveFilesButton, "clicked()", self._saveFiles)
        self.connect(ui.superpatchTable, "selectionChanged()", self._onRow)

    def enter(self) -> None:
        """Let new results use the views, because the module is open."""
        self._isEntered = True

    def leave(self) -> None:
        """Restore the user's layout."""
        self._isEntered = False
        self._views.leave(RESULTS)

    def refresh(self) -> None:
        """Show the results; open and compare new ones."""
        arrived = self._session.results is not None and self._session.results is not self._arrived
        self._arrived = self._session.results
        # Searched in the scene, because results may have been deleted or loaded.
        before, self._results = self._results, self._found()
        if self._results is None:
            self._views.leave(RESULTS)
        self._show()
        if arrived and self._results is not None:
            self._ui.resultsSection.collapsed = False
        isOutdated = self._views.isComparing(RESULTS) and self._results != before
        if self._isEntered and self._results is not None and (arrived or isOutdated):
            self._showComparison()
        self.showViews()

    def _found(self) -> ResultSet | None:
        if self._session.volumeNode is None:
            return None
        found = allResults(slicer.mrmlScene, self._session.volumeNode)
        found = [one for one in found if not one.kind.hasOwnSection]
        return found[-1] if found else None

    def _show(self) -> None:
        ui, results, folder = self._ui, self._results, self._session.exportFolder
        ui.resultsLabel.setText(
            _("No reconstruction of this volume yet.") if results is None else results.description
        )
        reconstruct = _("Reconstruct first.")
        hasChart = results is not None and results.oneAt("plot") is not None
        hasFiles = folder is not None and folder.is_dir()
        self.allow(ui.compareButton, unless="" if results is not None else reconstruct)
        self.allow(ui.plotButton, unless="" if hasChart else reconstruct)
        noFiles = _("No files were prepared; check Prepare files under Advanced and reconstruct.")
        self.allow(ui.saveFilesButton, unless="" if hasFiles else noFiles)
        self._showTable(ui.metricsTable, ui.metricsLabel, results, "scores")
        self._showTable(ui.superpatchTable, ui.superpatchTableLabel, results, "rows")

    @staticmethod
    def _showTable(
        view: slicer.qMRMLTableView, label: qt.QLabel, results: ResultSet | None, place: str
    ) -> None:
        """Show the table of a place under its title; hide both where there is none."""
        role, node = (
            next(iter(results.at(place).items()), (None, None)) if results is not None else (None, None)
        )
        if role is not None:
            label.setText(f"{translated(role.title)}:")
        view.setVisible(node is not None)
        label.setVisible(node is not None)
        if view.mrmlTableNode() is not node:
            view.setMRMLTableNode(node)
            view.resizeColumnsToContents()

    def showViews(self) -> None:
        """Update the buttons, because the user may have changed the layout."""
        if self._views.hasComparison != self._wasComparing:
            self._wasComparing = self._views.hasComparison
            self._uncoverComparison(self._wasComparing)
        self._ui.compareButton.setChecked(self._views.isComparing(RESULTS))
        self._ui.plotButton.setChecked(self._views.isPlotting(RESULTS))

    def _uncoverComparison(self, isComparing: bool) -> None:
        """Hide the mask while results are compared, because it covers them; the user may show it again."""
        if self._parameters is None:
            return
        if isComparing:
            self._hadMask2d = self._parameters.showMask2d
            self._parameters.showMask2d = False
        elif self._hadMask2d:
            self._parameters.showMask2d = True

    def _compare(self) -> None:
        if self._views.isComparing(RESULTS):
            self._views.leave(RESULTS)
        else:
            self._showComparison()
        self.showViews()

    def _showComparison(self) -> None:
        try:
            self._views.compare(self._results, self._session.volumeNode, RESULTS)
        except MaesilError as error:
            # The previous comparison is outdated or of another volume.
            self._views.leave(RESULTS)
            self._window.notify(str(error), True)

    def _plot(self) -> None:
        if self._views.isPlotting(RESULTS):
            self._views.leave(RESULTS)
        else:
            self._views.plot(self._results.oneAt("plot"), RESULTS)
        self.showViews()

    def _saveFiles(self) -> None:
        """Copy the files out of the temporary folder, which is deleted with the scene."""
        written, name = self._session.exportFolder, self._session.volumeNode.GetName()
        chosen = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Choose the folder to save the files in")
        )
        if not chosen:
            return
        try:
            with slicer.util.WaitCursor():
                saved = saveFiles(written, Path(chosen), name)
        except MaesilError as error:
            self._window.notify(str(error), True)
            return
        self._window.notify(_("The files were saved in {folder}.").format(folder=saved), False)
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(saved)))

    def _onRow(self) -> None:
        row = self._ui.superpatchTable.currentIndex().row()
        if self._results is not None and row >= 0 and self._parameters is not None:
            self._parameters.superpatch = superpatchOfRow(self._results.oneAt("rows"), row)
