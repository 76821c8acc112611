"""The chosen run of the section "Pre-train": what can be done with it, its curve and its previews."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.desktop.resultviews import RUNS
from MAESILSlicerLib.desktop.runschart import RunsChart
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.results.preview import addPreview
from MAESILSlicerLib.results.resultset import ResultSet, removeResults
from MAESILSlicerLib.session.models import givesVoxels
from MAESILSlicerLib.session.runwords import Curve, curvesOf, obstaclesOf, sentence

if TYPE_CHECKING:
    from MAESILCore.jobs.runs import Curves, Preview, RunSummary
    from MAESILSlicerLib.desktop.panel import Panel
    from MAESILSlicerLib.desktop.window import Window
    from MAESILSlicerLib.session.board import Board


class ChosenRun:
    """Buttons, curve and previews of one run.

    Args:
        window: the window.
        panel: the panel with the widgets.
        board: the runs.
        onDuplicate: called with the name of a run and its choices.
        onDeleted: called after the run was deleted.
    """

    def __init__(
        self,
        window: Window,
        panel: Panel,
        board: Board,
        onDuplicate: Callable[[str, dict[str, Any]], None],
        onDeleted: Callable[[], None],
    ) -> None:
        self._window, self._panel, self._board = window, panel, board
        self._onDuplicate, self._onDeleted = onDuplicate, onDeleted
        self._views = window.resultViews
        self._run: RunSummary | None = None
        self._figures: Curves | None = None
        self._curves: list[Curve] = []
        self._previews: list[Preview] = []
        self._chart = RunsChart()
        self._shownPreview: ResultSet | None = None
        self._ui = ui = window.ui
        panel.connect(ui.stopButton, "clicked()", self._stop)
        panel.connect(ui.resumeButton, "clicked()", self._resume)
        panel.connect(ui.resumeStepsSpinBox, "valueChanged(int)", self._onSteps)
        panel.connect(ui.useModelButton, "clicked()", self._useModel)
        panel.connect(ui.duplicateButton, "clicked()", self._duplicate)
        panel.connect(ui.openFolderButton, "clicked()", self._openFolder)
        panel.connect(ui.deleteRunButton, "clicked()", self._delete)
        panel.connect(ui.curveComboBox, "activated(int)", self._onCurve)
        panel.connect(ui.curveButton, "clicked()", self._togglePlot)
        panel.connect(ui.previewComboBox, "activated(int)", self._onPreview)
        panel.connect(ui.previewButton, "clicked()", self._togglePreview)

    def show(self, run: RunSummary | None) -> None:
        """Show another run, or the new state of the same one; None for none."""
        isOther = run is None or self._run is None or run.folder != self._run.folder
        if run is not None and (isOther or run.total != self._run.total):
            self._ui.resumeStepsSpinBox.setValue(run.total)
        self._run = run
        if isOther:
            self._views.leave(RUNS)
            self._ui.curveComboBox.clear()
            self._ui.previewComboBox.clear()
            self._figures, self._curves, self._previews = None, [], []
        empty = "" if self._board.runs else sentence("runs.empty")
        text = translated(empty if run is None else run.message)
        self._ui.runLabel.setText(text)
        self._ui.runLabel.setVisible(bool(text))
        self.look()

    def look(self) -> None:
        """Read the curve, the previews and the model of the run; called once a second."""
        if self._views.isComparing(RUNS) and not self._hasPreview:
            # The scene was closed, or a script removed a volume.
            self._views.leave(RUNS)
        if self._run is not None:
            self._read(self._run)
        self._showButtons()
        self.showViews()

    def _read(self, run: RunSummary) -> None:
        figures = self._board.curves(run.folder)
        # The same object, until a figure is added.
        isNew = figures is not self._figures
        if isNew:
            self._figures, self._curves = figures, curvesOf(figures)
            _fill(self._ui.curveComboBox, [(translated(one.title), one.key) for one in self._curves])
        # The chart is gone, but the layout stays, when a scene is closed.
        if self._views.isPlotting(RUNS) and (isNew or self._chart.node is None):
            self._plot()
        previews = self._board.previews(run.folder)[::-1]
        if previews != self._previews:
            self._previews = previews
            titles = [(translated(sentence("preview.step", step=one.step)), one.step) for one in previews]
            # The list names the preview in the views.
            _fill(self._ui.previewComboBox, titles, isNewestFirst=not self._views.isComparing(RUNS))

    def showViews(self) -> None:
        """Enable and check the buttons that change the layout."""
        ui, none = self._ui, "" if self._run is not None else sentence("runs.none")
        noCurve = none or ("" if self._curves else sentence("runs.no-curve"))
        noPreview = none or ("" if self._previews else sentence("runs.no-preview"))
        self._panel.allow(ui.curveComboBox, ui.curveButton, unless=noCurve)
        self._panel.allow(ui.previewComboBox, ui.previewButton, unless=noPreview)
        ui.curveButton.setChecked(self._views.isPlotting(RUNS))
        ui.previewButton.setChecked(self._views.isComparing(RUNS))

    def leave(self) -> None:
        """Restore the user's layout and remove the plot."""
        self._views.leave(RUNS)
        self._chart.close()

    def close(self) -> None:
        """Remove the plot and the preview."""
        self.leave()
        self._removePreview()

    # Actions

    def _showButtons(self) -> None:
        ui, run = self._ui, self._run
        model = self._board.modelOf(run.folder) if run is not None else None
        obstacles = obstaclesOf(run, model, ui.resumeStepsSpinBox.value)
        for button, obstacle in (
            (ui.stopButton, obstacles.stop),
            (ui.resumeButton, obstacles.resume),
            (ui.useModelButton, obstacles.useModel),
            (ui.duplicateButton, obstacles.duplicate),
            (ui.openFolderButton, obstacles.openFolder),
            (ui.deleteRunButton, obstacles.delete),
        ):
            self._panel.allow(button, unless=obstacle)
        self._panel.allow(ui.resumeStepsSpinBox, unless=obstacles.delete)

    def _do(self, action: Callable[[], object], done: str = "") -> bool:
        """Run an action on the run; show its error or `done`. Return whether it succeeded."""
        try:
            with slicer.util.WaitCursor():
                action()
        except (MaesilError, OSError) as error:
            self._window.notify(str(error), True)
            return False
        if done:
            self._window.notify(done, False)
        return True

    def _stop(self) -> None:
        run = self._run
        self._do(lambda: self._board.stop(run.folder), sentence("runs.stopping", name=run.name))

    def _resume(self) -> None:
        run, steps = self._run, self._ui.resumeStepsSpinBox.value
        self._do(
            lambda: self._board.resume(run.folder, steps=steps if steps != run.total else None),
            sentence("runs.resumed", name=run.name),
        )

    def _onSteps(self, _steps: int) -> None:
        self._showButtons()

    def _useModel(self) -> None:
        run, model = self._run, self._board.modelOf(self._run.folder)
        if model is not None and self._window.useModel(str(model)):
            code = "runs.uses-model" if givesVoxels(model) else "runs.features-use-model"
            self._window.notify(sentence(code, name=run.name), False)

    def _duplicate(self) -> None:
        run = self._run
        self._do(lambda: self._onDuplicate(run.name, self._board.duplicate(run.folder)))

    def _openFolder(self) -> None:
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._run.folder)))

    def _delete(self) -> None:
        run = self._run
        question = _(
            "Delete the run {name} with its checkpoints, figures and previews for good?\n\n{folder}"
        ).format(name=run.name, folder=run.folder)
        if not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("Delete a run")):
            return
        self._views.leave(RUNS)
        if self._do(lambda: self._board.delete(run.folder), sentence("runs.deleted", name=run.name)):
            self._onDeleted()

    # The curve

    def _onCurve(self, _index: int) -> None:
        if self._views.isPlotting(RUNS):
            self._plot()

    def _togglePlot(self) -> None:
        if self._views.isPlotting(RUNS):
            self._views.leave(RUNS)
        else:
            self._plot()
        self.showViews()

    def _plot(self) -> None:
        key = self._ui.curveComboBox.currentData
        curve = next((one for one in self._curves if one.key == key), None)
        if curve is not None:
            self._views.plot(self._chart.show(self._run.name, curve), RUNS)

    # The previews

    def _onPreview(self, _index: int) -> None:
        self._showPreview()
        self.showViews()

    def _togglePreview(self) -> None:
        if self._views.isComparing(RUNS):
            self._views.leave(RUNS)
        else:
            self._showPreview()
        self.showViews()

    def _showPreview(self) -> None:
        step, run = self._ui.previewComboBox.currentData, self._run
        preview = next((one for one in self._previews if one.step == step), None)
        if preview is not None:
            code = "runs.previewed" if preview.hidden is not None else "runs.previewed-whole"
            self._do(lambda: self._compare(preview), sentence(code, name=run.name, step=step))

    def _compare(self, preview: Preview) -> None:
        previous, shown = self._shownPreview, addPreview(slicer.mrmlScene, self._run.name, preview)
        self._shownPreview = shown
        self._views.compare(shown, shown.main, RUNS)
        if previous is not None:
            removeResults(previous)

    @property
    def _hasPreview(self) -> bool:
        """Whether the shown preview is whole."""
        preview = self._shownPreview
        return preview is not None and all(node.GetScene() is not None for node in preview.nodes)

    def _removePreview(self) -> None:
        preview, self._shownPreview = self._shownPreview, None
        if preview is not None:
            removeResults(preview)


def _fill(combo: qt.QComboBox, items: list[tuple[str, Any]], isNewestFirst: bool = False) -> None:
    """Replace the items of a combo box; the chosen one stays chosen, unless it was the newest."""
    if items == [(combo.itemText(index), combo.itemData(index)) for index in range(combo.count)]:
        # A running run calls this every second, also while a person looks through the opened list.
        return
    chosen = None if isNewestFirst and combo.currentIndex == 0 else combo.currentData
    wasBlocked = combo.blockSignals(True)
    combo.clear()
    for title, data in items:
        combo.addItem(title, data)
    combo.setCurrentIndex(max(0, combo.findData(chosen)) if items else -1)
    combo.blockSignals(wasBlocked)
