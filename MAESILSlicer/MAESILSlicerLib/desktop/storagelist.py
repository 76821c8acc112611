"""The list of items that MAESIL stores on disk, with a button to delete them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import qt
import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import ConfigError, MaesilError
from MAESILCore.jobs.reconstruction import ReconstructionRequest
from MAESILSlicerLib.desktop import settings
from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.scene import samples
from MAESILSlicerLib.session.session import Session
from MAESILSlicerLib.system.storage import Place, Storage, StoredItem
from MAESILSlicerLib.system.wording import sizeText

#: Delay before a question accepts an answer, so that a double click does not confirm it.
PAUSE_MS = 700


class StorageList:
    """Lists jobs, exported files, the sample and the settings with their sizes, and deletes the selection.

    Args:
        ui: the window's widgets.
        session: the session whose jobs create files.
        notify: called with a sentence and whether it reports a failure.
    """

    def __init__(self, ui: SimpleNamespace, session: Session, notify: Callable[[str, bool], None]) -> None:
        self._ui, self._session, self._notify = ui, session, notify
        self._items: list[StoredItem] = []
        self._storage = Storage(_places(session), self._runningFolders)
        self._wasRunning = False
        self._isAsked = False
        self._pause = qt.QTimer()
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        ui.storageTable.setColumnCount(2)
        ui.storageTable.setHorizontalHeaderLabels([_("What"), _("Size")])
        self._connections = Connections()
        self._connections.connect(ui.deleteButton, "clicked()", self._delete)
        self._connections.connect(ui.storageTable, "itemSelectionChanged()", self._onRow)
        self._connections.connect(self._pause, "timeout()", self._showButton)

    def refresh(self) -> None:
        """Read the disk again and clear the selection, because rows may have moved."""
        self._items = self._storage.items()
        if settings.areStored():
            self._items.append(StoredItem("settings", settings.file(), 0))
        table = self._ui.storageTable
        table.setCurrentCell(-1, -1)
        table.setRowCount(len(self._items))
        for row, item in enumerate(self._items):
            table.setItem(row, 0, qt.QTableWidgetItem(self._nameOf(item)))
            table.setItem(row, 1, qt.QTableWidgetItem(sizeText(item.bytes) if item.bytes else ""))
        table.resizeColumnsToContents()
        table.setVisible(bool(self._items))
        self._ui.deleteButton.setVisible(bool(self._items))
        total = sum(item.bytes for item in self._items)
        self._ui.storageLabel.setText(
            _("MAESIL keeps {size} on this computer:").format(size=sizeText(total))
            if self._items
            else _("MAESIL keeps nothing on this computer.")
        )
        self._onRow()

    def showRunning(self) -> None:
        """Read the disk again when a job has started or ended."""
        if self._session.isRunning != self._wasRunning:
            self._wasRunning = self._session.isRunning
            self.refresh()

    def close(self) -> None:
        """Undo all connections."""
        self._pause.stop()
        self._connections.close()

    def _runningFolders(self) -> list[Path]:
        folder = self._session.jobFolder
        return [folder] if folder is not None else []

    def _chosen(self) -> StoredItem | None:
        row = self._ui.storageTable.currentRow()
        return self._items[row] if 0 <= row < len(self._items) else None

    def _onRow(self) -> None:
        self._isAsked = False
        self._pause.stop()
        self._showButton()

    def _showButton(self) -> None:
        item, button = self._chosen(), self._ui.deleteButton
        button.setEnabled(item is not None and not item.inUse and not self._pause.active)
        button.setText(_("Delete for good?") if self._isAsked else _("Delete"))
        if item is None:
            button.setToolTip(_("Choose a row first."))
        elif item.inUse:
            button.setToolTip(_("A running job uses it; cancel the job or wait for it."))
        elif self._isAsked:
            button.setToolTip(_("Press again to delete it; choose another row to keep it."))
        else:
            button.setToolTip(_("Delete {name} for good.").format(name=self._nameOf(item)))

    def _delete(self) -> None:
        item = self._chosen()
        if item is None:
            return
        if _isWork(item) and not self._isAsked:
            self._isAsked = True
            self._pause.start()
            self._showButton()
            return
        freed = 0
        try:
            if item.kind == "settings":
                settings.forget()
            else:
                freed = self._storage.delete(item)
        except MaesilError as error:
            self._notify(str(error), True)
        else:
            sentence = (
                _("Deleted; {size} are free now.").format(size=sizeText(freed)) if freed else _("Deleted.")
            )
            self._notify(sentence, False)
        self.refresh()

    def _nameOf(self, item: StoredItem) -> str:
        if item.kind == "settings":
            return _("Settings")
        if item.kind == "sample":
            return _("Sample ({name})").format(name=item.path.name)
        if _isWork(item):
            return _("Written files ({name})").format(name=self._scanOfFiles(item.path) or item.path.name)
        return _("Job ({name})").format(name=_scanOfJob(item.path) or item.path.name)

    def _scanOfFiles(self, folder: Path) -> str:
        """The name of the scan of these exported files; "" if it is not the shown volume."""
        files = self._session.exportFolder
        return self._session.volumeNode.GetName() if files is not None and files.parent == folder else ""


def _places(session: Session) -> list[Place]:
    folder = samples.cacheFolder(slicer.mrmlScene)
    kept = [Place("sample", folder, samples.FILE_NAME)] if folder is not None else []
    return [Place("job", session.jobsFolder), *kept]


def _isWork(item: StoredItem) -> bool:
    """Whether only another reconstruction can restore the item."""
    return item.kind == "job" and item.path.name.startswith("export-")


def _scanOfJob(folder: Path) -> str:
    """The name of a job's input scan; "" if its folder does not contain it."""
    try:
        return ReconstructionRequest.read(folder).name
    except ConfigError:
        return ""
