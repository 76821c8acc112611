"""The views of the layout: real MRML views of trame-slicer, drawn off screen and shown as pictures."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6.QtCore import Property, QObject, Signal
from PySide6.QtGui import QImage, QPixmap
from PySide6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget
from trame_slicer.core import SlicerApp
from trame_slicer.views import NoScheduleRendering, SliceView, ThreeDView
from vtk.util.numpy_support import vtk_to_numpy


class ViewWidget(QLabel):
    """What `sliceWidget`, `threeDWidget` and `plotWidget` give: a view with its node and its logic."""

    def __init__(self, node: Any, view: Any) -> None:
        super().__init__()
        self._node, self._view = node, view
        self.alignment = 132
        self.text = "" if view else node.GetLayoutName()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)

    def mrmlSliceNode(self) -> Any:
        return self._node

    mrmlViewNode = mrmlPlotViewNode = mrmlTableViewNode = mrmlSliceNode

    def sliceLogic(self) -> Any:
        return self._view._logic

    def mrmlSliceCompositeNode(self) -> Any:
        return self.sliceLogic().GetSliceCompositeNode()

    def threeDView(self) -> Any:
        return self

    def resetFocalPoint(self) -> None:
        self._view.reset_focal_point()

    def resetCamera(self) -> None:
        self._view.reset_camera()

    def forceRender(self) -> None:
        """Draw the view at the size of this widget."""
        if self._view is None:
            return
        window = self._view.render_window()
        window.SetSize(max(self.width, 64), max(self.height, 64))
        if isinstance(self._view, SliceView):
            self._view._logic.ResizeSliceNode(*window.GetSize())
        self._view.render()
        picture = vtk.vtkWindowToImageFilter()
        picture.SetInput(window)
        picture.ReadFrontBufferOff()
        picture.Update()
        width, height, _ = picture.GetOutput().GetDimensions()
        pixels = vtk_to_numpy(picture.GetOutput().GetPointData().GetScalars()).reshape(height, width, 3)[::-1]
        image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
        self.pixmap = QPixmap.fromImage(image)


class LayoutManager(QObject):
    """The layout node's views, two in a row; not where the layout's description puts them."""

    layoutChanged = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._core = SlicerApp()
        scene = self._core.scene
        for kind in ("vtkMRMLSelectionNode", "vtkMRMLInteractionNode"):
            node = scene.CreateNodeByClass(kind)
            node.SetSingletonTag("Singleton")
            scene.AddNode(node)
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLApplicationLogic(self._core.app_logic)
        self._logic.SetMRMLScene(scene)
        self._viewport, self._shown = QWidget(), -1
        self._widgets: dict[str, ViewWidget] = {}
        self._grid = QGridLayout(self._viewport)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(2)
        self._logic.GetLayoutNode().AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._arrange())
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    def core(self) -> SlicerApp:
        return self._core

    def viewport(self) -> QWidget:
        return self._viewport

    def layoutLogic(self) -> Any:
        return self._logic

    def mrmlSliceLogics(self) -> Any:
        return self._core.app_logic.GetSliceLogics()

    def _layoutNumber(self) -> int:
        return self._logic.GetLayoutNode().GetViewArrangement()

    def setLayout(self, number: int) -> None:
        self._logic.GetLayoutNode().SetViewArrangement(number)

    layout = Property(int, _layoutNumber, setLayout)

    def _of(self, kind: str) -> list[ViewWidget]:
        return [widget for widget in self._widgets.values() if widget.mrmlViewNode().IsA(kind)]

    def sliceViewNames(self) -> list[str]:
        return [widget.mrmlSliceNode().GetLayoutName() for widget in self._of("vtkMRMLSliceNode")]

    def sliceWidget(self, name: str) -> Any:
        named = (w for w in self._of("vtkMRMLSliceNode") if w.mrmlSliceNode().GetLayoutName() == name)
        return next(named, None)

    def threeDWidget(self, index: int) -> Any:
        return self._of("vtkMRMLViewNode")[index]

    def plotWidget(self, index: int) -> Any:
        return self._of("vtkMRMLPlotViewNode")[index]

    threeDViewCount = Property(int, lambda self: len(self._of("vtkMRMLViewNode")))
    plotViewCount = Property(int, lambda self: len(self._of("vtkMRMLPlotViewNode")))
    tableViewCount = Property(int, lambda self: len(self._of("vtkMRMLTableViewNode")))

    def resetSliceViews(self) -> None:
        for widget in self._of("vtkMRMLSliceNode"):
            widget.sliceLogic().FitSliceToBackground()

    def resetThreeDViews(self) -> None:
        for widget in self._of("vtkMRMLViewNode"):
            widget.resetFocalPoint()
            widget.resetCamera()

    def renderAll(self) -> None:
        for widget in self._widgets.values():
            if widget.visible:
                widget.forceRender()

    def _arrange(self) -> None:
        if self._layoutNumber() == self._shown:
            return
        self._shown = self._layoutNumber()
        for widget in self._widgets.values():
            widget.hide()
        for place, node in enumerate(self._logic.GetViewNodes()):
            if node.GetID() not in self._widgets:
                self._widgets[node.GetID()] = ViewWidget(node, self._makeView(node))
            widget = self._widgets[node.GetID()]
            self._grid.addWidget(widget, place // 2, place % 2)
            widget.show()
        self.layoutChanged.emit(self._shown)

    def _makeView(self, node: Any) -> SliceView | ThreeDView | None:
        kind = {"vtkMRMLSliceNode": SliceView, "vtkMRMLViewNode": ThreeDView}.get(node.GetClassName())
        if kind is None:
            return None
        still = NoScheduleRendering()
        return kind(
            node.GetScene(), self._core.app_logic, node.GetLayoutName(), scheduled_render_strategy=still
        )
