"""Section "Results": scores, the way to a superpatch, and the views side by side."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import qt
import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.comparison import Comparison
from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.views import layoutNode
from MAESILSlicerLib.results import ResultNodes, allResults
from MAESILSlicerLib.session import Session
from MAESILSlicerLib.tables import superpatchOfRow


class ResultsPanel:
    """Shows the newest results of the chosen volume, also those of a scene that was loaded.

    Args:
        ui: the window's widgets.
        session: whose results are shown.
        onSuperpatch: called with the superpatch of a chosen row.
        onFailed: called with a sentence when something cannot be shown.
    """

    def __init__(
        self,
        ui: SimpleNamespace,
        session: Session,
        onSuperpatch: Callable[[int], None],
        onFailed: Callable[[str], None],
    ) -> None:
        self._ui, self._session = ui, session
        self._onSuperpatch, self._onFailed = onSuperpatch, onFailed
        self._comparison = Comparison(slicer.mrmlScene)
        self._results: ResultNodes | None = None
        self._connections = Connections()
        self._connections.connect(ui.compareButton, "toggled(bool)", self._compare)
        self._connections.connect(ui.plotButton, "clicked()", self._plot)
        self._connections.connect(ui.openFilesButton, "clicked()", self._openFiles)
        self._connections.connect(ui.superpatchTable, "selectionChanged()", self._onRow)

    def refresh(self) -> None:
        """Show what there is; results that have just come are opened and compared."""
        arrived = self._session.results is not None and self._session.results is not self._results
        self._results = self._session.results or self._found()
        self._show()
        if arrived:
            self._ui.resultsSection.collapsed = False
            self._leave()
            self._ui.compareButton.setChecked(True)

    def leave(self) -> None:
        """Give the user's own layout back."""
        self._ui.compareButton.setChecked(False)

    def close(self) -> None:
        """Give the layout back and undo all connections."""
        self._leave()
        self._connections.close()

    def _found(self) -> ResultNodes | None:
        if self._session.volumeNode is None:
            return None
        found = allResults(slicer.mrmlScene, self._session.volumeNode)
        return found[-1] if found else None

    def _show(self) -> None:
        ui, results = self._ui, self._results
        ui.resultsLabel.setText(
            _("No reconstruction of this volume yet.")
            if results is None
            else results.reconstruction.GetDescription()
        )
        if results is None:
            ui.compareButton.setChecked(False)
        hasScores = results is not None and results.superpatches is not None
        hasFiles = self._session.exportFolder is not None
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
                hasScores,
                _("Plot the score of each superpatch."),
                _("There are no scores; tick them under Advanced and reconstruct."),
            ),
            (
                ui.openFilesButton,
                hasFiles,
                _("Open the folder with the written files and the report."),
                _("No files were written; tick them under Advanced and reconstruct."),
            ),
        ):
            button.setEnabled(isPossible)
            button.setToolTip(purpose if isPossible else reason)
        self._showTable(ui.metricsTable, ui.metricsLabel, results.metrics if results else None)
        self._showTable(
            ui.superpatchTable, ui.superpatchTableLabel, results.superpatches if results else None
        )

    @staticmethod
    def _showTable(
        view: slicer.qMRMLTableView, label: qt.QLabel, node: slicer.vtkMRMLTableNode | None
    ) -> None:
        view.setVisible(node is not None)
        label.setVisible(node is not None)
        if view.mrmlTableNode() is not node:
            view.setMRMLTableNode(node)
            view.resizeColumnsToContents()

    def _compare(self, isWanted: bool) -> None:
        if not isWanted:
            self._leave()
            return
        try:
            self._comparison.enter(layoutNode(), self._results, self._session.volumeNode)
        except MaesilError as error:
            self._ui.compareButton.setChecked(False)
            self._onFailed(str(error))

    def _leave(self) -> None:
        self._comparison.leave(layoutNode())

    def _plot(self) -> None:
        slicer.modules.plots.logic().ShowChartInLayout(self._results.chart)

    def _openFiles(self) -> None:
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._session.exportFolder)))

    def _onRow(self) -> None:
        row = self._ui.superpatchTable.currentIndex().row()
        if self._results is not None and row >= 0:
            self._onSuperpatch(superpatchOfRow(self._results.superpatches, row))
