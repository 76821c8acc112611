"""Section "Features": computes the features of the volume, shows them, and asks where they agree with a point."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILCore.models.catalogue import list_models
from MAESILSlicerLib.desktop import settings
from MAESILSlicerLib.desktop.modelfile import chosenCheckpoint
from MAESILSlicerLib.desktop.panel import Panel
from MAESILSlicerLib.desktop.parameters import (
    DEEPEST,
    FeatureLayer,
    MAESILSlicerParameterNode,
    featureDisplayOf,
)
from MAESILSlicerLib.desktop.picker import SlicePicker
from MAESILSlicerLib.desktop.resultviews import RESULTS, RUNS
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.desktop.similarlist import SimilarList
from MAESILSlicerLib.results.features import KIND
from MAESILSlicerLib.results.resultset import ResultSet
from MAESILSlicerLib.scene.nodes import inputOf
from MAESILSlicerLib.session.features import ShownFeatures
from MAESILSlicerLib.session.models import ModelInfo, readFeatureModel
from MAESILSlicerLib.session.similar import SimilarPlaces
from MAESILSlicerLib.session.wording import sentence

if TYPE_CHECKING:
    from MAESILSlicerLib.desktop.window import Window


class FeaturesPanel(Panel):
    """Starts and cancels the computation, chooses what the slices show, and picks points."""

    uiFile = "Features.ui"
    topics = frozenset({"volume", "model", "job", "results", "choices", "system", "layout", "features"})

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._features = ShownFeatures(self._session, lambda: window.schedule("features"))
        self._similar = SimilarList(self, SimilarPlaces(self._session, self._features), window.notify)
        self._picker = SlicePicker(self._pickAt)
        self._arrived: ResultSet | None = None
        self._readPath: Path | None = None
        self._model: ModelInfo | None = None
        #: Whether the mask was shown in slices and in 3D before features; None while they are not shown.
        self._hadMask: tuple[bool, bool] | None = None
        self._noModel = ""
        ui = self._ui
        ui.featureModelComboBox.addItem("", "")
        for model in list_models():
            if not model.no_features:
                ui.featureModelComboBox.addItem(model.title, model.title)
        self.connect(ui.featureModelComboBox, "activated(int)", self._onModel)
        self.connect(ui.featureModelButton, "clicked()", self._chooseFile)
        self.connect(ui.featureLevelComboBox, "activated(int)", self._onLevel)
        self.connect(ui.featureButton, "clicked()", self._onButton)
        self.connect(ui.featurePickButton, "toggled(bool)", self._onPick)
        self._escape = qt.QShortcut(qt.QKeySequence("Esc"), slicer.util.mainWindow() or ui.featuresSection)
        self._escape.setEnabled(False)
        self.connect(self._escape, "activated()", self._endPicking)

    def setParameters(self, parameters: MAESILSlicerParameterNode | None) -> None:
        """Use another parameter node; None for none."""
        super().setParameters(parameters)
        if parameters is None:
            self._endPicking()

    def refresh(self) -> None:
        """Show the parameters and the session, and the features in the views."""
        self.allow(self._ui.featuresSection, unless=self._session.check.problem or "")
        if self._parameters is None:
            return
        self._readModel(self._parameters.featureModel)
        self._showModel(self._parameters.featureModel)
        self._showLevels(self._parameters.featureLevel)
        self._welcome(self._parameters)
        self._features.refresh(featureDisplayOf(self._parameters))
        layer = self._parameters.featureLayer
        self._uncover(
            self._parameters, self._features.results is not None and layer is not FeatureLayer.NOTHING
        )
        self._showDisplay(layer)
        self._similar.refresh()
        self.showJob()

    @property
    def ui(self) -> SimpleNamespace:
        """The widgets of the window."""
        return self._ui

    @property
    def running(self) -> str:
        """Why a running job forbids another volume, as a sentence; "" if none runs."""
        return self._running()

    def showJob(self) -> None:
        """Show whether features can be computed, or cancelled."""
        button, job = self._ui.featureButton, self._session.job
        isOurs = job is not None and self._session.task.kind == KIND.name
        button.setText(_("Cancel") if isOurs else _("Compute &features"))
        if isOurs:
            self.allow(button, unless=job.message if job.state == "cancelling" else "")
        else:
            self.allow(button, unless=self._obstacle())

    def useModel(self, model: str) -> bool:
        """Choose a model and return whether it gives features; if not, the previous one stays."""
        if self._parameters is None:
            return False
        self._readPath = None  # A run may have written its model anew.
        try:
            readFeatureModel(model)
        except MaesilError as error:
            self._window.notify(str(error), True)
            return False
        finally:
            self.refresh()
        self._parameters.featureModel, self._parameters.featureLevel = model, DEEPEST
        return True

    def close(self) -> None:
        """Undo all connections and take the features out of the views."""
        self._picker.setActive(False)
        super().close()
        self._escape.deleteLater()
        self._similar.close()
        self._features.close()

    # The model

    def _readModel(self, model: str) -> None:
        path = Path(model or self._session.model.path)
        if path == self._readPath:
            return
        self._readPath = path
        try:
            self._model, self._noModel = readFeatureModel(path), ""
        except MaesilError as error:
            self._model, self._noModel = None, translated(str(error))

    def _showModel(self, model: str) -> None:
        ui, combo = self._ui, self._ui.featureModelComboBox
        same = translated(sentence("features.as-above", name=self._session.model.name))
        if combo.itemText(0) != same:
            combo.setItemText(0, same)
        if combo.findData(model) < 0:
            combo.addItem(self._model.name if self._model is not None else Path(model).name, model)
        if combo.currentIndex != combo.findData(model):
            combo.setCurrentIndex(combo.findData(model))
        self.allow(combo, ui.featureModelButton, ui.featureLevelComboBox, unless=self._running())
        text = self._noModel or translated(self._model.lines[0])
        ui.featureModelInfoLabel.setText(text)

    def _showLevels(self, chosen: int) -> None:
        combo = self._ui.featureLevelComboBox
        levels = self._model.levels if self._model is not None else {}
        titles = [translated(title) for title in levels.values()]
        if [combo.itemText(number) for number in range(combo.count)] != titles:
            combo.clear()
            for level, title in zip(levels, titles, strict=True):
                combo.addItem(title, level)
        # The deepest is the first one.
        combo.setCurrentIndex(max(0, combo.findData(chosen)) if levels else -1)

    def _onModel(self, index: int) -> None:
        self.useModel(self._ui.featureModelComboBox.itemData(index))

    def _onLevel(self, index: int) -> None:
        if self._parameters is not None:
            self._parameters.featureLevel = self._ui.featureLevelComboBox.itemData(index)

    def _chooseFile(self) -> None:
        path = chosenCheckpoint()
        if path:
            self.useModel(path)

    # The job

    def _obstacle(self) -> str:
        """Why no features can be computed; "" if they can."""
        if self._parameters is None or self._session.volumeNode is None:
            return _("Choose a volume first.")
        problem = translated(self._session.check.problem or "")
        return problem or self._running() or self._noModel or self._window.system.obstacle

    def _onButton(self) -> None:
        if self._session.isRunning:
            self._session.cancel()
        elif not self._obstacle():
            try:
                with slicer.util.WaitCursor():
                    self._session.startFeatures(
                        str(self._model.path),
                        self._ui.featureLevelComboBox.currentData,
                        settings.device(),
                        settings.batchSize(),
                    )
            except MaesilError as error:
                self._window.notify(str(error), True)

    def _welcome(self, parameters: MAESILSlicerParameterNode) -> None:
        """Show the colours of new features, in the views that show the volume."""
        made = self._session.made
        isNew = made is not None and made is not self._arrived and made.kind is KIND
        if not isNew or inputOf(made.main) is not self._session.volumeNode:
            return
        self._arrived = made
        self._ui.featuresSection.collapsed = False
        parameters.featureLayer = FeatureLayer.COLOURS
        self._window.resultViews.leave(RESULTS)
        self._window.resultViews.leave(RUNS)

    # What is shown

    def _showDisplay(self, layer: FeatureLayer) -> None:
        ui, none = self._ui, translated(self._features.obstacle)
        self.allow(ui.featureLayerComboBox, unless=none)
        hidden = _("The slices show the volume alone.") if layer is FeatureLayer.NOTHING else ""
        self.allow(ui.featureOpacitySlider, unless=none or hidden)
        other = "" if layer is FeatureLayer.SIMILARITY else _("The slices do not show the similarity.")
        self.allow(ui.featureThresholdSlider, unless=none or other)
        self.allow(ui.featurePickButton, unless=none)
        if none:
            self._endPicking()
        hint = translated(self._features.hint(ui.featurePickButton.checked))
        ui.featureInfoLabel.setText(hint)
        ui.featureInfoLabel.setVisible(bool(hint))

    def _uncover(self, parameters: MAESILSlicerParameterNode, isShown: bool) -> None:
        """Hide the mask while features are shown, because it covers them; the user may show it again."""
        if isShown == (self._hadMask is not None):
            return
        if isShown:
            self._hadMask = parameters.showMask2d, parameters.showMask3d
            parameters.showMask2d = parameters.showMask3d = False
        else:
            had, self._hadMask = self._hadMask, None
            parameters.showMask2d |= had[0]
            parameters.showMask3d |= had[1]

    # Points

    def _onPick(self, isPicking: bool) -> None:
        self._picker.setActive(isPicking)
        self._escape.setEnabled(isPicking)
        if isPicking:
            # A click has one meaning.
            self._ui.pickButton.setChecked(False)
        self._window.schedule("features")

    def _endPicking(self) -> None:
        self._ui.featurePickButton.setChecked(False)

    def _pickAt(self, ras: tuple[float, float, float]) -> None:
        if self._parameters is None:
            return
        try:
            self._features.pick(ras)
        except MaesilError as error:
            self._window.notify(str(error), True)
            return
        self._parameters.featureLayer = FeatureLayer.SIMILARITY
        self._window.schedule("features")
