"""The part of the section Segment that applies a learned model: to the shown scan, or to all that have no labels."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Container
from functools import partial
from pathlib import Path

import slicer
from aiohttp import web

from MAESILCore.data.segmentation import Segmentation
from MAESILCore.data.volume import Volume
from MAESILCore.errors import MaesilError
from MAESILCore.jobs.segmentation import prepare_segmentation
from MAESILSlicerLib.results.resultset import ResultSet, allResults, importResults, removeResults
from MAESILSlicerLib.results.segmentation import KIND, segmentationsOf, undoNewest
from MAESILSlicerLib.scene.segmentations import segmentationOf
from MAESILSlicerLib.scene.volumes import readVolume
from MAESILSlicerLib.session.applying import followSeries, startedTask
from MAESILSlicerLib.session.series import Scan, SkippedError
from MAESILSlicerLib.session.tasks import Task
from MAESILSlicerLib.session.wording import sentence
from MAESILSlicerLib.web.catalog import SAMPLE, Catalog, Entry, sentenceOf
from MAESILSlicerLib.web.downloads import attached
from MAESILSlicerLib.web.page import Page
from MAESILSlicerLib.web.segmented import SegmentedScans, nameIn, writtenSegmentation
from MAESILSlicerLib.web.views import FOUR_UP

#: Ending of the names of downloads.
DOWNLOAD = "segmentation.seg.nrrd"


class ApplyPanel:
    """Applies models, keeps the results of all scans, and shows those of the shown one; its state begins with `seg_`.

    Args:
        page: the shared objects of the page.
        folder: for results; the caller removes it.
        catalog: the scans on offer.
        model: returns the folder of the chosen run; None if there is none.
        labelled: returns the numbers of the scans that have labels of a person.
        onJob: called when a job has started.
        onResult: called with whether the shown scan has a segmentation by a model.
    """

    def __init__(
        self,
        page: Page,
        folder: Path,
        catalog: Catalog,
        model: Callable[[], Path | None],
        labelled: Callable[[], Container[int]],
        onJob: Callable[[], None],
        onResult: Callable[[bool], None],
    ) -> None:
        self._page, self._catalog, self._model, self._labelled = page, catalog, model, labelled
        self._onJob, self._onResult = onJob, onResult
        self._kept = SegmentedScans(folder)
        self._arrived: ResultSet | None = None
        #: The shown scan, once its kept results are in the scene.
        self._restored: slicer.vtkMRMLScalarVolumeNode | None = None
        page.state.update({"seg_result": "", "seg_scans": [], "seg_others": 0})
        self._onSession = page.latest(self.refresh)
        page.session.changed.connect(self._onSession, "volume", "results")
        page.state.change("scans", "scan", "seg_cases")(self._onSession)
        for name, action in (("apply", self.apply), ("apply_all", self.applyToOthers), ("undo", self.undo)):
            page.onTrigger(f"seg_{name}", page.action(action))

    def apply(self) -> None:
        """Outline the structures of the chosen model in the shown scan."""
        model, (number, node), session = self._chosen(), self.shown(), self._page.session
        session.requireNoTask()
        folder = prepare_segmentation(
            session.jobsFolder, readVolume(node), model, device=str(self._page.state.device)
        )
        session.take(self._taskOf(number, folder))
        self._onJob()

    def applyToOthers(self) -> None:
        """Outline the structures of the chosen model in all scans without labels of a person, one after the other."""
        model = self._chosen()
        if self._page.state.loading:
            raise MaesilError(sentence("segment.still-read"))
        others = self.others
        if not others:
            raise MaesilError(sentence("segment.no-others"))
        device = str(self._page.state.device)
        followSeries(self._page.session, [self._scanOf(number, model, device) for number in others])
        self._onJob()

    def undo(self) -> None:
        """Remove the newest segmentation of the shown scan."""
        number, node = self.shown()
        if not undoNewest(node):
            raise MaesilError(sentence("segment.no-result"))
        self._kept.removeNewest(number)
        self._showResults()
        self._page.notice.show(sentence("segment.undone", volume=node.GetName()))

    def result(self) -> Segmentation:
        """The newest segmentation of the shown scan.

        Raises:
            MaesilError: there is none.
        """
        _number, node = self.shown()
        found = segmentationsOf(node)
        if not found:
            raise MaesilError(sentence("segment.no-result"))
        return segmentationOf(found[-1].main, node)

    def shown(self) -> tuple[int, slicer.vtkMRMLScalarVolumeNode]:
        """Number and volume of the shown scan.

        Raises:
            MaesilError: there is none.
        """
        state, node = self._page.state, self._page.session.volumeNode
        if state.loading:
            raise MaesilError(sentence("segment.still-read"))
        if node is None or not isinstance(state.scan, int) or state.scan < 0:
            raise MaesilError("Open the scan of these labels first.")
        return state.scan, node

    @property
    def others(self) -> list[int]:
        """The scans without labels of a person; the sample is one of them while it is shown."""
        labelled, shown = self._labelled(), self._page.state.scan
        return [
            number
            for number in self._catalog.entries
            if number not in labelled and (number != SAMPLE or shown == SAMPLE)
        ]

    def forget(self) -> None:
        """Remove the results of the scan before from the scene, after a change of the scan; they stay kept."""
        for results in allResults(self._page.session.scene):
            if results.kind is KIND:
                removeResults(results)
        self._restored = None

    async def sendResult(self, request: web.Request) -> web.StreamResponse:
        """Answer `GET /segmentation.seg.nrrd` with the newest segmentation of the shown scan, or of `?scan=NUMBER`."""
        asked = request.query.get("scan", str(self._page.state.scan))
        found = self._kept.of(int(asked)) if asked.isdecimal() else []
        if not found:
            return web.Response(status=404, text=sentence("segment.no-result"))
        name = nameIn(found[-1]) or self._catalog.entries[int(asked)].title
        path = await asyncio.to_thread(writtenSegmentation, found[-1])
        return web.FileResponse(path, headers=attached(name, DOWNLOAD) | {"Cache-Control": "no-store"})

    def close(self) -> None:
        """Stop following the session."""
        self._page.session.changed.disconnect(self._onSession)

    # Jobs

    def _chosen(self) -> Path:
        model = self._model()
        if model is None:
            raise MaesilError(sentence("segment.no-model"))
        return model

    def _scanOf(self, number: int, model: Path, device: str) -> Scan:
        """A scan of a series, which is read in another thread when its turn comes."""
        entry = self._catalog.entries[number]

        def prepare() -> asyncio.Future[Path]:
            session = self._page.session
            # Read here, because the scene belongs to this thread.
            volume = readVolume(session.volumeNode) if number == self._page.state.scan else None
            work = partial(_prepare, entry, volume, session.jobsFolder, model, device)
            return asyncio.get_running_loop().run_in_executor(None, work)

        preparing = _Preparing(prepare, partial(self._taskOf, number))
        return Scan(entry.title, preparing.begin, preparing.drop)

    def _taskOf(self, number: int, folder: Path) -> Task:
        """Start a prepared job. It does not depend on the shown scan, which may change meanwhile."""
        return startedTask(self._page.session, folder, importer=partial(self._import, number))

    def _import(self, number: int, folder: Path, note: str) -> ResultSet | None:
        """Keep the results of a finished job, and show them if they are those of the shown scan."""
        kept, session = self._kept.keep(number, folder), self._page.session
        node = session.volumeNode
        # Before it is restored, `refresh` will import them with the others.
        if number == self._page.state.scan and node is not None and node is self._restored:
            return importResults(session.scene, node, kept, note)
        self._onSession()
        return None

    # What is shown

    def refresh(self) -> None:
        """Follow the shown scan and its results; a mask would cover those of a job that has just ended."""
        state, session = self._page.state, self._page.session
        node = session.volumeNode
        if node is not None and node is not self._restored and not state.loading:
            self._restored = node
            for folder in self._kept.of(state.scan):
                self._arrived = importResults(session.scene, node, folder)
                state.show_mask2d = False
        made = session.made
        if made is not None and made is not self._arrived and made.kind is KIND:
            self._arrived = made
            state.show_mask2d, state.layout = False, FOUR_UP
        self._showResults()

    def _showResults(self) -> None:
        state, node = self._page.state, self._page.session.volumeNode
        found = segmentationsOf(node) if node is not None else []
        state.seg_result = found[-1].main.GetName() if found else ""
        self._onResult(bool(found))
        state.seg_others = len(self.others)
        state.seg_scans = [
            {
                "number": number,
                "title": self._catalog.entries[number].title,
                "text": self._kept.structuresOf(number),
            }
            for number in self._kept.numbers
        ]


class _Preparing:
    """The folder of a job, made in another thread, and then its task.

    Args:
        prepare: starts to make the folder.
        start: starts the job in it.
    """

    def __init__(self, prepare: Callable[[], asyncio.Future[Path]], start: Callable[[Path], Task]) -> None:
        self._prepare, self._start = prepare, start
        self._folder: asyncio.Future[Path] | None = None

    def begin(self) -> Task | None:
        """The started task; None while the folder is being made. Errors are those of both steps."""
        if self._folder is None:
            self._folder = self._prepare()
        return self._start(self._folder.result()) if self._folder.done() else None

    def drop(self) -> None:
        """Delete the folder, as soon as it is made."""
        if self._folder is None:
            return
        if self._folder.done():
            # At once, because the event loop may have ended.
            _removeFolder(self._folder)
        else:
            self._folder.add_done_callback(_removeFolder)


def _removeFolder(made: asyncio.Future[Path]) -> None:
    if not made.cancelled() and made.exception() is None:
        shutil.rmtree(made.result(), ignore_errors=True)


def _prepare(entry: Entry, volume: Volume | None, root: Path, model: Path, device: str) -> Path:
    """Make the folder of a job; runs in another thread."""
    if volume is None:
        try:
            volume = entry.read()
        except Exception as error:
            raise SkippedError(sentenceOf(error, entry)) from error
    return prepare_segmentation(root, volume, model, device=device)
