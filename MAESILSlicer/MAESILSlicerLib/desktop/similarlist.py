"""The list of similar places in the section "Features", and the index that is searched."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from MAESILCore.downstream.search.index import Index
from MAESILCore.errors import MaesilError
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.desktop.views import showVolume
from MAESILSlicerLib.session.similar import SimilarPlace, SimilarPlaces, pngOf
from MAESILSlicerLib.session.wording import sentence

if TYPE_CHECKING:
    from MAESILSlicerLib.desktop.featurespanel import FeaturesPanel

#: Milliseconds between looks at a running search.
_PAUSE = 100
#: Height of a row: a picture and a margin.
_ROW = 100


class SimilarList:
    """Starts a search, lists what it finds, and goes to what is chosen.

    Args:
        panel: the panel whose widgets these are.
        places: the search.
        notify: shows a sentence, and whether it is a failure.
    """

    def __init__(
        self, panel: FeaturesPanel, places: SimilarPlaces, notify: Callable[[str, bool], None]
    ) -> None:
        self._panel, self._places, self._notify = panel, places, notify
        self._ui = panel.ui
        self._index: Index | None = None
        self._pictures = tempfile.TemporaryDirectory(prefix="maesil-similar-")
        #: The rows, as they are shown.
        self._shown: list[SimilarPlace] = []
        self._timer = qt.QTimer()
        self._timer.setInterval(_PAUSE)
        table = self._ui.similarTable
        table.setColumnCount(2)
        table.verticalHeader().setDefaultSectionSize(_ROW)
        panel.connect(self._timer, "timeout()", self._onTimer)
        panel.connect(self._ui.similarButton, "clicked()", self._start)
        panel.connect(self._ui.similarIndexButton, "clicked()", self._chooseIndex)
        panel.connect(table, "cellClicked(int,int)", self._onCell)
        panel.connect(table, "cellActivated(int,int)", self._onCell)

    def refresh(self) -> None:
        """Show whether a search can be started, and what the last one has found."""
        ui = self._ui
        name = self._index.folder.name if self._index is not None else _("None: loaded volumes alone")
        if ui.similarIndexButton.text != name:
            ui.similarIndexButton.setText(name)
        self._panel.allow(ui.similarButton, unless=translated(self._places.obstacle))
        hint = translated(self._places.hint)
        ui.similarInfoLabel.setText(hint)
        ui.similarInfoLabel.setVisible(bool(hint))
        self._showRows()

    def close(self) -> None:
        """End a running search, and take the mark of a place out of the views."""
        self._timer.stop()
        self._places.close()
        self._pictures.cleanup()

    def _showRows(self) -> None:
        """Write the rows that have changed."""
        table, places = self._ui.similarTable, list(self._places.places)
        table.setVisible(bool(places))
        if table.rowCount != len(places):
            table.setRowCount(len(places))
        for row, place in enumerate(places):
            if row < len(self._shown) and self._shown[row] is place:
                continue
            picture, text = qt.QTableWidgetItem(), qt.QTableWidgetItem()
            if place.picture is not None:
                path = Path(self._pictures.name) / f"{row}.png"
                path.write_bytes(pngOf(place.picture))
                picture.setIcon(qt.QIcon(str(path)))
            words = f"{place.similarity:.3f}\n{place.name}"
            text.setText(words)
            text.setToolTip(words)
            table.setItem(row, 0, picture)
            table.setItem(row, 1, text)
        if self._shown != places:
            table.setColumnWidth(0, _ROW)
        self._shown = places

    def _start(self) -> None:
        try:
            self._places.start(self._index)
        except MaesilError as error:
            self._notify(str(error), True)
        else:
            self._timer.start()
        self.refresh()

    def _onTimer(self) -> None:
        hasChanged = self._places.poll()
        if not self._places.isRunning:
            self._timer.stop()
        if hasChanged:
            self.refresh()

    def _chooseIndex(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Folder that maesil index has written")
        )
        try:
            self._index = Index.open(folder) if folder else None
        except MaesilError as error:
            self._notify(str(error), True)
        self.refresh()

    def _onCell(self, row: int, _column: int) -> None:
        if not 0 <= row < len(self._places.places):
            return
        place = self._places.places[row]
        try:
            node = place.volumeNode
            if node is None or node.GetScene() is None:
                node = self._loaded(place)
            if node is None:
                return
            if self._ui.volumeSelector.currentNode() is not node:
                if self._panel.running:
                    raise MaesilError(self._panel.running)
                self._ui.volumeSelector.setCurrentNode(node)
            # At once, as the views are fitted to a volume that they did not show.
            showVolume(node)
            self._places.goTo(place, node)
        except MaesilError as error:
            self._notify(str(error), True)

    def _loaded(self, place: SimilarPlace) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The volume of a place of an index, which is read if the user agrees; None if not."""
        if place.scan is None:
            raise MaesilError(sentence("similar.deleted", volume=place.name))
        question = translated(sentence("similar.load", scan=place.name))
        if not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("Similar places")):
            return None
        with slicer.util.WaitCursor():
            return self._places.load(place)
