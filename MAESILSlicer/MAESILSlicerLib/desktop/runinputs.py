"""The inputs of a new run in the section "Pre-train"."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILCore.methods import METHODS
from MAESILCore.methods.presets import preset_names
from MAESILCore.methods.wording import SUMMARIES
from MAESILSlicerLib.desktop import settings
from MAESILSlicerLib.desktop.devicelist import DeviceList
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.session.cost import Choice, Cost
from MAESILSlicerLib.session.runwords import (
    INTENSITIES,
    SEPARATOR,
    UNTIL_STOPPED,
    USUAL_METHOD,
    freeName,
    furtherOf,
    overridesOf,
    partsOf,
    sentence,
)
from MAESILSlicerLib.system import requirements

if TYPE_CHECKING:
    from MAESILSlicerLib.desktop.panel import Panel
    from MAESILSlicerLib.desktop.window import Window
    from MAESILSlicerLib.session.board import Board

#: The proposed size of a model: for a CPU.
_USUAL_PRESET = "small"


class RunInputs:
    """The inputs of a new run, the estimate of its cost, and whether it can be started.

    Args:
        window: the window.
        panel: the panel with the widgets.
        board: the runs, whose names are taken.

    Attributes:
        isLacking: whether only packages for pre-training are missing, as of the last `show`; the button installs them.
    """

    def __init__(self, window: Window, panel: Panel, board: Board) -> None:
        self._window, self._panel, self._board = window, panel, board
        self._proposedName = ""
        self._cost = Cost()
        self.isLacking = False
        #: What the inputs do not show of the run that was duplicated, and its name.
        self._further: dict[str, Any] = {}
        self._copiedName = ""
        self._ui = ui = window.ui
        self._devices = DeviceList(ui.pretrainDeviceComboBox)
        panel.connect(ui.scansButton, "clicked()", self._chooseScans)
        panel.connect(ui.scansEdit, "textChanged(QString)", self._onInput)
        panel.connect(ui.runNameEdit, "textChanged(QString)", self._onInput)
        panel.connect(ui.methodComboBox, "currentIndexChanged(int)", self._onMethod)
        panel.connect(ui.presetComboBox, "currentIndexChanged(int)", self._onPreset)
        for value, title in INTENSITIES.items():
            ui.intensityComboBox.addItem(translated(title), value)
        panel.connect(ui.intensityComboBox, "currentIndexChanged(int)", self._onIntensity)
        panel.connect(ui.pretrainDeviceComboBox, "activated(int)", self._onDevice)
        panel.connect(ui.untilStoppedCheckBox, "toggled(bool)", self._onUntilStopped)
        panel.connect(ui.stepsSpinBox, "valueChanged(int)", self._onSteps)
        panel.connect(ui.forgetCopiedButton, "clicked()", self._forgetCopied)
        panel.connect(ui.costButton, "clicked()", self._measure)

    @property
    def name(self) -> str:
        """Name of the new run."""
        return str(self._ui.runNameEdit.text.strip())

    @property
    def scans(self) -> list[Path]:
        """The folders in the line; a dropped folder arrives as an address."""
        parts = partsOf(self._ui.scansEdit.text)
        return [Path(qt.QUrl(part).toLocalFile() if part.startswith("file:") else part) for part in parts]

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `Board.start`, beside the scans."""
        ui, isEndless = self._ui, self._ui.untilStoppedCheckBox.checked
        return {
            "name": self.name,
            "method": ui.methodComboBox.currentData,
            "preset": ui.presetComboBox.currentData,
            "steps": self._steps(),
            "device": settings.device(),
            **self._further,
            "overrides": overridesOf(
                ui.holdOutEdit.text,
                isEndless,
                self._further.get("overrides"),
                str(ui.intensityComboBox.currentData),
            ),
        }

    @property
    def obstacle(self) -> str:
        """Why no run can be started; "" if one can."""
        scans = self.scans
        if not scans:
            return _("Choose a folder of scans, or a store, first.")
        missing = [path for path in scans if not path.exists()]
        if missing:
            return _("{path} does not exist; choose another folder of scans.").format(path=missing[0])
        return self._window.system.obstacle or ("" if self.name else _("Give the run a name first."))

    def open(self) -> None:
        """List the methods when the section is first opened; those of other packages are then looked up."""
        combo = self._ui.methodComboBox
        if combo.count == 0:
            # The method that the extension is named after is the first choice.
            for method in sorted(METHODS, key=lambda name: (name != USUAL_METHOD, name)):
                combo.addItem(method, method)
                summary = translated(SUMMARIES.get(method, ""))
                combo.setItemData(combo.count - 1, summary, qt.Qt.ToolTipRole)

    def show(self) -> None:
        """Show the devices, a free name, the cost, and whether a run can be started."""
        self._devices.show(self._window.system.report)
        # Some milliseconds, so not at every key stroke.
        self.isLacking = not self._window.system.obstacle and bool(requirements.unmetForTraining())
        self._proposeName()
        self._showStart()

    def look(self) -> None:
        """Show the end of a measurement; called once a second."""
        if self._cost.poll():
            self._showCost()

    def forgetName(self) -> None:
        """Propose a name again, after a run was started."""
        self._ui.runNameEdit.setText(self._proposedName)

    def close(self) -> None:
        """End a measurement."""
        self._cost.close()

    def copy(self, name: str, arguments: dict[str, Any]) -> None:
        """Fill the inputs with the choices of a run."""
        ui = self._ui
        index = ui.methodComboBox.findData(arguments["method"])
        if index < 0:
            self._window.notify(sentence("runs.no-method", method=arguments["method"]), True)
            return
        ui.methodComboBox.setCurrentIndex(index)
        preset = ui.presetComboBox.findData(arguments["preset"])
        if preset >= 0:
            ui.presetComboBox.setCurrentIndex(preset)
        ui.scansEdit.setText(f"{SEPARATOR} ".join(map(str, arguments["scans"])))
        ui.holdOutEdit.setText(f"{SEPARATOR} ".join(arguments["overrides"].get("hold_out", ())))
        intensity = ui.intensityComboBox.findData(arguments["overrides"].get("intensity", ""))
        ui.intensityComboBox.setCurrentIndex(max(0, intensity))
        steps = arguments["steps"] or ui.stepsSpinBox.value
        ui.untilStoppedCheckBox.setChecked(steps >= UNTIL_STOPPED)
        if steps < UNTIL_STOPPED:
            ui.stepsSpinBox.setValue(steps)
        taken = [run.name for run in self._board.runs]
        ui.runNameEdit.setText(freeName(name, "", taken))
        self._further, self._copiedName = furtherOf(arguments), name
        self._window.notify(sentence("runs.duplicated", name=name), False)
        self._showStart()
        ui.scrollArea.ensureWidgetVisible(ui.scansEdit)
        ui.runNameEdit.setFocus()
        ui.runNameEdit.selectAll()

    def _showStart(self) -> None:
        button, lacking = self._ui.startButton, self.isLacking
        button.setText(_("Install packages for pre-training...") if lacking else _("S&tart pre-training"))
        self._panel.allow(button, unless="" if lacking else self.obstacle)
        isOpen = self._ui.untilStoppedCheckBox.checked
        endless = _("The run goes on until you stop it.") if isOpen else ""
        self._panel.allow(self._ui.stepsSpinBox, unless=endless)
        copied = sentence("runs.copied", name=self._copiedName) if self._further else ""
        self._ui.copiedLabel.setText(translated(copied))
        self._ui.copiedLabel.setVisible(bool(copied))
        self._ui.forgetCopiedButton.setVisible(bool(copied))
        self._showCost()

    def _showCost(self) -> None:
        text = translated(self._cost.text(self._choice(), self._steps()))
        self._ui.costLabel.setText(text)
        self._ui.costLabel.setVisible(bool(text))
        measuring = _("The measurement is running.") if self._cost.isMeasuring else ""
        lacking = _("Install the packages for pre-training first.") if self.isLacking else ""
        self._panel.allow(self._ui.costButton, unless=self._window.system.obstacle or lacking or measuring)

    def _steps(self) -> int:
        ui = self._ui
        return UNTIL_STOPPED if ui.untilStoppedCheckBox.checked else int(ui.stepsSpinBox.value)

    def _choice(self) -> Choice:
        ui = self._ui
        return Choice(
            str(ui.methodComboBox.currentData or ""),
            ui.presetComboBox.currentData,
            settings.device(),
            self._further.get("overrides", {}),
        )

    def _measure(self) -> None:
        try:
            self._cost.measure(self._choice())
        except MaesilError as error:
            self._window.notify(str(error), True)
        self._showCost()

    def _onSteps(self, _steps: int) -> None:
        self._showCost()

    def _onMethod(self, _index: int) -> None:
        combo, method = self._ui.presetComboBox, self._ui.methodComboBox.currentData
        self._further = {}
        combo.clear()
        try:
            names = preset_names(method)
        except (MaesilError, ImportError) as error:
            self._window.notify(str(error), True)
            names = ()
        for name in names:
            combo.addItem(name, name)
        combo.setCurrentIndex(max(0, combo.findData(_USUAL_PRESET)))
        summary = translated(SUMMARIES.get(method, ""))
        self._ui.methodComboBox.setToolTip(summary or _("How the model learns without labels."))
        self._panel.allow(combo, unless="" if names else _("This method has one size only."))

    def _forgetCopied(self) -> None:
        self._further = {}
        self._showStart()

    def _onPreset(self, _index: int) -> None:
        self._proposeName()
        self._showStart()

    def _onInput(self, _text: str) -> None:
        self._showStart()

    def _onIntensity(self, _index: int) -> None:
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
