"""Slicer without Qt and without a screen: real MRML and its logics, and real views that render into arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

# To be set before the first window: with a display or without, the same software draws the same picture.
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

import numpy as np
import slicer
import vtk
from freeing import free_application, free_view
from trame_slicer.core import SlicerApp
from trame_slicer.views import NoScheduleRendering, SliceView, ThreeDView, ViewLayoutDefinition
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

AXIAL, CORONAL, SAGITTAL, THREE_D = "Red", "Green", "Yellow", "ThreeD"
SLICES = (AXIAL, CORONAL, SAGITTAL)


class OffscreenApplication:
    """A scene as Slicer sets it up: colour tables, subject hierarchy, and the logics of the built-in modules.

    Attributes:
        scene: the vtkMRMLScene.
        errors: what VTK and MRML complained about since the start.
    """

    def __init__(self) -> None:
        self._app = SlicerApp()
        # The browser face has no use for sequences, and so does not know their nodes.
        self._app.register_module_logic(slicer.vtkSlicerSequencesLogic())
        self.scene: slicer.vtkMRMLScene = self._app.scene
        self.errors: list[str] = []
        self._output = vtk.vtkOutputWindow.GetInstance()
        self._observation = self._output.AddObserver("ErrorEvent", self._onError)

    @vtk.calldata_type(vtk.VTK_STRING)
    def _onError(self, _caller: vtk.vtkObject, _event: str, text: str) -> None:
        self.errors.append(text.strip())

    @property
    def logic(self) -> slicer.vtkSlicerApplicationLogic:
        """The application logic, which knows the logics of the views."""
        return self._app.app_logic

    @property
    def volumeRendering(self) -> slicer.vtkSlicerVolumeRenderingLogic:
        """The logic of the module Volume Rendering."""
        return self._app.volume_rendering

    def close(self) -> None:
        """Remove what the application keeps on disk, and hear of no more errors."""
        self._output.RemoveObserver(self._observation)
        free_application(self._app)


def prepare(view: SliceView | ThreeDView) -> None:
    """Let a view draw the same on every machine."""
    # Blended edges would make a pixel's colour depend on the machine, and with samples the software that draws here
    # leaves out what is translucent.
    view.render_window().SetMultiSamples(0)
    view.render_window().SetAlphaBitPlanes(1)


def drawn(view: SliceView | ThreeDView) -> np.ndarray:
    """What a view shows now, (rows, columns, 3) uint8 RGB, from the top."""
    view.render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(view.render_window())
    grab.ReadFrontBufferOff()
    grab.ShouldRerenderOff()
    grab.Update()
    image = grab.GetOutput()
    columns, rows, _ = image.GetDimensions()
    colors = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, 3)
    return colors[::-1].copy()


class OffscreenViews:
    """Three slice views and a 3D view of a scene, drawn when asked and only then.

    Args:
        application: whose scene is shown.
        size: columns and rows of each picture.
    """

    def __init__(self, application: OffscreenApplication, size: tuple[int, int] = (300, 300)) -> None:
        self.size = size
        definitions = (
            ViewLayoutDefinition.axial_view(),
            ViewLayoutDefinition.coronal_view(),
            ViewLayoutDefinition.sagittal_view(),
            ViewLayoutDefinition.threed_view(),
        )
        self._views = {
            definition.singleton_tag: self._made(application, definition) for definition in definitions
        }

    def _made(
        self, application: OffscreenApplication, definition: ViewLayoutDefinition
    ) -> SliceView | ThreeDView:
        kind = ThreeDView if definition.singleton_tag == THREE_D else SliceView
        view = kind(
            application.scene,
            application.logic,
            definition.singleton_tag,
            scheduled_render_strategy=NoScheduleRendering(),
        )
        prepare(view)
        view.render_window().SetSize(*self.size)
        view.update_size(*self.size)
        view.set_view_properties(definition.properties)
        view.set_mapped_in_layout(True)
        return view

    def view(self, name: str) -> SliceView | ThreeDView:
        """A view by its name, such as `AXIAL`."""
        return self._views[name]

    def sliceNode(self, name: str) -> slicer.vtkMRMLSliceNode:
        """The node that says which slice a view shows."""
        return self._views[name].get_view_node()

    def showVolume(self, node: slicer.vtkMRMLVolumeNode | None) -> None:
        """Show a volume as the background of the slice views, as a whole, cut along its own axes."""
        for name in SLICES:
            view = self._views[name]
            view.set_background_volume_id(node.GetID() if node is not None else None)
            view.reset_view()
        self.view(THREE_D).reset_view()

    def jumpTo(self, pointRas: Sequence[float]) -> None:
        """Move the three slices so that they cut a point in world RAS."""
        for name in SLICES:
            self.sliceNode(name).JumpSliceByOffsetting(*pointRas)

    def pixelOf(self, name: str, pointRas: Sequence[float]) -> tuple[int, int]:
        """The row and column of the picture of a slice that show the point of the slice nearest to `pointRas`."""
        xyToRas = slicer.util.arrayFromVTKMatrix(self.sliceNode(name).GetXYToRAS())
        x, y = np.linalg.solve(xyToRas, [*pointRas, 1.0])[:2]
        return self.size[1] - 1 - round(y), round(x)

    def pictureOf(self, name: str) -> np.ndarray:
        """What a view shows now, (rows, columns, 3) uint8 RGB, from the top."""
        return drawn(self._views[name])

    def colorAt(self, name: str, pointRas: Sequence[float]) -> tuple[int, int, int]:
        """The colour that a slice view shows at a point in world RAS, 0 to 255."""
        red, green, blue = self.pictureOf(name)[self.pixelOf(name, pointRas)].tolist()
        return red, green, blue

    def close(self) -> None:
        """Free the windows."""
        for view in self._views.values():
            free_view(view)
        self._views = {}


def writePicture(path: Path, *pictures: np.ndarray) -> None:
    """Write pictures of equal height side by side as one PNG file, to be looked at."""
    joined = np.ascontiguousarray(np.concatenate(pictures, axis=1)[::-1])
    image = vtk.vtkImageData()
    image.SetDimensions(joined.shape[1], joined.shape[0], 1)
    image.GetPointData().SetScalars(numpy_to_vtk(joined.reshape(-1, 3), deep=True))
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(image)
    writer.Write()
