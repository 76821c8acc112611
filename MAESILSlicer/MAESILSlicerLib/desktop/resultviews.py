"""Switches between the layouts for results, comparison or plot, and the user's own layout."""

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


#: The panels that change the views.
RESULTS, RUNS = "results", "runs"


class ResultViews:
    """Shows results in the views: a comparison or a plot, of one panel at a time.

    Args:
        onLayout: called when the layout of the main window has changed for any reason.
        owner: the panel that shows the comparison of a loaded scene.
    """

    def __init__(self, onLayout: Callable[[], None], owner: str) -> None:
        self._comparison = Comparison(slicer.mrmlScene)
        # Slicer defines this layout.
        self._plotLayout = LayoutSwitch(_PLOT_LAYOUT_ID, "")
        self._isPlotOurs = False
        self._owner = owner
        self._connections = Connections()
        node = layoutNode()
        if node is not None:
            self._comparison.registerLayout(node)
            self._connections.observe(node, vtk.vtkCommand.ModifiedEvent, lambda *_: onLayout())

    @property
    def hasComparison(self) -> bool:
        """Whether the comparison of any panel is on the screen."""
        node = layoutNode()
        return node is not None and node.GetViewArrangement() == LAYOUT_ID

    def isComparing(self, owner: str) -> bool:
        """Whether the comparison of this panel is on the screen."""
        return self._owner == owner and self.hasComparison

    def isPlotting(self, owner: str) -> bool:
        """Whether the plot of this panel is on the screen."""
        node = layoutNode()
        isOn = self._isPlotOurs and node is not None and self._plotLayout.isOn(node)
        return self._owner == owner and isOn

    def compare(self, results: ResultSet, volumeNode: slicer.vtkMRMLScalarVolumeNode, owner: str) -> None:
        """Show a volume and its results side by side.

        Raises:
            MaesilError: a volume was deleted or is no longer usable, or there are no views. The previous comparison or
                the user's layout is then shown.
        """
        self._leavePlot()
        self._comparison.enter(layoutNode(), results, volumeNode)
        self._owner = owner
        # New views get their size only after layout.
        qt.QTimer.singleShot(0, lambda: self._fit(volumeNode))

    def plot(self, chartNode: slicer.vtkMRMLPlotChartNode, owner: str) -> None:
        """Show a chart beside the slices."""
        self._comparison.leave(layoutNode())
        self._owner = owner
        node = layoutNode()
        if node is not None and not self._plotLayout.isOn(node):
            self._plotLayout.on(node)
            self._isPlotOurs = True
        for viewNode in slicer.util.getNodesByClass("vtkMRMLPlotViewNode"):
            viewNode.SetPlotChartNodeID(chartNode.GetID())

    def leave(self, owner: str) -> None:
        """Restore the user's layout, if this panel has changed it."""
        if self._owner == owner:
            self._leavePlot()
            self._comparison.leave(layoutNode())

    def close(self) -> None:
        """Restore the user's layout and stop observing it."""
        self._connections.close()
        self.leave(self._owner)

    def _fit(self, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Fit the views, unless the comparison has ended since."""
        if self.hasComparison and checkVolume(volumeNode).usable:
            self._comparison.fit(volumeNode)

    def _leavePlot(self) -> None:
        node = layoutNode()
        if self._isPlotOurs and node is not None:
            self._plotLayout.off(node)
        self._isPlotOurs = False
