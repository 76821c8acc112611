"""Colours of error and uncertainty maps: tables that colour-blind people can read, windows, and legends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
import vtk

from MAESILSlicerLib.nodes import findNodes, markNode

#: From less than the patient to more than the patient; dark where they agree. The same as in the report.
ERROR_STOPS = ("#a9d3ff", "#2f7fd6", "#123a63", "#101418", "#6b1f17", "#e0533a", "#ffc7a8")
#: From masks that agree to masks that differ. The same as in the report.
UNCERTAINTY_STOPS = ("#101418", "#3b1d5c", "#8a2a6d", "#dd5a4f", "#fbb45c", "#fdf3c8")
#: Odd, so that one colour is that of 0 HU.
NUMBER_OF_COLORS = 255
#: A window narrower than this would show rounding.
LEAST_LIMIT_HU = 20.0

_ROUND_STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0)
_MOST_SAMPLES = 1_000_000


def errorColors(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLColorTableNode:
    """The diverging table of signed errors; one for all error maps of a scene."""
    return _colorTable(scene, "errorColors", "MAESIL error", ERROR_STOPS)


def uncertaintyColors(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLColorTableNode:
    """The sequential table of uncertainties; one for all uncertainty maps of a scene."""
    return _colorTable(scene, "uncertaintyColors", "MAESIL uncertainty", UNCERTAINTY_STOPS)


def roundLimit(values: np.ndarray, percentile: float = 99.0) -> float:
    """A round number that the given percentage of the magnitudes, those of 0 left out, stays below."""
    samples = np.ravel(values)[:: max(1, values.size // _MOST_SAMPLES)]
    magnitudes = np.abs(samples[samples != 0].astype(np.float32))
    wanted = float(np.percentile(magnitudes, percentile)) if magnitudes.size else 0.0
    if wanted <= LEAST_LIMIT_HU:
        return LEAST_LIMIT_HU
    power = 10.0 ** np.floor(np.log10(wanted))
    return float(next(step for step in _ROUND_STEPS if step * power >= wanted) * power)


def showInColors(
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    colorNode: slicer.vtkMRMLColorTableNode,
    window: tuple[float, float],
    title: str,
) -> None:
    """Show a map in a colour table between two values in HU, with a legend."""
    displayNode = volumeNode.GetDisplayNode()
    displayNode.SetAutoWindowLevel(False)
    displayNode.SetWindowLevelMinMax(*window)
    displayNode.SetAndObserveColorNodeID(colorNode.GetID())
    _addLegend(volumeNode, title)


def showLegend(
    compositeNode: slicer.vtkMRMLSliceCompositeNode, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> None:
    """Have a slice view draw the legend of its background, if that has one.

    A view takes notice of a legend that is older than itself only when a user changes one of its layers, and of a
    change by a program only when the legend changes as well.
    """
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(volumeNode)
    if legend is None:
        return
    before = compositeNode.GetInteractionFlags()
    compositeNode.SetInteractionFlags(slicer.vtkMRMLSliceCompositeNode.BackgroundVolumeFlag)
    compositeNode.Modified()
    compositeNode.SetInteractionFlags(before)
    legend.Modified()


def _colorTable(
    scene: slicer.vtkMRMLScene, role: str, name: str, stops: Sequence[str]
) -> slicer.vtkMRMLColorTableNode:
    found = findNodes(scene, role)
    if found:
        return found[0]
    node = scene.AddNewNodeByClass("vtkMRMLColorTableNode", name)
    markNode(node, role)
    node.SetAttribute("Category", "MAESIL")
    node.SetTypeToUser()
    node.SetNumberOfColors(NUMBER_OF_COLORS)
    for index, color in enumerate(_ramp(stops)):
        node.SetColor(index, *(float(part) for part in color), 1.0)
    return node


def _ramp(stops: Sequence[str]) -> np.ndarray:
    """(`NUMBER_OF_COLORS`, 3) in [0, 1], linear between evenly spaced colours."""
    corners = np.array([[int(stop[place : place + 2], 16) / 255 for place in (1, 3, 5)] for stop in stops])
    places = np.linspace(0, len(stops) - 1, NUMBER_OF_COLORS)
    return np.stack([np.interp(places, np.arange(len(stops)), part) for part in corners.T], axis=1)


def _addLegend(volumeNode: slicer.vtkMRMLScalarVolumeNode, title: str) -> None:
    scene = volumeNode.GetScene()
    if not scene.GetTagByClassName("vtkMRMLColorLegendDisplayNode"):
        # The desktop's module Colors does this; a scene without an application around it lacks it.
        scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(volumeNode)
    legend.SetTitleText(title)
    legend.SetLabelFormat("%.0f")
    legend.SetNumberOfLabels(5)
    legend.SetPosition(0.96, 0.5)
    legend.SetSize(0.1, 0.4)
    for textProperty in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        textProperty.SetFontFamily(vtk.VTK_ARIAL)
        textProperty.SetColor(1.0, 1.0, 1.0)
        textProperty.SetItalic(False)
        textProperty.SetFontSize(14)
