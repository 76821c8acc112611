"""The module's window: its panels and the connections between them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.desktop import settings
from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.estimate import Estimate
from MAESILSlicerLib.desktop.maskpanel import MaskPanel
from MAESILSlicerLib.desktop.parameters import MAESILSlicerParameterNode, coverageOf
from MAESILSlicerLib.desktop.reconstructpanel import ReconstructPanel
from MAESILSlicerLib.desktop.renderingpanel import RenderingPanel
from MAESILSlicerLib.desktop.resultspanel import ResultsPanel
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.desktop.statusrow import StatusRow
from MAESILSlicerLib.desktop.study import Study
from MAESILSlicerLib.desktop.systempanel import SystemPanel
from MAESILSlicerLib.desktop.views import layoutNode
from MAESILSlicerLib.desktop.volumepanel import VolumePanel
from MAESILSlicerLib.session.choices import ReconstructionChoices

if TYPE_CHECKING:
    from MAESILSlicerLib.system.report import SystemReport


class Window:
    """Shows a study's session and forwards the user's actions.

    Args:
        ui: the widgets of `MAESILSlicer.ui` by name.
        study: the study to show.
    """

    def __init__(self, ui: SimpleNamespace, study: Study) -> None:
        self._ui, self._study, self._session = ui, study, study.session
        self._parameters: MAESILSlicerParameterNode | None = None
        self._hadMask2d = False
        self._notice: tuple[str, bool] = ("", False)
        self._shownReport: SystemReport | None = None
        # Debounce: a slider sends many events a second.
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._refreshChanged)
        self._status = StatusRow(ui)
        self._system = SystemPanel(ui, self._session, lambda: self._schedule("system"), self._tellOfSystem)
        self._volume = VolumePanel(ui, self._session, self._useVolume, self._fail)
        self._rendering = RenderingPanel(ui, self._session, self._fail, lambda: self._schedule("layout"))
        self._mask = MaskPanel(ui, self._session, lambda: study.follower.maskProblem)
        self._estimate = Estimate(self._session, lambda: self._schedule("system"))
        self._reconstruct = ReconstructPanel(
            ui,
            self._session,
            self._start,
            self._fail,
            self._obstacle,
            lambda: study.follower.modelProblem,
            self._estimate,
        )
        self._results = ResultsPanel(
            ui, self._session, self._useSuperpatch, self._uncoverComparison, self._tell
        )
        # The topics that refresh each panel: those of the session, "choices" for the parameter node, "system" for the
        # system check, "layout" for the views and the sections.
        self._panels = {
            self._system: {"job", "system"},
            self._volume: {"volume", "job", "layout"},
            self._rendering: {"volume", "choices", "layout"},
            self._mask: {"volume", "mask", "display", "choices"},
            self._reconstruct: {"volume", "model", "mask", "job", "choices", "system"},
            self._results: {"volume", "results", "layout"},
        }
        self._news: set[str] = set()
        self._connections = Connections()
        for section in (
            ui.volumeSection,
            ui.maskSection,
            ui.displaySection,
            ui.reconstructSection,
            ui.resultsSection,
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
        study.follower.onApplied = lambda: self._schedule("choices")
        self.refresh()

    def setParameters(self, parameters: MAESILSlicerParameterNode | None) -> None:
        """Show another parameter node; None for none."""
        self._parameters = parameters
        self._rendering.setParameters(parameters)
        self._mask.setParameters(parameters)
        self._reconstruct.setParameters(parameters)
        self.refresh()

    def enter(self) -> None:
        """Called when the module is opened."""
        self._system.enter()
        self._results.enter()
        self._rendering.enter()
        self.refresh()

    def leave(self) -> None:
        """Called when another module is opened."""
        self._results.leave()
        self._rendering.leave()

    def close(self) -> None:
        """Undo all connections."""
        self._connections.close()
        self._session.changed.disconnect(self._onSessionChanged)
        self._study.follower.onApplied = lambda: None
        for panel in self._panels:
            panel.close()
        self._estimate.close()
        self._timer.stop()
        self._timer.disconnect("timeout()", self._refreshChanged)

    def refresh(self) -> None:
        """Refresh all panels."""
        for topics in self._panels.values():
            self._news |= topics
        self._refreshChanged()

    def _refreshChanged(self) -> None:
        """Refresh the panels whose topics have changed."""
        news, self._news = self._news, set()
        for panel, topics in self._panels.items():
            if topics & news:
                panel.refresh()
        hasGrid = self._session.grid is not None
        for section in (self._ui.maskSection, self._ui.displaySection):
            section.setEnabled(hasGrid)
            section.setToolTip("" if hasGrid else _("Choose a volume that can be used first."))
        if self._system.report is not self._shownReport:
            self._shownReport = self._system.report
            self._reconstruct.showDevices(self._shownReport)
            if self._shownReport is not None and self._shownReport.canCompute:
                self._estimate.measure()
        if self._session.made is not None and not self._estimate.isKnown:
            self._estimate.measure()
        self._showStatus()
        self._keepWidth()

    def _keepWidth(self) -> None:
        """Set the minimum width to that of the sections, because a scroll area requests almost none."""
        area = self._ui.scrollArea
        width = (
            self._ui.scrollAreaContents.minimumSizeHint.width() + area.verticalScrollBar().sizeHint.width()
        )
        if area.minimumWidth != width:
            area.minimumWidth = width

    def _showStatus(self) -> None:
        sentence, failed = self._notice
        if not sentence and self._study.follower.problem:
            sentence, failed = self._study.follower.problem, True
        if not sentence:
            sentence, failed = self._session.message, self._session.failed
        self._status.show(sentence, failed)

    def _schedule(self, *topics: str) -> None:
        self._news.update(topics)
        self._timer.start(0)

    def _onLayout(self, *_: object) -> None:
        """Called when the layout of the views or the needed width has changed."""
        self._schedule("layout")

    def _onSessionChanged(self, topics: frozenset[str]) -> None:
        self._notice = ("", False)
        if "job" in topics:
            # At once, so that button and status never contradict each other.
            self._showStatus()
            self._reconstruct.showJob()
        self._schedule(*topics)

    def _tell(self, sentence: str, failed: bool) -> None:
        """Show a sentence until the next event."""
        self._notice = (sentence, failed)
        self._schedule()

    def _tellOfSystem(self, sentence: str, failed: bool) -> None:
        """Show a sentence and refresh the settings, which an installation or deletion may have changed."""
        self._tell(sentence, failed)
        self._schedule("system")

    def _fail(self, sentence: str) -> None:
        self._tell(sentence, True)

    def _obstacle(self) -> str:
        """Why a reconstruction cannot be started; "" if it can."""
        if self._parameters is None or self._session.volumeNode is None:
            return _("Choose a volume first.")
        problem = self._session.check.problem or self._study.follower.problem
        return translated(problem) or self._system.obstacle

    def _useVolume(self, node: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Select the sample's volume; its file on disk is new."""
        self._system.showStorage()
        if self._parameters is not None:
            self._parameters.inputVolume = node

    def _useSuperpatch(self, index: int) -> None:
        if self._parameters is not None:
            self._parameters.superpatch = index

    def _uncoverComparison(self, isComparing: bool) -> None:
        """Hide the mask while results are compared, because it covers them; the user may show it again."""
        if self._parameters is None:
            return
        if isComparing:
            self._hadMask2d = self._parameters.showMask2d
            self._parameters.showMask2d = False
        elif self._hadMask2d:
            self._parameters.showMask2d = True

    def _start(self) -> None:
        # A slider's change may still be pending.
        self._study.follower.applyNow()
        if self._obstacle():
            return
        parameters = self._parameters
        choices = ReconstructionChoices(
            coverage=coverageOf(parameters),
            device=settings.device(),
            batchSize=settings.batchSize(),
            scores=parameters.scores,
            export=parameters.export,
        )
        try:
            with slicer.util.WaitCursor():
                self._session.startReconstruction(choices)
        except MaesilError as error:
            self._fail(str(error))
