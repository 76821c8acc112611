"""Draws a chart of the scene as a picture, as Slicer's plot view does: real MRML nodes, VTK's charts."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
import vtkmodules.vtkRenderingContextOpenGL2  # noqa: F401 - draws charts
from vtk.util.numpy_support import vtk_to_numpy

_FONT = 13


def drawPlot(chartNode: slicer.vtkMRMLPlotChartNode, size: tuple[int, int]) -> np.ndarray:
    """The picture of a chart, (rows, columns, 3) uint8 RGB, from the top.

    Args:
        chartNode: a chart of series with an x column.
        size: columns and rows.
    """
    view, chart = vtk.vtkContextView(), vtk.vtkChartXY()
    view.GetRenderWindow().SetOffScreenRendering(1)
    view.GetRenderWindow().SetSize(*size)
    view.GetRenderer().SetBackground(1.0, 1.0, 1.0)
    view.GetScene().AddItem(chart)
    for index in range(chartNode.GetNumberOfPlotSeriesNodes()):
        _addSeries(chart, chartNode.GetNthPlotSeriesNode(index))
    chart.SetTitle(chartNode.GetTitle() if chartNode.GetTitleVisibility() else "")
    chart.GetTitleProperties().SetFontSize(_FONT + 2)
    for place, title in ((1, chartNode.GetXAxisTitle()), (0, chartNode.GetYAxisTitle())):
        axis = chart.GetAxis(place)
        axis.SetTitle(title or "")
        axis.GetTitleProperties().SetFontSize(_FONT)
        axis.GetLabelProperties().SetFontSize(_FONT - 1)
    chart.GetAxis(0).SetLogScale(chartNode.GetYAxisLogScale())
    picture = _grabbed(view)
    view.GetRenderWindow().Finalize()
    return picture


def _addSeries(chart: vtk.vtkChartXY, series: slicer.vtkMRMLPlotSeriesNode) -> None:
    table = series.GetTableNode().GetTable()
    hasLine = series.GetLineStyle() != slicer.vtkMRMLPlotSeriesNode.LineStyleNone
    plot = chart.AddPlot(vtk.vtkChart.LINE if hasLine else vtk.vtkChart.POINTS)
    plot.SetInputData(table, series.GetXColumnName(), series.GetYColumnName())
    plot.SetColorF(*series.GetColor())
    plot.SetWidth(series.GetLineWidth())
    if series.GetMarkerStyle() == slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle:
        plot.SetMarkerStyle(vtk.vtkPlotPoints.CIRCLE)
        plot.SetMarkerSize(series.GetMarkerSize())


def _grabbed(view: vtk.vtkContextView) -> np.ndarray:
    view.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(view.GetRenderWindow())
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    columns, rows, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, 3)[::-1].copy()
