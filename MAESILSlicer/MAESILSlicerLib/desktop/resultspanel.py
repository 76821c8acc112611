"""Section "Results": scores, jumps to superpatches and the comparison."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import qt
import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.resultviews import ResultViews
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.results.exports import saveFiles
from MAESILSlicerLib.results.resultset import ResultSet, allResults
from MAESILSlicerLib.results.tables import superpatchOfRow
from MAESILSlicerLib.session.session import Session


class ResultsPanel:
    """Shows the newest results of the chosen volume, including those of a loaded scene.

    Args:
        ui: the window's widgets.
        session: the session to show.
        onSuperpatch: called with the superpatch of a chosen row.
        onComparing: called with whether the comparison is now on the screen.
        onNotice: called with a sentence and whether it reports a failure.
    """

    def __init__(
        self,
        ui: SimpleNamespace,
        session: Session,
        onSuperpatch: Callable[[int], None],
        onComparing: Callable[[bool], None],
        onNotice: Callable[[str, bool], None],
    ) -> None:
        self._ui, self._session = ui, session
        self._onSuperpatch, self._onComparing, self._onNotice = onSuperpatch, onComparing, onNotice
        self._wasComparing = False
        self._views = ResultViews(self._showChecked)
        self._results: ResultSet | None = None
        self._arrived: ResultSet | None = None
        self._isEntered = False
        self._connections = Connections()
        self._connections.connect(ui.compareButton, "clicked()", self._compare)
        self._connections.connect(ui.plotButton, "clicked()", self._plot)
        self._connections.connect(ui.saveFilesButton, "clicked()", self._saveFiles)
        self._connections.connect(ui.superpatchTable, "selectionChanged()", self._onRow)

    def enter(self) -> None:
        """Let new results use the views, because the module is open."""
        self._isEntered = True

    def leave(self) -> None:
        """Restore the user's layout."""
        self._isEntered = False
        self._views.leave()

    def refresh(self) -> None:
        """Show the results; open and compare new ones."""
        arrived = self._session.results is not None and self._session.results is not self._arrived
        self._arrived = self._session.results
        # Searched in the scene, because results may have been deleted or loaded.
        before, self._results = self._results, self._found()
        if self._results is None:
            self._views.leave()
        self._show()
        if arrived and self._results is not None:
            self._ui.resultsSection.collapsed = False
        isOutdated = self._views.isComparing and self._results != before
        if self._isEntered and self._results is not None and (arrived or isOutdated):
            self._showComparison()
        self._showChecked()

    def close(self) -> None:
        """Restore the user's layout and undo all connections."""
        self._views.close()
        self._connections.close()

    def _found(self) -> ResultSet | None:
        if self._session.volumeNode is None:
            return None
        found = allResults(slicer.mrmlScene, self._session.volumeNode)
        return found[-1] if found else None

    def _show(self) -> None:
        ui, results = self._ui, self._results
        ui.resultsLabel.setText(
            _("No reconstruction of this volume yet.") if results is None else results.description
        )
        chart = results.oneAt("plot") if results is not None else None
        folder = self._session.exportFolder
        for button, isPossible, purpose, reason in (
            (
                ui.compareButton,
                results is not None,
                _(
                    "Show original, masked volume, reconstruction and error in linked views; again to go back."
                ),
                _("Reconstruct first."),
            ),
            (
                ui.plotButton,
                chart is not None,
                _("Plot the score of each superpatch; again to go back."),
                _("Reconstruct first."),
            ),
            (
                ui.saveFilesButton,
                folder is not None and folder.is_dir(),
                _("Save the prepared files and the report in a new folder, and open that."),
                _("No files were prepared; tick them under Advanced and reconstruct."),
            ),
        ):
            button.setEnabled(isPossible)
            button.setToolTip(purpose if isPossible else reason)
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

    def _showChecked(self) -> None:
        """Update the buttons, because the user may have changed the layout."""
        if self._views.isComparing != self._wasComparing:
            self._wasComparing = self._views.isComparing
            self._onComparing(self._wasComparing)
        self._ui.compareButton.setChecked(self._views.isComparing)
        self._ui.plotButton.setChecked(self._views.isPlotting)

    def _compare(self) -> None:
        if self._views.isComparing:
            self._views.leave()
        else:
            self._showComparison()
        self._showChecked()

    def _showComparison(self) -> None:
        try:
            self._views.compare(self._results, self._session.volumeNode)
        except MaesilError as error:
            # The previous comparison is outdated or of another volume.
            self._views.leave()
            self._onNotice(str(error), True)

    def _plot(self) -> None:
        if self._views.isPlotting:
            self._views.leave()
        else:
            self._views.plot(self._results.oneAt("plot"))
        self._showChecked()

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
            self._onNotice(str(error), True)
            return
        self._onNotice(_("The files were saved in {folder}.").format(folder=saved), False)
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(saved)))

    def _onRow(self) -> None:
        row = self._ui.superpatchTable.currentIndex().row()
        if self._results is not None and row >= 0:
            self._onSuperpatch(superpatchOfRow(self._results.oneAt("rows"), row))
