"""The table of the volumes of a scene, with a tick at those to learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt
from slicer.i18n import tr as _

from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.session.segmenting import SceneCase


class CaseTable:
    """Shows the volumes and their segmentations, and remembers which are ticked.

    Segmentations made by hand are ticked until a person says otherwise; those of a model are not, as only a person can
    say that one is correct.

    Args:
        table: a QTableWidget.
        onTicked: called after a person has ticked a volume or removed a tick.
    """

    def __init__(self, table: qt.QTableWidget, onTicked: Callable[[], None]) -> None:
        self._table, self._onTicked = table, onTicked
        self._cases: list[SceneCase] = []
        #: What a person has chosen, by the ID of the segmentation.
        self._chosen: dict[str, bool] = {}
        table.setColumnCount(2)
        table.setHorizontalHeaderLabels([_("Learn from"), _("Segmentation")])
        table.horizontalHeader().setSectionResizeMode(1, qt.QHeaderView.Stretch)
        self._connections = Connections()
        self._connections.connect(table, "itemChanged(QTableWidgetItem*)", self._onItem)

    @property
    def ticked(self) -> list[SceneCase]:
        """The volumes to learn from."""
        return [case for case in self._cases if self._isTicked(case)]

    @property
    def others(self) -> list[SceneCase]:
        """The volumes that are not ticked."""
        return [case for case in self._cases if not self._isTicked(case)]

    def show(self, cases: Sequence[SceneCase]) -> None:
        """Show these volumes, in this order."""
        self._cases = list(cases)
        table = self._table
        wasBlocked = table.blockSignals(True)
        table.setRowCount(len(self._cases))
        for row, case in enumerate(self._cases):
            for column, text in enumerate((case.volumeNode.GetName(), translated(case.text))):
                item = table.item(row, column)
                if item is None:
                    item = qt.QTableWidgetItem()
                    table.setItem(row, column, item)
                if item.text() != text:
                    item.setText(text)
                    item.setToolTip(text)
            self._showTick(table.item(row, 0), case)
        table.resizeColumnToContents(0)
        table.blockSignals(wasBlocked)

    def close(self) -> None:
        """Undo all connections."""
        self._connections.close()

    def _showTick(self, item: qt.QTableWidgetItem, case: SceneCase) -> None:
        flags = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
        if case.segmentationNode is not None:
            flags |= qt.Qt.ItemIsUserCheckable
        item.setFlags(flags)
        item.setCheckState(qt.Qt.Checked if self._isTicked(case) else qt.Qt.Unchecked)

    def _isTicked(self, case: SceneCase) -> bool:
        node = case.segmentationNode
        return node is not None and self._chosen.get(node.GetID(), case.isByHand)

    def _onItem(self, item: qt.QTableWidgetItem) -> None:
        row = self._table.row(item)
        if item is None or self._table.column(item) != 0 or not 0 <= row < len(self._cases):
            return
        node = self._cases[row].segmentationNode
        if node is not None:
            self._chosen[node.GetID()] = item.checkState() == qt.Qt.Checked
            self._onTicked()
