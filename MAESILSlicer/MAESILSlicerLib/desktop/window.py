"""The module's window: its panels and the status row."""

from __future__ import annotations

from types import SimpleNamespace

import qt
import vtk
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.displaypanel import DisplayPanel
from MAESILSlicerLib.desktop.featurespanel import FeaturesPanel
from MAESILSlicerLib.desktop.maskpanel import MaskPanel
from MAESILSlicerLib.desktop.panel import Panel
from MAESILSlicerLib.desktop.parameters import MAESILSlicerParameterNode
from MAESILSlicerLib.desktop.pretrainpanel import PretrainPanel
from MAESILSlicerLib.desktop.reconstructpanel import ReconstructPanel
from MAESILSlicerLib.desktop.resultspanel import ResultsPanel
from MAESILSlicerLib.desktop.resultviews import RESULTS, ResultViews
from MAESILSlicerLib.desktop.segmentpanel import SegmentPanel
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.desktop.study import Study
from MAESILSlicerLib.desktop.systempanel import SystemPanel
from MAESILSlicerLib.desktop.views import layoutNode
from MAESILSlicerLib.desktop.volumepanel import VolumePanel
from MAESILSlicerLib.session.models import givesVoxels


class Window:
    """Shows a study's session in panels.

    Args:
        ui: the widgets of `MAESILSlicer.ui` by name; those of the panels are added.
        study: the study to show.

    Attributes:
        ui: as given.
        study: as given.
        system: the panel "System check".
        resultViews: shows results in the views.
    """

    def __init__(self, ui: SimpleNamespace, study: Study) -> None:
        self.ui, self.study, self._session = ui, study, study.session
        self._notice: tuple[str, bool] = ("", False)
        # Debounce: a slider sends many events a second.
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._changed: set[str] = set()
        self.resultViews = ResultViews(self._onViews, RESULTS)
        volume, mask, display = VolumePanel(self), MaskPanel(self), DisplayPanel(self)
        self._reconstruct, self._results = ReconstructPanel(self), ResultsPanel(self)
        self._features, self._segment, self._pretrain = (
            FeaturesPanel(self),
            SegmentPanel(self),
            PretrainPanel(self),
        )
        self.system = SystemPanel(self)
        # In this order: the obstacle of the system check is shown by the button of the reconstruction.
        work = [volume, display, mask, self._reconstruct, self._results]
        work += [self._features, self._segment, self._pretrain]
        self._panels: list[Panel] = [self.system, *work]
        # The panels were added after the buttons below them.
        qt.QWidget.setTabOrder(ui.deleteButton, ui.repairButton)
        qt.QWidget.setTabOrder(ui.repairButton, ui.reconstructButton)
        self._connections = Connections()
        self._connections.connect(self._timer, "timeout()", self._onTimer)
        for section in (
            ui.volumeSection,
            ui.maskSection,
            ui.displaySection,
            ui.reconstructSection,
            ui.resultsSection,
            ui.featuresSection,
            ui.segmentSection,
            ui.pretrainSection,
            ui.systemSection,
        ):
            # An opened section may need more width.
            self._connections.connect(section, "contentsCollapsed(bool)", self._onLayout)
        self._connections.connect(ui.advancedGroup, "toggled(bool)", self._onLayout)
        layout = layoutNode()
        if layout is not None:
            # A 3D view that becomes visible must be fitted and show the rendering.
            self._connections.observe(layout, vtk.vtkCommand.ModifiedEvent, self._onLayout)
        self._session.changed.connect(self._onSessionChanged)
        study.follower.onApplied = lambda: self.schedule("choices")
        self.refresh()

    @property
    def noMask(self) -> str:
        """Why masks have no effect, in the application's language; "" if they have."""
        return translated(self._session.noMask)

    def setParameters(self, parameters: MAESILSlicerParameterNode | None) -> None:
        """Show another parameter node; None for none."""
        for panel in self._panels:
            panel.setParameters(parameters)
        self.refresh()

    def enter(self) -> None:
        """Called when the module is opened."""
        for panel in self._panels:
            panel.enter()
        self.refresh()

    def leave(self) -> None:
        """Called when another module is opened."""
        for panel in self._panels:
            panel.leave()

    def close(self) -> None:
        """Undo all connections."""
        self._timer.stop()
        self._connections.close()
        self._session.changed.disconnect(self._onSessionChanged)
        self.study.follower.onApplied = lambda: None
        for panel in self._panels:
            panel.close()
        self.resultViews.close()

    def useModel(self, model: str) -> bool:
        """Choose the model of reconstructions, or of features if it gives no voxels; return whether it can be used.

        The status row says why not.
        """
        try:
            panel = self._reconstruct if givesVoxels(model) else self._features
        except MaesilError as error:
            self.notify(str(error), True)
            return False
        isUsed = panel.useModel(model)
        self.study.follower.applyNow()
        return isUsed

    def notify(self, sentence: str, failed: bool) -> None:
        """Show a sentence until the next event.

        Args:
            sentence: the sentence.
            failed: whether it reports a failure.
        """
        self._notice = (sentence, failed)
        self.schedule()

    def schedule(self, *topics: str) -> None:
        """Refresh the panels with these topics, and the status row, as soon as Slicer is idle."""
        self._changed.update(topics)
        self._timer.start(0)

    def refresh(self) -> None:
        """Refresh all panels."""
        self._changed.update(*(panel.topics for panel in self._panels))
        self._refreshChanged()
        self.schedule()

    def _onTimer(self) -> None:
        if "layout" in self._changed:
            # Nested layouts pass their needs up one level per event: measure once more after them.
            self._timer.start(0)
        self._refreshChanged()
        # A scroll area requests almost no width. The needed one is known now, after Qt's layout.
        bar = self.ui.scrollArea.verticalScrollBar().sizeHint.width()
        self.ui.scrollArea.minimumWidth = self.ui.scrollAreaContents.minimumSizeHint.width() + bar

    def _refreshChanged(self) -> None:
        changed, self._changed = self._changed, set()
        for panel in self._panels:
            if panel.topics & changed:
                panel.refresh()
        self._showStatus()

    def _showStatus(self) -> None:
        """Show the notice, the problem or the session's message, with an icon that does not rely on color."""
        label, icon, (sentence, failed) = self.ui.statusLabel, self.ui.statusIcon, self._notice
        if not sentence and self.study.follower.problem:
            sentence, failed = self.study.follower.problem, True
        if not sentence:
            sentence, failed = self._session.message, self._session.failed
        sentence = translated(sentence)
        if label.text != sentence:
            label.setText(sentence)
        kind = qt.QStyle.SP_MessageBoxWarning if failed else qt.QStyle.SP_MessageBoxInformation
        size = label.fontMetrics().height()
        icon.setPixmap(label.style().standardIcon(kind).pixmap(size, size))
        icon.setAccessibleName(_("Warning") if failed else _("Note"))
        label.setVisible(bool(sentence))
        icon.setVisible(bool(sentence))

    def _onViews(self) -> None:
        """At once: while the module is left, the parameters that the comparison changed must still be there."""
        self._results.showViews()
        self._pretrain.showViews()

    def _onLayout(self, *_arguments: object) -> None:
        """Called when the layout of the views or the needed width has changed."""
        self.schedule("layout")

    def _onSessionChanged(self, topics: frozenset[str]) -> None:
        self._notice = ("", False)
        if "job" in topics:
            # At once, so that button and status never contradict each other.
            self._showStatus()
            self._reconstruct.showJob()
            self._features.showJob()
            self._segment.showJob()
        self.schedule(*topics)
