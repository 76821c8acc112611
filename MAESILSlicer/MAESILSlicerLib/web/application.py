"""The page: one scene, one session and the sections."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import slicer
from trame.ui.html import DivLayout
from trame.widgets import html
from trame_slicer.core import SlicerApp
from vtkmodules.vtkCommonCore import vtkLogger, vtkOutputWindow

from MAESILCore.downstream.search.index import Index
from MAESILCore.errors import MaesilError
from MAESILSlicerLib.scene.rendering import Rendering, usesSoftware
from MAESILSlicerLib.session.models import givesVoxels
from MAESILSlicerLib.session.session import Session
from MAESILSlicerLib.web.admission import Admission
from MAESILSlicerLib.web.catalog import Catalog, findEntries
from MAESILSlicerLib.web.clicks import onDoubleClick, onPress
from MAESILSlicerLib.web.downloads import Downloads
from MAESILSlicerLib.web.options import AppOptions
from MAESILSlicerLib.web.page import Page
from MAESILSlicerLib.web.panels.features import FeaturesPanel
from MAESILSlicerLib.web.panels.learning import LearningPanel
from MAESILSlicerLib.web.panels.masks import MaskPanel
from MAESILSlicerLib.web.panels.models import ModelPanel
from MAESILSlicerLib.web.panels.pretraining import PretrainPanel
from MAESILSlicerLib.web.panels.reconstruct import ReconstructPanel
from MAESILSlicerLib.web.panels.regions import RegionPanel
from MAESILSlicerLib.web.panels.results import ResultsPanel
from MAESILSlicerLib.web.panels.segments import SegmentPanel
from MAESILSlicerLib.web.panels.similar import SimilarPanel
from MAESILSlicerLib.web.panels.volume import VolumePanel
from MAESILSlicerLib.web.uploads import Uploads
from MAESILSlicerLib.web.views import FOUR_UP, Views

if TYPE_CHECKING:
    from trame_server import Server

STATIC = Path(__file__).with_name("static")
_SERVED = "__maesil"


class Application:
    """The server side of one page, which one browser tab owns and others may watch.

    It creates the sections and connects their callbacks.

    Args:
        server: the trame server.
        options: the options of `maesil app`.
        folder: the folder for uploads and jobs; the caller removes it.

    Attributes:
        server: as given.
        state: the page's state.
        scene: the MRML scene.
        session: the session of the shown scan.
        notice: the page's message line.
        views: the page's views.
        admission: owner and watchers of the page.

    Raises:
        MaesilError: a scan or model in the options cannot be used.
    """

    def __init__(self, server: Server, options: AppOptions, folder: Path) -> None:
        self.server, self.state = server, server.state
        server.enable_module(
            {
                "serve": {_SERVED: str(STATIC)},
                "scripts": [f"{_SERVED}/maesil.js", f"{_SERVED}/sections.js"],
                "styles": [f"{_SERVED}/maesil.css"],
            }
        )
        self.state.update({"trame__title": "MAESIL", "trame__favicon": f"{_SERVED}/icon.svg"})
        self._slicer = SlicerApp()
        _quietVtk()
        self.scene = self._slicer.scene
        # Scene code may use this name, as on the desktop.
        slicer.mrmlScene = self.scene
        self.views = Views(server, self._slicer)
        self.admission = Admission(server, self._redraw)
        self.session = Session(self.scene, jobsFolder=folder / "jobs")
        if options.model is not None:
            self.session.change(model=options.model)
            if self.session.problem is not None:
                raise self.session.problem
        page = Page(server, self.session)
        self.notice = page.notice
        catalog = Catalog()
        self._first = catalog.add(findEntries(options.scans, "This server")) if options.scans else [0]
        isSoftware = usesSoftware(self.views.threeD.render_window())
        rendering = Rendering(self.scene, self._slicer.volume_rendering, isSoftware)
        self.results = ResultsPanel(page, self.views)
        self.regions = RegionPanel(page)
        self.segments = SegmentPanel(page, lambda: self.masks.redraw())
        self.masks = MaskPanel(page, self.regions, self.segments)
        self.models = ModelPanel(page, options.modelFolders, self._onModel)
        self.reconstruct = ReconstructPanel(
            page, options.device, lambda: self.models.window, self.regions.showHandles, self._onResults
        )
        self.features = FeaturesPanel(page, options.modelFolders, self.reconstruct.refresh)
        self.learning = LearningPanel(page, folder, options.runs, catalog, self.reconstruct.refresh)
        self.pretrain = PretrainPanel(
            page, options.data, options.runs, self.results.showPreview, self._useModel
        )
        self.volume = VolumePanel(
            page, rendering, catalog, self._onVolume, lambda: self.masks.refresh(), self.results.followWindow
        )
        index = Index.open(options.index) if options.index is not None else None
        self.similar = SimilarPanel(page, self.features.shown, self.volume, index)
        self.features.onShown = self.similar.refresh
        for view in self.views.slices:
            onDoubleClick(view, self._onDoubleClick)
            onPress(view, self.features.pick)
        self.uploads = Uploads(folder, self.volume.openUpload, self.admission.isOwners)
        self.labels = Uploads(folder, self.segments.open, self.admission.isOwners)
        self.outlines = Uploads(folder, self.learning.open, self.admission.isOwners)
        self.downloads = Downloads(lambda: self.session.exportFolder, self._name, self.views.screenshot)
        self._tasks: list[asyncio.Task[None]] = []
        self._buildPage()

    def start(self) -> None:
        """Open the first scan, once the server is running."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self.reconstruct.watch()),
            loop.create_task(self.reconstruct.findDevices()),
            loop.create_task(self.pretrain.watch()),
            loop.create_task(self.similar.watch()),
            loop.create_task(self.learning.watch()),
        ]
        self.volume.openFirst(self._first)

    def close(self) -> None:
        """End the job and all other processes, except runs, which go on."""
        for task in self._tasks:
            task.cancel()
        self.reconstruct.close()
        self.similar.close()
        self.features.close()
        self.learning.close()
        self.pretrain.close()
        self.session.close()

    def _onModel(self, isOtherGrid: bool) -> None:
        if isOtherGrid:
            # The rows of these results belong to another grid.
            self.results.forget()
        self.masks.refresh()

    def _useModel(self, title: str, path: Path) -> None:
        """Use a run's model for reconstructions, or for features if it gives no voxels."""
        (self.models.use if givesVoxels(path) else self.features.useModel)(title, path)

    def _onResults(self, areNew: bool) -> None:
        if areNew:
            self.results.show()
        else:
            self.results.forget()

    def _onVolume(self, node: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        self.results.forget()
        self.features.forget()
        self.learning.forget()
        self.views.showVolume(node.GetID() if node is not None else None)
        self.views.fit()

    def _redraw(self) -> None:
        for view in self.views.shown:
            view.schedule_render()

    def _name(self) -> str:
        node = self.session.volumeNode
        return "MAESIL" if node is None else node.GetName()

    def _onDoubleClick(self, ras: tuple[float, float, float]) -> None:
        if self.features.isPicking:
            return
        try:
            self.masks.chooseAt(ras)
        except MaesilError as error:
            with self.state:
                self.notice.showError(error)

    def _buildPage(self) -> None:
        """Build the page from the Vue template `page.html` and insert the views."""
        before, after = (STATIC / "page.html").read_text(encoding="utf-8").split("<!-- views -->")
        with DivLayout(self.server) as layout:
            layout.root.classes = "maesil"
            layout.root.add_child(before)
            with html.Div(classes=("feature_picking ? 'views picking' : 'views'",)):
                self.views.layouts.initialize_layout_grid(layout)
            layout.root.add_child(after)
        self.views.show(FOUR_UP)


def _quietVtk() -> None:
    """Silence VTK's warnings, which come for each view without a screen; errors stay."""
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)
    vtkOutputWindow.GetInstance().SetDisplayModeToNever()
