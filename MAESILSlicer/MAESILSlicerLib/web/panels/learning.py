"""The section that learns structures from labelled scans and outlines them in the others."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import slicer
from aiohttp import web

from MAESILCore.data.labels import write_segmentation
from MAESILCore.data.segmentation import Segmentation
from MAESILCore.downstream.segmentation.cases import Case
from MAESILCore.errors import MaesilError
from MAESILCore.models.catalogue import list_models
from MAESILSlicerLib.results.resultset import ResultSet, allResults, removeResults
from MAESILSlicerLib.results.segmentation import KIND, segmentationsOf, undoNewest
from MAESILSlicerLib.scene.nodes import removeNode
from MAESILSlicerLib.scene.segmentations import addSegmentation, segmentationOf
from MAESILSlicerLib.scene.volumes import readVolume
from MAESILSlicerLib.session.board import Board
from MAESILSlicerLib.session.runwords import nameOfStructures
from MAESILSlicerLib.session.runwords import sentence as runSentence
from MAESILSlicerLib.session.segmenting import learnedRuns, learnFrom, learningText, startSegmentation
from MAESILSlicerLib.session.wording import sentence
from MAESILSlicerLib.web.labelled import LabelledScan, readLabels, writeCase
from MAESILSlicerLib.web.page import Page
from MAESILSlicerLib.web.panels.newrun import wholeNumber
from MAESILSlicerLib.web.views import FOUR_UP

_SECONDS = 1.0
#: Name of the download of a result.
DOWNLOAD = "segmentation.seg.nrrd"
#: Starts of learning that are no bundled model.
_SCRATCH, _CHOSEN = "scratch", "chosen"


class LearningPanel:
    """Receives labels of scans, starts runs that learn them, and applies their models; its state begins with `seg_`.

    As elsewhere, the page names scans and runs by number and name, and never by path.

    Args:
        page: the shared objects of the page.
        folder: for labelled scans and downloads; the caller removes it.
        runs: the folder of the runs; None if there is none.
        onJob: called when a job has started.
    """

    def __init__(self, page: Page, folder: Path, runs: Path | None, onJob: Callable[[], None]) -> None:
        self._page, self._folder, self._onJob = page, folder, onJob
        self._board = Board()
        self._labelled: dict[int, LabelledScan] = {}
        self._arrived: ResultSet | None = None
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
                "seg_result": "",
            }
        )
        if runs is not None:
            self._board.open(runs)
        page.state.change("seg_open")(page.latest(self._look))
        self._onSession = page.latest(self._refresh)
        page.session.changed.connect(self._onSession, "volume", "results")
        for name in ("learn", "apply", "undo", "take"):
            page.onTrigger(f"seg_{name}", self._action(getattr(self, f"_{name}")))
        page.onTrigger("seg_remove", self.removeCase)

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
        number, node = self._shown()
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
        for results in allResults(self._page.session.scene):
            if results.kind is KIND:
                removeResults(results)
        self._showResult()

    async def sendResult(self, _request: web.Request) -> web.StreamResponse:
        """Answer `GET /segmentation.seg.nrrd` with the newest segmentation of the shown scan."""
        node = self._page.session.volumeNode
        found = segmentationsOf(node) if node is not None else []
        if not found:
            return web.Response(status=404, text=sentence("segment.no-result"))
        segmentation = segmentationOf(found[-1].main, node)
        path = self._folder / DOWNLOAD
        await asyncio.to_thread(write_segmentation, segmentation, path)
        return web.FileResponse(
            path,
            headers={
                "Content-Disposition": f'attachment; filename="{DOWNLOAD}"',
                "Cache-Control": "no-store",
            },
        )

    def close(self) -> None:
        """Stop following the session; runs go on."""
        self._page.session.changed.disconnect(self._onSession)
        self._board.close()

    def _action(self, action: Callable[[], None]) -> Callable[[], None]:
        """An action of the page, which shows its error."""

        def act() -> None:
            with self._page.state:
                try:
                    self._page.notice.clear()
                    action()
                except (MaesilError, OSError) as error:
                    self._page.notice.showError(error)
                self._look()

        return act

    # Labels

    def _shown(self) -> tuple[int, slicer.vtkMRMLScalarVolumeNode]:
        state, node = self._page.state, self._page.session.volumeNode
        if state.loading:
            raise MaesilError("The scan is still being read; wait until it is shown.")
        if node is None or not isinstance(state.scan, int) or state.scan < 0:
            raise MaesilError("Open the scan of these labels first.")
        return state.scan, node

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

    def _learn(self) -> None:
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
        self._page.notice.show(runSentence("runs.started-page", name=name))

    def _copyCases(self, folder: Path) -> list[Case]:
        return [one.copyTo(folder, f"scan{number}") for number, one in self._labelled.items()]

    def _apply(self) -> None:
        """Outline the structures of the chosen model in the shown scan."""
        chosen = self._chosen()
        if chosen is None:
            raise MaesilError(sentence("segment.no-model"))
        _number, node = self._shown()
        startSegmentation(self._page.session, node, chosen, str(self._page.state.device))
        self._onJob()

    def _undo(self) -> None:
        """Remove the newest segmentation of the shown scan."""
        _number, node = self._shown()
        if not undoNewest(node):
            raise MaesilError(sentence("segment.no-result"))
        self._showResult()

    def _take(self) -> None:
        """Learn from the newest segmentation of the shown scan as from labels."""
        number, node = self._shown()
        found = segmentationsOf(node)
        if not found:
            raise MaesilError(sentence("segment.no-result"))
        segmentation, target = segmentationOf(found[-1].main, node), self._folder / f"labelled-{number}"
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

    def _refresh(self) -> None:
        """Follow the volume and its results; a mask would cover those of a job that has just ended."""
        made, state = self._page.session.made, self._page.state
        if made is not None and made is not self._arrived and made.kind is KIND:
            self._arrived = made
            state.show_mask2d, state.layout = False, FOUR_UP
        self._showResult()

    def _showResult(self) -> None:
        node = self._page.session.volumeNode
        found = segmentationsOf(node) if node is not None else []
        self._page.state.seg_result = found[-1].main.GetName() if found else ""
        if self._node is not None:
            # One of both at a time.
            self._node.SetDisplayVisibility(not found)
