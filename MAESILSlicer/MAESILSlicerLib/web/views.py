"""The views of the page, their layouts and the order of rendering."""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from trame_rca.utils import RcaViewAdapter
from trame_slicer.core import LayoutManager, SlicerApp
from trame_slicer.rca_view.rca_view_factory import RcaView, RemoteViewFactory
from trame_slicer.views import (
    AbstractView,
    Layout,
    LayoutDirection,
    ScheduledRenderStrategy,
    SliceView,
    ThreeDView,
    ViewLayoutDefinition,
    ViewType,
    slicer_layout_to_vue,
)
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter

from MAESILSlicerLib.results import comparison
from MAESILSlicerLib.web.viewframe import fitSlice, fitThreeD, sliceFrame, threeDFrame, titleOf

if TYPE_CHECKING:
    from trame_server import Server

FOUR_UP, COMPARISON, ONLY_3D = "four-up", "comparison", "3d"

#: Delay of 3D views, so that slices are rendered first while a slider is dragged.
_REST_SECONDS = 0.12
#: Pause after rendering, in which pictures are encoded and sent.
_SENDING_SECONDS, _SENDING_ALL_SECONDS = 0.005, 0.03
#: JPEG quality: equal to that of trame-rca's still pictures, so that none is rendered twice.
_QUALITY = 90


class _Turns:
    """Renders views one after the other, so that each picture is sent before the next view blocks the server.

    Attributes:
        isBusy: whether a view is being rendered or waits.
    """

    def __init__(self) -> None:
        self._waiting: list[RcaViewAdapter] = []
        self.isBusy = False

    def add(self, adapter: RcaViewAdapter) -> None:
        """Render a view once it is its turn."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # Before the server runs, there is no client; each new client requests a picture.
            return
        if adapter not in self._waiting:
            self._waiting.append(adapter)
        if not self.isBusy:
            self.isBusy = True
            # Later, because more of the same change is to come.
            loop.call_soon(self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self.isBusy = bool(self._waiting)
        if self._waiting:
            self._waiting.pop(0).schedule_render()
            # In two steps, because the view is rendered between them.
            loop.call_soon(loop.call_later, _SENDING_SECONDS, self._next, loop)


class _AfterSlices(ScheduledRenderStrategy):
    """Debounces a 3D view, which takes longer to render than all slices together.

    Args:
        adapter: of the view.
        slices: the turns of the slice views.
    """

    def __init__(self, adapter: RcaViewAdapter, slices: _Turns) -> None:
        super().__init__()
        self._adapter, self._slices = adapter, slices
        self._timer: asyncio.TimerHandle | None = None

    def schedule_render(self) -> None:
        """Called by the scene for each change."""
        if self.abstract_view is not None and _isHeld(self.abstract_view):
            # While the user rotates the view, render at once.
            self._adapter.schedule_render()
            return
        if self._timer is not None:
            self._timer.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # Before the server runs, there is no client; each new client requests a picture.
            return
        self._timer = loop.call_later(_REST_SECONDS, self._afterSlices, loop)

    def _afterSlices(self, loop: asyncio.AbstractEventLoop) -> None:
        wait = self._afterSlices if self._slices.isBusy else self._render
        self._timer = loop.call_later(_SENDING_ALL_SECONDS, wait, loop)

    def _render(self, _loop: asyncio.AbstractEventLoop) -> None:
        self._adapter.schedule_render()


class _InTurn(ScheduledRenderStrategy):
    """Renders a slice view when it is its turn.

    Args:
        adapter: of the view.
        turns: those of all slice views.
    """

    def __init__(self, adapter: RcaViewAdapter, turns: _Turns) -> None:
        super().__init__()
        self._adapter, self._turns = adapter, turns

    def schedule_render(self) -> None:
        """Called by the scene for each change."""
        self._turns.add(self._adapter)


def _isHeld(view: AbstractView) -> bool:
    style = view.interactor().GetInteractorStyle()
    return style is not None and bool(getattr(style, "GetState", int)())


class _ThreeDFactory(RemoteViewFactory):
    def __init__(self, server: Server, slices: _Turns, **keywords: object) -> None:
        super().__init__(server, _still(ThreeDView), view_type=ViewType.THREE_D_VIEW, **keywords)
        self._slices = slices

    def _create_view(self, *arguments: object, **keywords: object) -> RcaView:
        made = super()._create_view(*arguments, **keywords)
        made.slicer_view.set_scheduled_render(_AfterSlices(made.view_adapter, self._slices))
        renderer = made.slicer_view.renderer()
        # No object in the volume is transparent, and depth peeling would render several passes.
        renderer.SetUseDepthPeeling(False)
        renderer.SetUseDepthPeelingForVolumes(False)
        return _withoutSamples(made)


class _SliceFactory(RemoteViewFactory):
    def __init__(self, server: Server, turns: _Turns, **keywords: object) -> None:
        super().__init__(server, _still(SliceView), view_type=ViewType.SLICE_VIEW, **keywords)
        self._turns = turns

    def _create_view(self, *arguments: object, **keywords: object) -> RcaView:
        made = _withoutSamples(super()._create_view(*arguments, **keywords))
        made.slicer_view.set_scheduled_render(_InTurn(made.view_adapter, self._turns))
        _putSliceBelow(made.slicer_view)
        _fitAtEachSize(made.slicer_view)
        return made


def _still(viewClass: Callable[..., AbstractView]) -> Callable[..., AbstractView]:
    """A view that does not render during its creation, where the default renders at each step, for seconds."""
    return partial(viewClass, scheduled_render_strategy=ScheduledRenderStrategy())


def _putSliceBelow(view: SliceView) -> None:
    """Draw the slice before the overlays of the scene, which are blended over it."""
    renderer = view.first_renderer()
    overlays = list(renderer.GetViewProps())
    renderer.RemoveAllViewProps()
    view._render_manager._AddSliceActorToRendererIfNeeded()
    for prop in overlays:
        renderer.AddViewProp(prop)


def _fitAtEachSize(view: SliceView) -> None:
    """Fit a slice again after each resize, because only the page knows its size."""
    size = view.render_window().GetSize()

    def resized(_interactor: object, _event: str) -> None:
        nonlocal size
        if size == view.render_window().GetSize():
            return
        size = view.render_window().GetSize()
        offset = view.get_slice_value()
        fitSlice(view)
        view.set_slice_value(offset)

    # trame-slicer sends this after the slice has its new size; the window's own event is too early.
    view.interactor().AddObserver("WindowResizeEvent", resized)


def _withoutSamples(made: RcaView) -> RcaView:
    """Turn off multisampling (8 by default), which dominates the time of software rendering."""
    made.slicer_view.render_window().SetMultiSamples(0)
    return made


class Views:
    """All views of the page and their layouts.

    Args:
        server: the trame server.
        app: the trame-slicer application.
    """

    def __init__(self, server: Server, app: SlicerApp) -> None:
        self.app = app
        self._titles: Callable[[], dict[str, str]] = lambda: dict(server.state.compared_titles)
        manager = app.view_manager
        common = {"interactive_quality": _QUALITY, "target_fps": 30.0, "blur_fps": 30.0}
        self._compared = comparison.usualViews()
        frame = partial(sliceFrame, fit=self.fitWith, nameOf=self._nameOf)
        turns = _Turns()
        manager.register_factory(_SliceFactory(server, turns, populate_view_ui_f=frame, **common))
        manager.register_factory(_ThreeDFactory(server, turns, populate_view_ui_f=threeDFrame, **common))
        self.layouts = LayoutManager(app.scene, manager, server)
        # Lazy, because creating a view takes a good part of a second.
        self.layouts.register_layout_dict(_layouts(), lazy_initialization=True)
        self.layouts.create_layout_views_if_needed(FOUR_UP)

    @property
    def slices(self) -> list[SliceView]:
        """The three orthogonal slice views."""
        return [self.app.view_manager.get_view(tag) for tag in ("Red", "Green", "Yellow")]

    @property
    def shown(self) -> list[AbstractView]:
        """All views of the current layout."""
        views = self.layouts.get_layout(self.layouts.layout_id).get_views(is_recursive=True)
        return [self.app.view_manager.get_view(view.singleton_tag) for view in views]

    @property
    def shownSlices(self) -> list[SliceView]:
        """The slice views of the current layout."""
        return [view for view in self.shown if isinstance(view, SliceView)]

    @property
    def threeD(self) -> ThreeDView:
        """The 3D view."""
        return self.app.view_manager.get_view("ThreeD")

    def compare(self, views: tuple[comparison.ComparisonView, ...]) -> None:
        """Set the views of `COMPARISON`."""
        if views != self._compared:
            self._compared = views
            layout = slicer_layout_to_vue(comparison.layoutXml(views))
            self.layouts.register_layout(COMPARISON, layout, lazy_initialization=True)

    def _nameOf(self, tag: str) -> str | None:
        """The name of a comparison view; None for other views."""
        return next((view.label for view in self._compared if view.tag == tag), None)

    def show(self, layout: str) -> None:
        """Switch the layout: `FOUR_UP`, `COMPARISON` or `ONLY_3D`."""
        self.layouts.set_layout(layout)

    def showVolume(self, volumeId: str | None) -> None:
        """Show the whole volume, and nothing else, in the three slice views."""
        for view in self.slices:
            view.set_background_volume_id(volumeId)
            view.set_foreground_volume_id(None)

    def fit(self) -> None:
        """Show the whole scan in the slice views, aligned to its axes, and in 3D."""
        for view in self.slices:
            view.reset_view()
            fitSlice(view)
        fitThreeD(self.threeD)

    def fitWith(self, view: SliceView) -> None:
        """Show the whole scan in a slice view and its linked views."""
        linked = self.shownSlices if comparison.isCompared(view.get_singleton_tag()) else [view]
        for one in linked:
            fitSlice(one)

    def screenshot(self) -> bytes:
        """The views of the current layout as PNG, arranged as on the page."""
        from PIL import Image

        pictures = [_pixelsOf(view) for view in self.shown]
        columns = math.ceil(math.sqrt(len(pictures)))
        height = min(len(picture) for picture in pictures)
        width = min(picture.shape[1] for picture in pictures)
        pictures = [
            _titled(picture[:height, :width], titleOf(view.get_singleton_tag(), self._titles()))
            for picture, view in zip(pictures, self.shown, strict=True)
        ]
        pictures += [np.zeros_like(pictures[0])] * (-len(pictures) % columns)
        rows = [np.hstack(pictures[start : start + columns]) for start in range(0, len(pictures), columns)]
        file = io.BytesIO()
        Image.fromarray(np.vstack(rows)).save(file, "PNG")
        return file.getvalue()


def _layouts() -> dict[str, Layout]:
    axial = ViewLayoutDefinition.axial_view()
    coronal = ViewLayoutDefinition.coronal_view()
    sagittal = ViewLayoutDefinition.sagittal_view()
    threeD = ViewLayoutDefinition.threed_view(background_color=("#0b0d10", "#1c232b"))
    across, down = LayoutDirection.Horizontal, LayoutDirection.Vertical
    return {
        FOUR_UP: Layout(down, [Layout(across, [axial, threeD]), Layout(across, [coronal, sagittal])]),
        COMPARISON: slicer_layout_to_vue(comparison.layoutXml(comparison.usualViews())),
        ONLY_3D: Layout(down, [threeD]),
    }


def _titled(picture: np.ndarray, title: str) -> np.ndarray:
    """The picture, (rows, columns, 3) uint8, with a title in its upper left corner."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text(
        (8, 6), title, (255, 255, 255), ImageFont.load_default(14), stroke_width=2, stroke_fill=(0, 0, 0)
    )
    return np.asarray(image)


def _pixelsOf(view: AbstractView) -> np.ndarray:
    """(rows, columns, 3) uint8, top row first."""
    view.render_window().Render()
    grab = vtkWindowToImageFilter()
    grab.SetInput(view.render_window())
    grab.ReadFrontBufferOff()
    grab.ShouldRerenderOff()
    grab.Update()
    image = grab.GetOutput()
    columns, rows, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)
    return pixels[::-1, :, :3].copy()
