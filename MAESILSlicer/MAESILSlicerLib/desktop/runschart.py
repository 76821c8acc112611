"""A curve of a training run as the nodes of Slicer's plot view."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from MAESILCore.lattice.mask import FIRST_STAGE
from MAESILCore.report.shading import STAGE_COLOURS, rgb
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.scene.nodes import leaveOutOfFiles, removeNode
from MAESILSlicerLib.session.runwords import Curve

_STEP, _VALUE = "Step", "Value"
#: Curves with fewer points show each as a circle.
_FEW_POINTS = 50


class RunsChart:
    """The plot of one curve; its nodes are not saved with the scene.

    Attributes:
        node: the chart; None while nothing is plotted, or after the scene was closed.
    """

    def __init__(self) -> None:
        self._table: slicer.vtkMRMLTableNode | None = None
        self._series: slicer.vtkMRMLPlotSeriesNode | None = None
        self._chart: slicer.vtkMRMLPlotChartNode | None = None
        self._shown: tuple[str, Curve] | None = None

    @property
    def node(self) -> slicer.vtkMRMLPlotChartNode | None:
        """The chart; None if there is none in the scene."""
        return self._chart if self._chart is not None and self._chart.GetScene() is not None else None

    def show(self, run: str, curve: Curve) -> slicer.vtkMRMLPlotChartNode:
        """Plot a curve in place of the previous one.

        Args:
            run: name of the run.
            curve: a curve with at least one point.
        """
        if self.node is None:
            self.close()
            self._add()
        if self._shown != (run, curve):
            self._fill(run, curve)
            self._shown = (run, curve)
        return self._chart

    def close(self) -> None:
        """Remove the nodes from the scene."""
        for node in (self._chart, self._series, self._table):
            removeNode(node)
        self._table = self._series = self._chart = self._shown = None

    def _add(self) -> None:
        scene, name = slicer.mrmlScene, "MAESIL run"
        self._table = scene.AddNewNodeByClass("vtkMRMLTableNode", f"{name} figures")
        self._series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", f"{name} curve")
        self._chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", name)
        for node in (self._table, self._series, self._chart):
            leaveOutOfFiles(node)
        self._table.SetLocked(True)
        series = self._series
        # A line plot would ignore the steps and count the points instead.
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetAndObserveTableNodeID(self._table.GetID())
        series.SetXColumnName(_STEP)
        series.SetYColumnName(_VALUE)
        series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
        series.SetLineWidth(2)
        series.SetMarkerSize(7)
        series.SetColor(*map(float, rgb(STAGE_COLOURS[FIRST_STAGE])))
        self._chart.SetXAxisTitle(_STEP)
        self._chart.SetLegendVisibility(False)
        self._chart.AddAndObservePlotSeriesNodeID(series.GetID())

    def _fill(self, run: str, curve: Curve) -> None:
        kinds, title = slicer.vtkMRMLPlotSeriesNode, translated(curve.title)
        isFew = len(curve.points) < _FEW_POINTS
        self._series.SetMarkerStyle(kinds.MarkerStyleCircle if isFew else kinds.MarkerStyleNone)
        with slicer.util.NodeModify(self._chart):
            self._chart.SetTitle(run)
            self._chart.SetYAxisTitle(title)
            self._chart.SetYAxisLogScale(curve.isLogarithmic)
        self._table.SetAndObserveTable(_tableOf(curve))


def _tableOf(curve: Curve) -> vtk.vtkTable:
    table, values = vtk.vtkTable(), np.array(curve.points, dtype=np.float64).T
    for name, column in zip((_STEP, _VALUE), values, strict=True):
        array = numpy_to_vtk(np.ascontiguousarray(column), deep=True)
        array.SetName(name)
        table.AddColumn(array)
    return table
