"""The table of the runs in a folder, the newest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import qt
from slicer.i18n import tr as _

from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.session.runwords import rowOf

if TYPE_CHECKING:
    from MAESILCore.jobs.runs import RunSummary

_ICONS = {
    "prepared": "SP_FileIcon",
    "running": "SP_MediaPlay",
    "finished": "SP_DialogApplyButton",
    "failed": "SP_MessageBoxCritical",
    "cancelled": "SP_MediaPause",
    "dead": "SP_MessageBoxWarning",
}


class RunsTable:
    """Shows runs in a table and keeps the chosen one chosen while rows come and go.

    Args:
        table: a QTableWidget.
        onChosen: called after another run was chosen, by a person or because the chosen one is gone.

    Attributes:
        chosen: the folder of the chosen run; None if none is chosen.
    """

    def __init__(self, table: qt.QTableWidget, onChosen: Callable[[], None]) -> None:
        self._table, self._onChosen = table, onChosen
        self.chosen: Path | None = None
        self._folders: list[Path] = []
        self._shown: list[RunSummary] = []
        titles = [_("Name"), _("State"), _("Step"), _("Loss")]
        table.setColumnCount(len(titles))
        table.setHorizontalHeaderLabels(titles)
        # The name gets what the other columns leave; tool tips show it whole.
        table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        self._fit()
        self._connections = Connections()
        self._connections.connect(table, "itemSelectionChanged()", self._onRow)

    def show(self, runs: Sequence[RunSummary]) -> None:
        """Show these runs, in this order; only cells that have changed are written."""
        if list(runs) == self._shown:
            return
        table, folders = self._table, [run.folder for run in runs]
        areOthers = folders != self._folders
        wasBlocked = table.blockSignals(True)
        if areOthers:
            table.setRowCount(len(runs))
        hasGrown = False
        for row, run in enumerate(runs):
            hasGrown |= self._showRow(row, run)
        self._folders, self._shown = folders, list(runs)
        if areOthers:
            self._select()
        table.blockSignals(wasBlocked)
        if areOthers or hasGrown:
            self._fit()

    def choose(self, folder: Path | None) -> None:
        """Choose the run in a folder, now or as soon as it is shown; None chooses none."""
        self.chosen = folder
        wasBlocked = self._table.blockSignals(True)
        self._select()
        self._table.blockSignals(wasBlocked)

    def close(self) -> None:
        """Undo all connections."""
        self._connections.close()

    def _showRow(self, row: int, run: RunSummary) -> bool:
        """Write a row; return whether a cell may need more width than before."""
        hasGrown = False
        for column, lines in enumerate(rowOf(run).lines):
            texts = [translated(line) for line in lines]
            text = "\n".join(texts)
            item = self._table.item(row, column)
            if item is None:
                item = qt.QTableWidgetItem()
                self._table.setItem(row, column, item)
            if item.text() != text:
                before = item.text().split("\n")
                hasGrown |= max(map(len, texts)) > max(map(len, before)) or (
                    column == 1 and texts[0] != before[0]
                )
                item.setText(text)
                item.setToolTip(text)
                if column == 1:
                    item.setIcon(self._table.style().standardIcon(getattr(qt.QStyle, _ICONS[run.state])))
        return hasGrown

    def _select(self) -> None:
        """Select the row of the chosen run; none if it is not shown."""
        if self.chosen in self._folders:
            row = self._folders.index(self.chosen)
            if self._table.currentRow() != row:
                self._table.setCurrentCell(row, 0)
        else:
            self._table.setCurrentCell(-1, -1)

    def _fit(self) -> None:
        table = self._table
        table.resizeColumnsToContents()
        # Some styles forget the margin between icon and text.
        table.setColumnWidth(1, table.columnWidth(1) + table.fontMetrics().averageCharWidth())
        table.resizeRowsToContents()

    def _onRow(self) -> None:
        row = self._table.currentRow()
        chosen = self._folders[row] if 0 <= row < len(self._folders) else None
        if chosen != self.chosen:
            self.chosen = chosen
            self._onChosen()
