"""Section "Reconstruct": prediction, model, device, the button and the progress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import qt
import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILCore.jobs.estimate import estimate_text
from MAESILCore.models.card import SUFFIX
from MAESILCore.models.catalogue import list_models
from MAESILSlicerLib.desktop import settings
from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.estimate import Estimate
from MAESILSlicerLib.desktop.parameters import MAESILSlicerParameterNode, Prediction, coverageOf
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.session.models import readModelInfo
from MAESILSlicerLib.session.session import Session
from MAESILSlicerLib.system.report import SystemReport
from MAESILSlicerLib.system.wording import deviceText

#: Maximum of the progress bar.
WHOLE = 1000


class ReconstructPanel:
    """Starts and cancels the reconstruction; shows why it cannot be started.

    Args:
        ui: the window's widgets.
        session: the session to show.
        onStart: called when the button is pressed and no job is running.
        onFailed: called with a sentence when a chosen file is not a usable model.
        obstacle: returns why a reconstruction cannot be started; "" if it can.
        modelProblem: returns why the scene's model cannot be used; "" if it is in use.
        estimate: estimates the duration.
    """

    def __init__(
        self,
        ui: SimpleNamespace,
        session: Session,
        onStart: Callable[[], None],
        onFailed: Callable[[str], None],
        obstacle: Callable[[], str],
        modelProblem: Callable[[], str],
        estimate: Estimate,
    ) -> None:
        self._ui, self._session = ui, session
        self._onStart, self._onFailed = onStart, onFailed
        self._obstacle, self._modelProblem, self._estimate = obstacle, modelProblem, estimate
        self._parameters: MAESILSlicerParameterNode | None = None
        self._unusable = ""
        self._connections = Connections()
        self._connections.connect(ui.reconstructButton, "clicked()", self._onButton)
        self._connections.connect(ui.modelButton, "clicked()", self._chooseFile)
        self._connections.connect(ui.modelComboBox, "activated(int)", self._onModel)
        self._connections.connect(ui.deviceComboBox, "activated(int)", self._onDevice)
        self._connections.connect(ui.batchSizeSpinBox, "valueChanged(int)", self._onBatchSize)
        self._report: SystemReport | None = None
        self._showSettings()
        for model in list_models():
            if not model.obstacle:
                ui.modelComboBox.addItem(model.title, model.title)

    def setParameters(self, parameters: MAESILSlicerParameterNode | None) -> None:
        """Use another parameter node."""
        self._parameters = parameters

    def refresh(self) -> None:
        """Show the parameters, the session and the settings."""
        self._showSettings()
        self.showJob()
        if self._parameters is not None:
            self._showModel(self._parameters.model)
            self._showPrediction(self._parameters)
            self._showEstimate(self._parameters)

    def showJob(self) -> None:
        """Show the state and progress of the job."""
        self._showButton()
        self._showProgress()

    def close(self) -> None:
        """Undo all connections."""
        self._connections.close()

    # The button and the progress

    def _showButton(self) -> None:
        button, job = self._ui.reconstructButton, self._session.job
        if job is None:
            reason = self._obstacle()
            button.setText(_("&Reconstruct"))
            button.setEnabled(not reason)
            button.setToolTip(reason or _("Let the model fill in what is hidden."))
        elif job.state == "cancelling":
            button.setText(_("Cancelling ..."))
            button.setEnabled(False)
            button.setToolTip(_("The job ends and frees its memory; this takes a few seconds at most."))
        else:
            button.setText(_("&Cancel"))
            button.setEnabled(True)
            button.setToolTip(_("Stop the reconstruction; nothing of it is kept."))

    def _showProgress(self) -> None:
        bar, job = self._ui.progressBar, self._session.job
        bar.setVisible(job is not None)
        if job is None:
            return
        # A bar without a range shows activity while the progress is unknown.
        bar.setMaximum(WHOLE if job.fraction else 0)
        bar.setValue(round(WHOLE * job.fraction))
        left = job.seconds_left
        bar.setFormat(
            "%p %" if left is None else _("%p %, {time} left").format(time=translated(estimate_text(left)))
        )

    def _onButton(self) -> None:
        if self._session.isRunning:
            self._session.cancel()
        else:
            self._onStart()

    # The model

    def _showModel(self, model: str) -> None:
        combo, shown = self._ui.modelComboBox, model or self._session.model.name
        problem = self._modelProblem()
        if self._unusable not in ("", shown):
            combo.removeItem(combo.findData(self._unusable))
        self._unusable = shown if problem else ""
        index = combo.findData(shown)
        if index < 0:
            combo.addItem(Path(shown).name, shown)
            index = combo.findData(shown)
        if combo.currentIndex != index:
            combo.setCurrentIndex(index)
        isRunning = self._session.isRunning
        for widget, purpose in (
            (combo, _("The model that fills in what is hidden.")),
            (self._ui.modelButton, _("Choose a checkpoint file (.safetensors) made by MAESIL.")),
        ):
            widget.setEnabled(not isRunning)
            widget.setToolTip(_("The reconstruction with this model is running.") if isRunning else purpose)
        lines = [problem] if problem else self._session.model.text.splitlines()
        self._ui.modelInfoLabel.setText("\n".join(lines[:2]))
        self._ui.modelCardLabel.setText("\n".join(lines[2:]))

    def _onModel(self, index: int) -> None:
        self._useModel(self._ui.modelComboBox.itemData(index))

    def _useModel(self, model: str) -> None:
        """Choose a model; if it cannot be used, the previous one stays in the window and the scene."""
        if self._parameters is None:
            return
        try:
            readModelInfo(model)
        except MaesilError as error:
            self._onFailed(str(error))
        else:
            self._parameters.model = model
        self.refresh()

    def _chooseFile(self) -> None:
        path = qt.QFileDialog.getOpenFileName(
            slicer.util.mainWindow(),
            _("Choose a MAESIL checkpoint"),
            "",
            _("Checkpoints (*{suffix})").format(suffix=SUFFIX),
        )
        if path:
            self._useModel(path)

    # What is predicted

    def _showPrediction(self, parameters: MAESILSlicerParameterNode) -> None:
        isRegion = parameters.mode.isRegion
        shown = Prediction.SHOWN_MASK if isRegion else parameters.prediction
        combo, spinBox = self._ui.predictionComboBox, self._ui.maskCountSpinBox
        # For a region, show the value in effect; the choice for other modes stays in the parameter node.
        wasBlocked = combo.blockSignals(True)
        combo.setCurrentIndex(list(Prediction).index(shown))
        combo.blockSignals(wasBlocked)
        combo.setEnabled(not isRegion)
        combo.setToolTip(
            _("A region is hidden as it is; choose another mask above to predict every patch.")
            if isRegion
            else _(
                "Cover all patches: several masks of the kind above together hide every patch, and each patch is "
                "predicted from what is visible around it. Or predict only what the mask in the views hides."
            )
        )
        spinBox.setVisible(shown is Prediction.EVERY_PATCH)

    def _showEstimate(self, parameters: MAESILSlicerParameterNode) -> None:
        sentence = self._estimate.text(settings.device(), coverageOf(parameters), parameters.scores)
        isKnown = bool(sentence) and not (self._session.isRunning or self._modelProblem())
        self._ui.estimateLabel.setText(sentence if isKnown else "")
        self._ui.estimateLabel.setVisible(isKnown)

    # The computer

    def showDevices(self, report: SystemReport | None) -> None:
        """List the devices of a system check; only the automatic choice while the check runs."""
        self._report = report
        combo, chosen = self._ui.deviceComboBox, settings.device()
        devices = [device for device in report.devices if not device.problem] if report is not None else []
        combo.clear()
        combo.addItem(_("Automatic: the GPU if there is one"), settings.AUTOMATIC)
        for device in devices:
            combo.addItem(deviceText(device), device.id)
        if combo.findData(chosen) < 0:
            absent = _("{device}, not found") if report is not None else _("{device}, not checked yet")
            combo.addItem(absent.format(device=chosen), chosen)
        combo.setCurrentIndex(combo.findData(chosen))

    def _showSettings(self) -> None:
        """Show the stored settings, which may have been deleted."""
        if self._ui.deviceComboBox.currentData != settings.device():
            self.showDevices(self._report)
        if self._ui.batchSizeSpinBox.value != (settings.batchSize() or 0):
            self._ui.batchSizeSpinBox.setValue(settings.batchSize() or 0)

    def _onDevice(self, index: int) -> None:
        settings.setDevice(self._ui.deviceComboBox.itemData(index))
        self.refresh()

    def _onBatchSize(self, count: int) -> None:
        settings.setBatchSize(count)
