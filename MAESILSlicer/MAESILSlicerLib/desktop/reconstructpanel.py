"""Section "Reconstruct": prediction, model, device, the button and the progress."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILCore.jobfolder import JobFolder
from MAESILCore.jobs.estimate import estimate_text
from MAESILCore.models.catalogue import list_models
from MAESILSlicerLib.desktop import settings
from MAESILSlicerLib.desktop.devicelist import DeviceList
from MAESILSlicerLib.desktop.estimate import Estimate
from MAESILSlicerLib.desktop.modelfile import chosenCheckpoint
from MAESILSlicerLib.desktop.panel import Panel
from MAESILSlicerLib.desktop.parameters import (
    MAESILSlicerParameterNode,
    Prediction,
    coverageOf,
    windowOf,
    windowText,
)
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.session.choices import ReconstructionChoices
from MAESILSlicerLib.session.models import readModelInfo

if TYPE_CHECKING:
    from MAESILSlicerLib.desktop.window import Window

#: Maximum of the progress bar.
WHOLE = 1000


class ReconstructPanel(Panel):
    """Starts and cancels the reconstruction; shows why it cannot be started."""

    uiFile = "Reconstruct.ui"
    topics = frozenset({"volume", "model", "mask", "job", "choices", "system", "results"})

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._estimate = Estimate(self._session, lambda: window.schedule("system"))
        self._unusable = ""
        ui = self._ui
        self._devices = DeviceList(ui.deviceComboBox)
        self.connect(ui.reconstructButton, "clicked()", self._onButton)
        self.connect(ui.modelButton, "clicked()", self._chooseFile)
        self.connect(ui.modelComboBox, "activated(int)", self._onModel)
        self.connect(ui.windowComboBox, "activated(int)", self._onWindow)
        self.connect(ui.deviceComboBox, "activated(int)", self._onDevice)
        self.connect(ui.batchSizeSpinBox, "valueChanged(int)", settings.setBatchSize)
        for model in list_models():
            if not model.obstacle:
                self._ui.modelComboBox.addItem(model.title, model.title)

    def refresh(self) -> None:
        """Show the parameters, the session, the devices of the system check and the settings."""
        report = self._window.system.report
        self._devices.show(report)
        hasWorked = self._session.made is not None and not self._estimate.isKnown
        if hasWorked or (report is not None and report.canCompute):
            self._estimate.measure()
        if self._ui.batchSizeSpinBox.value != (settings.batchSize() or 0):
            self._ui.batchSizeSpinBox.setValue(settings.batchSize() or 0)
        self.showJob()
        if self._parameters is not None:
            self._showModel(self._parameters.model)
            self._showWindows(self._parameters)
            self._showPrediction(self._parameters)
            self._showEstimate(self._parameters)

    def showJob(self) -> None:
        """Show the state and progress of the job."""
        self._showButton()
        self._showProgress()

    def close(self) -> None:
        """Undo all connections."""
        super().close()
        self._estimate.close()

    # The button and the progress

    def _showButton(self) -> None:
        button, job = self._ui.reconstructButton, self._session.job
        if job is None:
            button.setText(_("&Reconstruct"))
            self.allow(button, unless=self._obstacle())
        elif job.state == "cancelling":
            button.setText(_("Cancelling ..."))
            button.setEnabled(False)
            button.setToolTip(_("The job ends and frees its memory; this takes a few seconds."))
        else:
            button.setText(_("&Cancel"))
            button.setEnabled(True)
            button.setToolTip(_("Stop the job and discard its results."))

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
            self._start()

    def _obstacle(self) -> str:
        """Why a reconstruction cannot be started; "" if it can."""
        if self._parameters is None or self._session.volumeNode is None:
            return _("Choose a volume first.")
        window = self._window
        return self._session.check.problem or window.study.follower.problem or window.system.obstacle

    def _start(self) -> None:
        # A slider's change may still be pending.
        self._window.study.follower.applyNow()
        if self._obstacle():
            return
        parameters = self._parameters
        choices = ReconstructionChoices(
            coverage=coverageOf(parameters),
            device=settings.device(),
            batchSize=settings.batchSize(),
            window=windowOf(parameters, self._session.model),
            scores=parameters.scores,
            export=parameters.export,
        )
        try:
            with slicer.util.WaitCursor():
                self._session.startReconstruction(choices)
        except MaesilError as error:
            self._window.notify(str(error), True)

    # The model

    def _showModel(self, model: str) -> None:
        combo, shown = self._ui.modelComboBox, model or self._session.model.name
        problem = self._problemOf("model")
        if self._unusable not in ("", shown):
            combo.removeItem(combo.findData(self._unusable))
        self._unusable = shown if problem else ""
        index = combo.findData(shown)
        if index < 0:
            combo.addItem(_titleOf(Path(shown)), shown)
            index = combo.findData(shown)
        if combo.currentIndex != index:
            combo.setCurrentIndex(index)
        self.allow(combo, self._ui.modelButton, unless=self._running())
        lines = [translated(line) for line in ((problem,) if problem else self._session.model.lines)]
        self._ui.modelInfoLabel.setText("\n".join(lines[:2]))
        self._ui.modelCardLabel.setText("\n".join(lines[2:]))

    def _showWindows(self, parameters: MAESILSlicerParameterNode) -> None:
        """List the model's windows; one window leaves no choice."""
        combo, windows = self._ui.windowComboBox, self._session.model.windows
        shown = [("" if number == 0 else windowText(one)) for number, one in enumerate(windows)]
        titles = [translated(title) for title in windows.values()]
        if [combo.itemText(number) for number in range(combo.count)] != titles:
            combo.clear()
            for title, value in zip(titles, shown, strict=True):
                combo.addItem(title, value)
        chosen = parameters.window if parameters.window in shown else ""
        if windows and combo.currentData != chosen:
            combo.setCurrentIndex(shown.index(chosen))
        for widget in (combo, self._ui.windowLabel):
            widget.setVisible(bool(windows))

    def _onWindow(self, index: int) -> None:
        if self._parameters is not None:
            self._parameters.window = str(self._ui.windowComboBox.itemData(index))

    def _onModel(self, index: int) -> None:
        self.useModel(self._ui.modelComboBox.itemData(index))

    def useModel(self, model: str) -> bool:
        """Choose a model and return whether it can be used; if not, the previous one stays, and the status says why."""
        if self._parameters is None:
            return False
        try:
            readModelInfo(model)
        except MaesilError as error:
            self._window.notify(str(error), True)
            return False
        finally:
            self.refresh()
        self._parameters.model = model
        return True

    def _chooseFile(self) -> None:
        path = chosenCheckpoint()
        if path:
            self.useModel(path)

    # What is predicted

    def _showPrediction(self, parameters: MAESILSlicerParameterNode) -> None:
        ui, reason = self._ui, self._window.noMask
        if parameters.mode.isRegion and not reason:
            reason = _("A region is a single mask; choose another mask above to cover all patches.")
        shown = Prediction.SHOWN_MASK if reason else parameters.prediction
        # Show the value in effect; the user's choice stays in the parameter node.
        wasBlocked = ui.predictionComboBox.blockSignals(True)
        ui.predictionComboBox.setCurrentIndex(list(Prediction).index(shown))
        ui.predictionComboBox.blockSignals(wasBlocked)
        self.allow(ui.predictionComboBox, unless=reason)
        ui.maskCountSpinBox.setVisible(shown is Prediction.EVERY_PATCH)
        for widget in (ui.predictionLabel, ui.predictionComboBox):
            # A model that sees everything leaves no choice.
            widget.setVisible(not self._window.noMask)

    def _showEstimate(self, parameters: MAESILSlicerParameterNode) -> None:
        text = ""
        if not (self._session.isRunning or self._problemOf("model")):
            text = self._estimate.text(settings.device(), coverageOf(parameters), parameters.scores)
        self._ui.estimateLabel.setText(text)
        self._ui.estimateLabel.setVisible(bool(text))

    def _onDevice(self, index: int) -> None:
        self._devices.choose(index)
        self._window.schedule("system")


def _titleOf(path: Path) -> str:
    """The name of a model's file; that of the model if it is of a run, because all runs name their files alike."""
    isOfRun = any(JobFolder(folder).is_described for folder in path.parents[:2])
    try:
        return readModelInfo(str(path)).name if isOfRun else path.name
    except MaesilError:
        return path.name
