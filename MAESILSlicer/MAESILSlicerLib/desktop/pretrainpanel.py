"""Section "Pre-train": starts runs in the background and lists those of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILCore.methods import METHODS
from MAESILCore.methods.presets import preset_names
from MAESILSlicerLib.desktop import settings
from MAESILSlicerLib.desktop.chosenrun import ChosenRun
from MAESILSlicerLib.desktop.devicelist import DeviceList
from MAESILSlicerLib.desktop.panel import Panel
from MAESILSlicerLib.desktop.runstable import RunsTable
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.session.cost import Choice, Cost
from MAESILSlicerLib.session.runwords import (
    SEPARATOR,
    UNTIL_STOPPED,
    Endings,
    freeName,
    overridesOf,
    partsOf,
    sentence,
)
from MAESILSlicerLib.system import requirements

if TYPE_CHECKING:
    from MAESILSlicerLib.desktop.window import Window

INTERVAL_MS = 1000
#: The proposed size of a model: for a CPU.
_USUAL_PRESET = "small"


class PretrainPanel(Panel):
    """Starts runs and shows those of the chosen folder; reads the disk only while the section is open."""

    uiFile = "Pretrain.ui"
    topics = frozenset({"system", "runs", "layout", "job"})

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._board = window.study.board
        self._isEntered = False
        self._proposedName = ""
        self._endings = Endings()
        self._cost = Cost()
        #: Arguments of the run that was duplicated, without those that the inputs show.
        self._copied: dict[str, Any] = {}
        ui = self._ui
        self._devices = DeviceList(ui.pretrainDeviceComboBox)
        self._table = RunsTable(ui.runsTable, self._showChosen)
        self._chosen = ChosenRun(window, self, self._board, self._duplicate, self._onDeleted)
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self.connect(self._timer, "timeout()", self._look)
        self.connect(ui.pretrainSection, "contentsCollapsed(bool)", self._onCollapsed)
        self.connect(ui.scansButton, "clicked()", self._chooseScans)
        self.connect(ui.scansEdit, "textChanged(QString)", self._onInput)
        self.connect(ui.runsFolderButton, "clicked()", self._chooseRunsFolder)
        self.connect(ui.runNameEdit, "textChanged(QString)", self._onInput)
        self.connect(ui.methodComboBox, "currentIndexChanged(int)", self._onMethod)
        self.connect(ui.presetComboBox, "currentIndexChanged(int)", self._onPreset)
        self.connect(ui.pretrainDeviceComboBox, "activated(int)", self._onDevice)
        self.connect(ui.untilStoppedCheckBox, "toggled(bool)", self._onUntilStopped)
        self.connect(ui.stepsSpinBox, "valueChanged(int)", self._onSteps)
        self.connect(ui.costButton, "clicked()", self._measure)
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
        """Show the inputs' state, the runs and the chosen run."""
        self._devices.show(self._window.system.report)
        self._ui.runsFolderEdit.setText(str(settings.runsFolder()))
        self._ui.runsFolderEdit.setToolTip(str(settings.runsFolder()))
        self._proposeName()
        self._showStart()
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
        self._cost.close()
        self._table.close()
        self._chosen.close()

    # The inputs

    def _scans(self) -> list[Path]:
        """The folders in the line; a dropped folder arrives as an address."""
        parts = partsOf(self._ui.scansEdit.text)
        return [Path(qt.QUrl(part).toLocalFile() if part.startswith("file:") else part) for part in parts]

    def _obstacle(self) -> str:
        """Why no run can be started; "" if one can."""
        scans = self._scans()
        if not scans:
            return _("Choose a folder of scans, or a store, first.")
        missing = [path for path in scans if not path.exists()]
        if missing:
            return _("{path} does not exist; choose another folder of scans.").format(path=missing[0])
        if not self._ui.runNameEdit.text.strip():
            return _("Give the run a name first.")
        return self._window.system.obstacle

    def _lacking(self) -> bool:
        """Whether only packages for pre-training are missing, which the button then installs."""
        return not self._window.system.obstacle and bool(requirements.unmetForTraining())

    def _showStart(self) -> None:
        button, lacking = self._ui.startButton, self._lacking()
        button.setText(_("Install packages for pre-training...") if lacking else _("S&tart pre-training"))
        self.allow(button, unless="" if lacking else self._obstacle())
        isOpen = self._ui.untilStoppedCheckBox.checked
        endless = _("The run goes on until you stop it.") if isOpen else ""
        self.allow(self._ui.stepsSpinBox, unless=endless)
        copied = self._copied.get("name", "")
        self._ui.copiedLabel.setText(
            _("All other settings are those of {name}.").format(name=copied) if copied else ""
        )
        self._ui.copiedLabel.setVisible(bool(copied))
        self._showCost()

    def _showCost(self) -> None:
        steps = UNTIL_STOPPED if self._ui.untilStoppedCheckBox.checked else self._ui.stepsSpinBox.value
        text = translated(self._cost.text(self._choice(), steps))
        self._ui.costLabel.setText(text)
        self._ui.costLabel.setVisible(bool(text))
        measuring = _("The measurement is running.") if self._cost.isMeasuring else ""
        lacking = _("Install the packages for pre-training first.") if self._lacking() else ""
        self.allow(self._ui.costButton, unless=self._window.system.obstacle or lacking or measuring)

    def _choice(self) -> Choice:
        ui = self._ui
        return Choice(
            str(ui.methodComboBox.currentData or ""),
            ui.presetComboBox.currentData,
            settings.device(),
            overridesOf("", False, self._copied.get("overrides")),
        )

    def _measure(self) -> None:
        try:
            self._cost.measure(self._choice())
        except MaesilError as error:
            self._window.notify(str(error), True)
        self._showCost()

    def _onSteps(self, _steps: int) -> None:
        self._showCost()

    def _fillMethods(self) -> None:
        """List the methods when the section is first opened; those of other packages are then looked up."""
        combo = self._ui.methodComboBox
        if combo.count == 0:
            for method in sorted(METHODS):
                combo.addItem(method, method)

    def _onMethod(self, _index: int) -> None:
        combo, method = self._ui.presetComboBox, self._ui.methodComboBox.currentData
        self._copied = {}
        combo.clear()
        try:
            names = preset_names(method)
        except (MaesilError, ImportError) as error:
            self._window.notify(str(error), True)
            names = ()
        for name in names:
            combo.addItem(name, name)
        combo.setCurrentIndex(max(0, combo.findData(_USUAL_PRESET)))
        self.allow(combo, unless="" if names else _("This method has one size only."))

    def _onPreset(self, _index: int) -> None:
        self._proposeName()
        self._showStart()

    def _onInput(self, _text: str) -> None:
        self._showStart()

    def _onUntilStopped(self, _isChecked: bool) -> None:
        self._showStart()

    def _onDevice(self, index: int) -> None:
        self._devices.choose(index)
        self._window.schedule("system")

    def _proposeName(self) -> None:
        """Keep the name free, unless a person has typed one."""
        edit, ui = self._ui.runNameEdit, self._ui
        method = ui.methodComboBox.currentData
        if edit.text not in ("", self._proposedName) or edit.hasFocus() or not method:
            return
        taken = [run.name for run in self._board.runs]
        self._proposedName = freeName(method, ui.presetComboBox.currentData or "", taken)
        if edit.text != self._proposedName:
            edit.setText(self._proposedName)

    def _chooseScans(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Choose the folder of scans, or a store")
        )
        if folder:
            self._ui.scansEdit.setText(folder)

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
        if self._lacking():
            self._window.system.installForTraining()
            return
        if self._obstacle():
            return
        ui, copied = self._ui, self._copied
        isEndless = ui.untilStoppedCheckBox.checked
        try:
            with slicer.util.WaitCursor():
                self._look()
                folder = self._board.start(
                    self._scans(),
                    name=ui.runNameEdit.text.strip(),
                    method=ui.methodComboBox.currentData,
                    preset=ui.presetComboBox.currentData,
                    steps=UNTIL_STOPPED if isEndless else ui.stepsSpinBox.value,
                    device=settings.device(),
                    overrides=overridesOf(ui.holdOutEdit.text, isEndless, copied.get("overrides")),
                    initial=copied.get("initial"),
                )
        except MaesilError as error:
            self._window.notify(str(error), True)
            return
        self._window.notify(sentence("runs.started", name=ui.runNameEdit.text.strip()), False)
        ui.runNameEdit.setText(self._proposedName)
        self._table.choose(folder)
        self._look()
        self.refresh()

    def _duplicate(self, name: str, arguments: dict[str, Any]) -> None:
        """Fill the inputs with the choices of a run."""
        ui = self._ui
        index = ui.methodComboBox.findData(arguments["method"] or "maesil")
        if index < 0:
            self._window.notify(
                _("The method {method} of this run is not installed.").format(method=arguments["method"]),
                True,
            )
            return
        ui.methodComboBox.setCurrentIndex(index)
        preset = ui.presetComboBox.findData(arguments["preset"])
        if preset >= 0:
            ui.presetComboBox.setCurrentIndex(preset)
        ui.scansEdit.setText(f"{SEPARATOR} ".join(map(str, arguments["scans"])))
        ui.holdOutEdit.setText(f"{SEPARATOR} ".join(arguments["overrides"].get("hold_out", ())))
        steps = arguments["steps"] or ui.stepsSpinBox.value
        ui.untilStoppedCheckBox.setChecked(steps >= UNTIL_STOPPED)
        if steps < UNTIL_STOPPED:
            ui.stepsSpinBox.setValue(steps)
        taken = [run.name for run in self._board.runs]
        ui.runNameEdit.setText(freeName(name, "", taken))
        hasMore = overridesOf("", False, arguments["overrides"]) or arguments["initial"]
        self._copied = arguments if hasMore else {}
        self._window.notify(sentence("runs.duplicated", name=name), False)
        self._showStart()
        ui.scrollArea.ensureWidgetVisible(ui.scansEdit)
        ui.runNameEdit.setFocus()

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
            self._fillMethods()
            self._look()
            self._timer.start()
            self._window.schedule("runs")
        else:
            self._timer.stop()

    def _look(self) -> None:
        self._window.study.runs()
        self._chosen.look()
        if self._cost.poll():
            self._showCost()
