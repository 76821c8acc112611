"""The host's layout and its views: real views of trame-slicer, drawn off screen and shown as pictures."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from freeing import free_application, free_view
from PySide6.QtCore import Property, QObject
from PySide6.QtGui import QColor, QImage, QPainter, QPixmap, QResizeEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget
from trame_slicer.core import SlicerApp
from trame_slicer.views import AbstractView, NoScheduleRendering, SliceView, ThreeDView

from offscreen import drawn, prepare
from plotpicture import drawPlot


class ViewWidget(QLabel):
    """A view with its node and its logic; views of tables, and of plots without a chart, show their name alone."""

    def __init__(self, node: slicer.vtkMRMLAbstractViewNode, view: SliceView | ThreeDView | None) -> None:
        super().__init__(node.GetLayoutName())
        self._node, self._view = node, view
        self.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Ignored)

    def free(self) -> None:
        """Free the window, and show nothing more."""
        if self._view is not None:
            free_view(self._view)
            self._view = None

    def mrmlViewNode(self) -> slicer.vtkMRMLAbstractViewNode:
        return self._node

    mrmlSliceNode = mrmlPlotViewNode = mrmlViewNode

    def sliceLogic(self) -> slicer.vtkMRMLSliceLogic:
        return self._view._logic

    def view(self) -> QObject:
        return self

    sliceView = threeDView = view

    def renderWindow(self) -> vtk.vtkRenderWindow:
        return self._view.render_window()

    def interactor(self) -> vtk.vtkRenderWindowInteractor:
        return self._view.interactor()

    def resetView(self) -> None:
        if self._view is not None:
            self._view.fit_view_to_content()

    def resizeEvent(self, event: QResizeEvent) -> None:
        if self._view is not None:
            self._view.render_window().SetSize(self.width, self.height)
        if isinstance(self._view, SliceView):
            self.sliceLogic().ResizeSliceNode(self.width, self.height)

    def forceRender(self) -> None:
        pixels = self._drawn()
        if pixels is None:
            return
        rows, columns, _ = pixels.shape
        picture = QPixmap.fromImage(
            QImage(pixels.tobytes(), columns, rows, 3 * columns, QImage.Format_RGB888)
        )
        self._paintBar(picture)
        self.pixmap = picture

    def _drawn(self) -> np.ndarray | None:
        """What the view shows, (rows, columns, 3) uint8 RGB; None for a view without a picture."""
        if self._view is not None:
            return drawn(self._view)
        chart = self._node.GetPlotChartNode() if self._node.IsA("vtkMRMLPlotViewNode") else None
        if chart is None:
            return None
        # As in Slicer, the bar is above the plot.
        picture = drawPlot(chart, (self.width, self.height - self._barHeight()))
        return np.pad(picture, ((self._barHeight(), 0), (0, 0), (0, 0)))

    def _barHeight(self) -> int:
        return self.fontMetrics().height() + 2

    def _paintBar(self, picture: QPixmap) -> None:
        """A bar in the colour of the view with its label, as Slicer has one above each view."""
        height = self._barHeight()
        bar = QColor.fromRgbF(*self._node.GetLayoutColor())
        painter = QPainter(picture)
        painter.fillRect(0, 0, picture.width(), height, bar)
        painter.setPen(QColor("white" if bar.lightnessF() < 0.6 else "black"))
        painter.drawText(6, height - 5, self._node.GetLayoutLabel() or self._node.GetLayoutName())
        painter.end()


class LayoutManager(QObject):
    """The views of the layout node, two in a row; not where the layout's description puts them."""

    def __init__(self) -> None:
        super().__init__()
        self._core, self._shown = SlicerApp(), ""
        for kind in (slicer.vtkMRMLSelectionNode, slicer.vtkMRMLInteractionNode):
            node = kind()
            node.SetSingletonTag("Singleton")
            self._core.scene.AddNode(node)
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLApplicationLogic(self._core.app_logic)
        self._logic.SetMRMLScene(self._core.scene)
        self._widgets: dict[str, ViewWidget] = {}
        self._viewport = QWidget()
        self._grid = QGridLayout(self._viewport)
        self._observer = self._logic.GetLayoutNode().AddObserver(
            vtk.vtkCommand.ModifiedEvent, lambda *_: self._arrange()
        )
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    def close(self) -> None:
        """Free the windows, and end the application below."""
        self._logic.GetLayoutNode().RemoveObserver(self._observer)
        for widget in self._widgets.values():
            widget.free()
        free_application(self._core)

    def core(self) -> SlicerApp:
        return self._core

    def viewport(self) -> QWidget:
        return self._viewport

    def layoutLogic(self) -> slicer.vtkMRMLLayoutLogic:
        return self._logic

    def mrmlSliceLogics(self) -> vtk.vtkCollection:
        return self._core.app_logic.GetSliceLogics()

    def setLayout(self, number: int) -> None:
        self._logic.GetLayoutNode().SetViewArrangement(number)

    layout = Property(int, lambda self: self._logic.GetLayoutNode().GetViewArrangement(), setLayout)

    def _of(self, kind: str) -> dict[str, ViewWidget]:
        widgets = (widget for widget in self._widgets.values() if widget.mrmlViewNode().IsA(kind))
        return {widget.mrmlViewNode().GetLayoutName(): widget for widget in widgets}

    def sliceViewNames(self) -> list[str]:
        return list(self._of("vtkMRMLSliceNode"))

    def sliceWidget(self, name: str) -> ViewWidget | None:
        return self._of("vtkMRMLSliceNode").get(name)

    threeDViewCount = Property(int, lambda self: len(self._of("vtkMRMLViewNode")))

    def threeDWidget(self, index: int) -> ViewWidget:
        return list(self._of("vtkMRMLViewNode").values())[index]

    def plotWidget(self, index: int) -> ViewWidget:
        return list(self._of("vtkMRMLPlotViewNode").values())[index]

    def resetSliceViews(self) -> None:
        for widget in self._of("vtkMRMLSliceNode").values():
            widget.resetView()

    def resetThreeDViews(self) -> None:
        for widget in self._of("vtkMRMLViewNode").values():
            widget.resetView()

    def _arrange(self) -> None:
        description = self._logic.GetLayoutNode().GetCurrentLayoutDescription()
        if description == self._shown:
            return
        self._shown = description
        for widget in self._widgets.values():
            widget.hide()
        for place, node in enumerate(self._logic.GetViewNodes()):
            if node.GetID() not in self._widgets:
                self._widgets[node.GetID()] = ViewWidget(node, self._makeView(node))
            self._grid.addWidget(self._widgets[node.GetID()], place // 2, place % 2)
            self._widgets[node.GetID()].show()

    def _makeView(self, node: slicer.vtkMRMLAbstractViewNode) -> SliceView | ThreeDView | None:
        base = {"vtkMRMLSliceNode": SliceView, "vtkMRMLViewNode": ThreeDView}.get(node.GetClassName())
        if base is None:
            return None

        class View(base):
            """A view of the layout's node, where trame-slicer's own would make another."""

            def set_scene(self, scene: slicer.vtkMRMLScene) -> None:
                AbstractView.set_scene(self, scene)
                self._logic.SetMRMLScene(scene)
                if base is SliceView:
                    self._logic.SetSliceNode(node)
                self.set_view_node(node)

            def _reset_node_view_properties(self) -> None:
                """They are the layout's."""

        still, logic = NoScheduleRendering(), self._core.app_logic
        view = View(node.GetScene(), logic, node.GetLayoutName(), scheduled_render_strategy=still)
        prepare(view)
        if base is SliceView:
            # As in Slicer, the slice itself is there first: what is translucent is blended with what lies below.
            view._render_manager._AddSliceActorToRendererIfNeeded()
        return view
