"""Section "Segment": learns structures from a few outlined scans, and outlines them in the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILCore.models.catalogue import list_models
from MAESILSlicerLib.desktop import settings
from MAESILSlicerLib.desktop.casetable import CaseTable
from MAESILSlicerLib.desktop.modelfile import chosenCheckpoint
from MAESILSlicerLib.desktop.panel import Panel
from MAESILSlicerLib.desktop.pretrainpanel import INTERVAL_MS
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.results.resultset import ResultSet
from MAESILSlicerLib.results.segmentation import KIND, segmentationsOf, undoNewest
from MAESILSlicerLib.scene.nodes import inputOf
from MAESILSlicerLib.session import runwords
from MAESILSlicerLib.session.applying import startSegmentation, startSeries
from MAESILSlicerLib.session.segmenting import casesOf, learn, learnedRuns, learningText
from MAESILSlicerLib.session.wording import sentence
from MAESILSlicerLib.system import requirements

if TYPE_CHECKING:
    from MAESILSlicerLib.desktop.window import Window

#: Data of the entries of "Start from" that are no bundled model.
_SCRATCH, _CHOSEN = "scratch", "chosen"


class SegmentPanel(Panel):
    """Learns from ticked scans and applies models; reads the disk only while the section is open."""

    uiFile = "Segment.ui"
    topics = frozenset({"volume", "job", "results", "system", "runs", "choices", "layout"})

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._board = window.study.board
        self._isEntered = self._isLacking = False
        self._learning: Path | None = None
        #: The newest results that were seen.
        self._arrived: ResultSet | None = self._session.made
        ui = self._ui
        self._table = CaseTable(ui.caseTable, lambda: window.schedule("runs"))
        for model in list_models():
            if not model.no_features:
                ui.segmentStartComboBox.addItem(model.title, model.title)
        ui.segmentStartComboBox.addItem(_("Nothing (not pre-trained)"), _SCRATCH)
        ui.segmentStartComboBox.addItem(_("The chosen model below"), _CHOSEN)
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self.connect(self._timer, "timeout()", self._look)
        self.connect(ui.segmentSection, "contentsCollapsed(bool)", self._onCollapsed)
        self.connect(ui.learnButton, "clicked()", self._learn)
        self.connect(ui.segmentModelComboBox, "activated(int)", self._onModel)
        self.connect(ui.segmentModelButton, "clicked()", self._chooseFile)
        self.connect(ui.applyButton, "clicked()", self._onApply)
        self.connect(ui.applyAllButton, "clicked()", self._onApplyAll)
        self.connect(ui.segmentUndoButton, "clicked()", self._undo)
        self._board.changed.connect(self._onRuns)

    @property
    def model(self) -> str:
        """The model to apply: the chosen one, else that of the newest run; "" if there is none."""
        combo = self._ui.segmentModelComboBox
        return str(combo.currentData or "")

    def enter(self) -> None:
        """Follow the runs, if the section is open."""
        self._isEntered = True
        self._follow()

    def leave(self) -> None:
        """Stop following the runs, which go on."""
        self._isEntered = False
        self._follow()

    def refresh(self) -> None:
        """Show the scans, the runs and the models, while the section is open."""
        self._welcome()
        if self._ui.segmentSection.collapsed or self._parameters is None:
            return
        # Some milliseconds, so not at every event.
        self._isLacking = not self._window.system.obstacle and bool(requirements.unmetForTraining())
        self._table.show(casesOf(self._session.scene))
        self._showModels(self._parameters.segmentModel)
        self._showLearning()
        self.showJob()

    def showJob(self) -> None:
        """Show whether a model can be applied, or the job can be cancelled."""
        ui, job = self._ui, self._session.job
        isOurs = job is not None and self._session.task.kind == KIND.name
        ui.applyButton.setText(_("Cancel") if isOurs else _("Appl&y to this"))
        none = self._noModel()
        if isOurs:
            self.allow(ui.applyButton, unless=job.message if job.state == "cancelling" else "")
        else:
            self.allow(ui.applyButton, unless=self._noVolume() or none)
        others = "" if self._table.others else _("All scans of the scene are ticked.")
        self.allow(ui.applyAllButton, unless=none or others)
        node = self._session.volumeNode
        nothing = "" if node is not None and segmentationsOf(node) else sentence("segment.nothing-to-undo")
        self.allow(ui.segmentUndoButton, unless=self._running() or nothing)

    def close(self) -> None:
        """Undo all connections."""
        super().close()
        self._timer.stop()
        self._board.changed.disconnect(self._onRuns)
        self._table.close()

    # Learning

    def _showLearning(self) -> None:
        ui = self._ui
        lacking = _("Install packages for pre-training...") if self._isLacking else _("&Learn")
        ui.learnButton.setText(lacking)
        none = "" if self._table.ticked else sentence("segment.no-case")
        # An installation needs no scan.
        self.allow(ui.learnButton, unless="" if self._isLacking else self._window.system.obstacle or none)
        runs = learnedRuns(self._board)
        run = next((one for one in runs if one.folder == self._learning), runs[0] if runs else None)
        text = "" if run is None else learningText(run)
        ui.segmentRunLabel.setText(translated(text))
        ui.segmentRunLabel.setVisible(bool(text))

    def _learn(self) -> None:
        if self._isLacking:
            self._window.system.installForTraining()
            return
        start = self._ui.segmentStartComboBox.currentData
        goesOn = start == _CHOSEN
        if goesOn and not self.model:
            self._window.notify(sentence("segment.no-model"), True)
            return
        try:
            with slicer.util.WaitCursor():
                self._window.study.runs()
                taken = [run.name for run in self._board.runs]
                structures = [name for case in self._table.ticked for name in case.structures]
                name = runwords.nameOfStructures(structures, taken)
                self._learning = learn(
                    self._board,
                    self._table.ticked,
                    name=name,
                    encoder=None if start in (_SCRATCH, _CHOSEN) else start,
                    initial=self.model if goesOn else None,
                    steps=int(self._ui.segmentStepsSpinBox.value),
                    device=settings.device(),
                )
        except MaesilError as error:
            self._window.notify(str(error), True)
            return
        self._window.notify(runwords.sentence("runs.started", name=name), False)

    # The model

    def _showModels(self, chosen: str) -> None:
        combo = self._ui.segmentModelComboBox
        runs = [run for run in learnedRuns(self._board) if self._board.modelOf(run.folder) is not None]
        wanted = [(run.name, str(run.folder)) for run in runs]
        if chosen and chosen not in [data for _name, data in wanted]:
            wanted.append((Path(chosen).name, chosen))
        shown = [(combo.itemText(row), combo.itemData(row)) for row in range(combo.count)]
        if shown != wanted:
            combo.clear()
            for name, data in wanted:
                combo.addItem(name, data)
        combo.setCurrentIndex(max(0, combo.findData(chosen)) if wanted else -1)
        self.allow(combo, unless="" if wanted else sentence("segment.no-model"))

    def _onModel(self, index: int) -> None:
        if self._parameters is not None:
            self._parameters.segmentModel = str(self._ui.segmentModelComboBox.itemData(index))

    def _chooseFile(self) -> None:
        path = chosenCheckpoint()
        if path and self._parameters is not None:
            self._parameters.segmentModel = path
            self.refresh()

    # The job

    def _noModel(self) -> str:
        """Why no model can be applied; "" if one can."""
        none = "" if self.model else translated(sentence("segment.no-model"))
        return self._running() or self._window.system.obstacle or none

    def _noVolume(self) -> str:
        if self._session.volumeNode is None:
            return _("Choose a volume first.")
        return translated(self._session.check.problem or "")

    def _onApply(self) -> None:
        if self._session.isRunning:
            self._session.cancel()
        elif not self._noVolume():
            self._apply(startSegmentation, self._session.volumeNode)

    def _onApplyAll(self) -> None:
        self._apply(startSeries, [case.volumeNode for case in self._table.others])

    def _welcome(self) -> None:
        """Hide the mask when a segmentation of the shown volume arrives, because it would cover that."""
        made = self._session.made
        if made is None or made is self._arrived or made.kind is not KIND:
            return
        self._arrived = made
        if self._parameters is not None and inputOf(made.main) is self._session.volumeNode:
            self._parameters.showMask2d = False

    def _apply(self, start: Callable[..., None], what: object) -> None:
        """Start to segment a volume, or several ones."""
        try:
            with slicer.util.WaitCursor():
                start(self._session, what, self.model, settings.device(), settings.batchSize())
        except MaesilError as error:
            self._window.notify(str(error), True)

    def _undo(self) -> None:
        node = self._session.volumeNode
        question = _(
            "Remove the newest segmentation of {volume} by a model, with all corrections to it?"
        ).format(volume=node.GetName())
        if slicer.util.confirmOkCancelDisplay(question, windowTitle=_("Undo a segmentation")):
            undoNewest(node)
            self._window.notify(sentence("segment.undone", volume=node.GetName()), False)
            self.refresh()

    # The runs

    def _onRuns(self, _topics: frozenset[str]) -> None:
        self._window.schedule("runs")

    def _onCollapsed(self, _isCollapsed: bool) -> None:
        self._follow()

    def _follow(self) -> None:
        """Read the disk while the section is open, and only then."""
        if self._isEntered and not self._ui.segmentSection.collapsed:
            self._timer.start()
            self._look()
            self._window.schedule("runs")
        else:
            self._timer.stop()

    def _look(self) -> None:
        self._window.study.runs()
        # Segments are drawn without an event that the session passes on.
        self._table.show(casesOf(self._session.scene))
        self._showLearning()
        self.showJob()
