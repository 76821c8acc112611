"""Two layouts for results, the comparison and the plot; one at a time, and the user's own layout back afterwards."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer
import vtk

from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.views import layoutNode
from MAESILSlicerLib.results.comparison import LAYOUT_ID, Comparison
from MAESILSlicerLib.results.layouts import LayoutSwitch
from MAESILSlicerLib.results.resultset import ResultSet
from MAESILSlicerLib.scene.volumes import checkVolume

_PLOT_LAYOUT_ID = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView


class ResultViews:
    """Shows results in the views.

    Args:
        onLayout: called when the layout of the main window has changed, by whomever.
    """

    def __init__(self, onLayout: Callable[[], None]) -> None:
        self._comparison = Comparison(slicer.mrmlScene)
        # Slicer itself describes this layout.
        self._plotLayout = LayoutSwitch(_PLOT_LAYOUT_ID, "")
        self._isPlotOurs = False
        self._connections = Connections()
        node = layoutNode()
        if node is not None:
            self._comparison.registerLayout(node)
            self._connections.observe(node, vtk.vtkCommand.ModifiedEvent, lambda *_: onLayout())

    @property
    def isComparing(self) -> bool:
        """Whether the comparison is on the screen."""
        node = layoutNode()
        return node is not None and node.GetViewArrangement() == LAYOUT_ID

    @property
    def isPlotting(self) -> bool:
        """Whether the plot that was asked for here is on the screen."""
        node = layoutNode()
        return self._isPlotOurs and node is not None and self._plotLayout.isOn(node)

    def compare(self, results: ResultSet, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Show a volume and its results side by side.

        Raises:
            MaesilError: a volume was deleted or cannot be used as it is now, or there are no views; then the user's
                own layout is shown, or the comparison that was there before.
        """
        self._leavePlot()
        self._comparison.enter(layoutNode(), results, volumeNode)
        # New views have their size only once they have been laid out.
        qt.QTimer.singleShot(0, lambda: self._fit(volumeNode))

    def plot(self, chartNode: slicer.vtkMRMLPlotChartNode) -> None:
        """Show a chart beside the slices."""
        self._comparison.leave(layoutNode())
        node = layoutNode()
        if node is not None and not self._plotLayout.isOn(node):
            self._plotLayout.on(node)
            self._isPlotOurs = True
        for viewNode in slicer.util.getNodesByClass("vtkMRMLPlotViewNode"):
            viewNode.SetPlotChartNodeID(chartNode.GetID())

    def leave(self) -> None:
        """Bring the user's own layout back."""
        self._leavePlot()
        self._comparison.leave(layoutNode())

    def close(self) -> None:
        """Bring the user's own layout back and stop watching it."""
        self._connections.close()
        self.leave()

    def _fit(self, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Fit the views, unless all has changed until they were laid out."""
        if self.isComparing and checkVolume(volumeNode).usable:
            self._comparison.fit(volumeNode)

    def _leavePlot(self) -> None:
        node = layoutNode()
        if self._isPlotOurs and node is not None:
            self._plotLayout.off(node)
        self._isPlotOurs = False
