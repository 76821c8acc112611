"""The section that learns structures from labelled scans; its part `applying` outlines them in the others."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import slicer

from MAESILCore.data.segmentation import Segmentation
from MAESILCore.downstream.segmentation.cases import Case
from MAESILCore.errors import MaesilError
from MAESILCore.models.catalogue import list_models
from MAESILSlicerLib.scene.nodes import removeNode
from MAESILSlicerLib.scene.segmentations import addSegmentation
from MAESILSlicerLib.scene.volumes import readVolume
from MAESILSlicerLib.session.board import Board
from MAESILSlicerLib.session.runwords import nameOfStructures
from MAESILSlicerLib.session.runwords import sentence as runSentence
from MAESILSlicerLib.session.segmenting import learnedRuns, learnFrom, learningText
from MAESILSlicerLib.session.wording import sentence
from MAESILSlicerLib.web.catalog import Catalog
from MAESILSlicerLib.web.labelled import LabelledScan, readLabels, writeCase
from MAESILSlicerLib.web.page import Page
from MAESILSlicerLib.web.panels.applying import ApplyPanel
from MAESILSlicerLib.web.panels.newrun import wholeNumber

_SECONDS = 1.0
#: Starts of learning that are no bundled model.
_SCRATCH, _CHOSEN = "scratch", "chosen"


class LearningPanel:
    """Receives labels of scans, and starts runs that learn them; its state begins with `seg_`.

    As elsewhere, the page names scans and runs by number and name, and never by path.

    Args:
        page: the shared objects of the page.
        folder: for labelled scans and downloads; the caller removes it.
        runs: the folder of the runs; None if there is none.
        catalog: the scans on offer.
        onJob: called when a job has started.

    Attributes:
        applying: the part that applies models.
    """

    def __init__(
        self, page: Page, folder: Path, runs: Path | None, catalog: Catalog, onJob: Callable[[], None]
    ) -> None:
        self._page, self._folder = page, folder
        self._board = Board()
        self._labelled: dict[int, LabelledScan] = {}
        #: The uploaded labels of the shown scan.
        self._node: slicer.vtkMRMLSegmentationNode | None = None
        starts = [{"title": one.title, "value": one.title} for one in list_models() if not one.no_features]
        starts += [
            {"title": "Nothing (not pre-trained)", "value": _SCRATCH},
            {"title": "The chosen model below", "value": _CHOSEN},
        ]
        page.state.update(
            {
                "seg_open": False,
                "seg_cases": [],
                "seg_starts": starts,
                "seg_start": starts[0]["value"],
                "seg_steps": 500,
                "seg_models": [],
                "seg_model": "",
                "seg_message": "",
            }
        )
        if runs is not None:
            self._board.open(runs)
        page.state.change("seg_open")(page.latest(self._look))
        page.onTrigger("seg_learn", page.action(self.learn))
        page.onTrigger("seg_take", page.action(self.take))
        page.onTrigger("seg_remove", self.removeCase)
        self.applying = ApplyPanel(
            page, folder, catalog, self._chosen, lambda: self._labelled, onJob, self._onResult
        )

    async def watch(self) -> None:
        """Read the runs once a second, while the page is served and the section is open."""
        while True:
            await asyncio.sleep(_SECONDS)
            if self._page.state.seg_open:
                try:
                    with self._page.state:
                        self._look()
                except Exception:
                    # Catch everything, or the list would never change again.
                    logging.exception("MAESIL: the runs could not be read")

    async def open(self, folder: Path) -> None:
        """Read the uploaded labels of the shown scan, on its grid, and learn from it from now on.

        Raises:
            MaesilError: there is no scan, or the labels do not fit it; the previous ones stay.
        """
        number, node = self.applying.shown()
        # Copied here, because the scene belongs to this thread.
        volume = readVolume(node)
        segmentation = await asyncio.to_thread(readLabels, folder, volume)
        target = self._folder / f"labelled-{number}"
        await asyncio.to_thread(writeCase, target, volume, segmentation)
        shutil.rmtree(folder, ignore_errors=True)
        with self._page.state as state:
            self._add(number, target, segmentation)
            if node is self._page.session.volumeNode:
                self._showLabels(segmentation, node)
            self._page.notice.show(
                " ".join([sentence("segment.labelled", name=volume.name), *segmentation.notes])
            )
            # The mask would cover them.
            state.seg_open, state.show_mask2d = True, False

    def removeCase(self, number: object) -> None:
        """Learn no longer from a scan, and delete its labels."""
        labelled = self._labelled.pop(number, None) if isinstance(number, int) else None
        with self._page.state as state:
            if labelled is not None:
                shutil.rmtree(labelled.folder, ignore_errors=True)
                if number == state.scan:
                    self._hideLabels()
            self._showCases()

    def forget(self) -> None:
        """Remove what belongs to the scan before, after a change of the scan."""
        self._hideLabels()
        self.applying.forget()

    def close(self) -> None:
        """Stop following the session; runs go on."""
        self.applying.close()
        self._board.close()

    # Labels

    def _add(self, number: int, folder: Path, segmentation: Segmentation) -> None:
        title = self._page.session.volumeNode.GetName()
        names = ", ".join(one.name for one in segmentation.segments)
        self._labelled[number] = LabelledScan(title, folder, names)
        self._showCases()

    def _showCases(self) -> None:
        self._page.state.seg_cases = [
            {"number": number, "title": one.title, "text": one.text} for number, one in self._labelled.items()
        ]

    def _showLabels(self, segmentation: Segmentation, node: slicer.vtkMRMLScalarVolumeNode) -> None:
        self._hideLabels()
        self._node = addSegmentation(self._page.session.scene, segmentation, "Labels", node)

    def _hideLabels(self) -> None:
        removeNode(self._node)
        self._node = None

    # Actions

    def learn(self) -> None:
        """Start a run that learns from all labelled scans."""
        state = self._page.state
        if not self._labelled:
            raise MaesilError(sentence("segment.labels-first"))
        start, chosen = str(state.seg_start), self._chosen()
        if start == _CHOSEN and chosen is None:
            raise MaesilError(sentence("segment.no-model"))
        structures = [name for one in self._labelled.values() for name in one.text.split(", ")]
        name = nameOfStructures(structures, [run.name for run in self._board.refresh()])
        known = [one["value"] for one in state.seg_starts]
        learnFrom(
            self._board,
            self._copyCases,
            name=name,
            encoder=start if start in known and start not in (_SCRATCH, _CHOSEN) else None,
            initial=chosen if start == _CHOSEN else None,
            steps=wholeNumber(state.seg_steps),
            device=str(state.device),
        )
        self._look()
        self._page.notice.show(runSentence("runs.started-page", name=name))

    def _copyCases(self, folder: Path) -> list[Case]:
        return [one.copyTo(folder, f"scan{number}") for number, one in self._labelled.items()]

    def take(self) -> None:
        """Learn from the newest segmentation of the shown scan as from labels."""
        number, node = self.applying.shown()
        segmentation, target = self.applying.result(), self._folder / f"labelled-{number}"
        writeCase(target, readVolume(node), segmentation)
        self._add(number, target, segmentation)

    # What is shown

    def _chosen(self) -> Path | None:
        """The folder of the chosen run; its name is compared with those of the folder, never used as a path."""
        runs = [run for run in learnedRuns(self._board) if self._board.modelOf(run.folder) is not None]
        chosen = self._page.state.seg_model
        return next((run.folder for run in runs if run.folder.name == chosen), None)

    def _look(self) -> None:
        if self._board.root is None:
            return
        state = self._page.state
        self._board.refresh()
        runs = learnedRuns(self._board)
        models = [run for run in runs if self._board.modelOf(run.folder) is not None]
        state.seg_models = [{"title": run.name, "value": run.folder.name} for run in models]
        if state.seg_model not in [one["value"] for one in state.seg_models]:
            state.seg_model = state.seg_models[0]["value"] if state.seg_models else ""
        newest = runs[0] if runs else None
        state.seg_message = "" if newest is None else str(learningText(newest))

    def _onResult(self, isThere: bool) -> None:
        """Show the labels, or the result of a model, but not both."""
        if self._node is not None:
            self._node.SetDisplayVisibility(not isThere)
