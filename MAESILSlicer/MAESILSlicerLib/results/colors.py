"""Colours of error and uncertainty maps: tables safe for colour blindness, windows and legends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
import vtk

from MAESILCore.report.shading import rgb
from MAESILSlicerLib.scene.nodes import findNodes, markNode

#: Odd, so that the middle colour is exactly 0 HU.
NUMBER_OF_COLORS = 255


def showInColors(
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    what: str,
    stops: Sequence[str],
    window: tuple[float, float],
    title: str,
    digits: int = 0,
) -> None:
    """Show a map in colours with a legend.

    Args:
        volumeNode: the map.
        what: "error", "uncertainty" or "similarity"; all maps of a scene that show the same share a colour table.
        stops: evenly spaced colours.
        window: lowest and highest value.
        title: title of the legend, with the unit.
        digits: decimals of its numbers.
    """
    colorNode = _colorTable(volumeNode.GetScene(), f"{what}Colors", f"MAESIL {what}", stops)
    displayNode = volumeNode.GetDisplayNode()
    displayNode.SetAutoWindowLevel(False)
    displayNode.SetWindowLevelMinMax(*window)
    displayNode.SetAndObserveColorNodeID(colorNode.GetID())
    _addLegend(volumeNode, title, digits)


def showLegend(
    compositeNode: slicer.vtkMRMLSliceCompositeNode, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> None:
    """Make a slice view draw the legend of its background volume, if that has one.

    A view ignores a legend older than itself until a user changes a layer, so the interaction flag imitates a user;
    the legend must be modified as well.
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
    corners = np.array([rgb(stop) for stop in stops])
    places = np.linspace(0, len(stops) - 1, NUMBER_OF_COLORS)
    return np.stack([np.interp(places, np.arange(len(stops)), part) for part in corners.T], axis=1)


def _addLegend(volumeNode: slicer.vtkMRMLScalarVolumeNode, title: str, digits: int) -> None:
    scene = volumeNode.GetScene()
    if not scene.GetTagByClassName("vtkMRMLColorLegendDisplayNode"):
        # On the desktop, the module Colors registers the class; a scene without the application lacks it.
        scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(volumeNode)
    legend.SetTitleText(title)
    legend.SetLabelFormat(f"%.{digits}f")
    legend.SetNumberOfLabels(5)
    legend.SetPosition(0.96, 0.5)
    legend.SetSize(0.1, 0.4)
    for textProperty in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        textProperty.SetFontFamily(vtk.VTK_ARIAL)
        textProperty.SetColor(1.0, 1.0, 1.0)
        textProperty.SetItalic(False)
        textProperty.SetFontSize(14)
