"""The mask in the slice views: hidden patches are filled and outlined, the second stage is hatched."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from MAESILCore.lattice import SECOND_STAGE
from MAESILSlicerLib.overlays import lattice
from MAESILSlicerLib.overlays.modelnodes import addModel, cellsOf, colorByStage, drawByStage

FILL_ROLE, LINES_ROLE = "overlay.mask", "overlay.maskLines"

#: Outlines of more patches would be unreadable and too slow to follow a slider.
MOST_OUTLINED = 100_000


def addFill(
    volumeNode: slicer.vtkMRMLVolumeNode, points: vtk.vtkPoints, colorNode: slicer.vtkMRMLColorTableNode
) -> slicer.vtkMRMLModelNode:
    """Add a model of solid boxes that slices show filled; empty until `drawFill`."""
    return _addFlat(volumeNode, FILL_ROLE, "MAESIL mask", vtk.vtkUnstructuredGrid(), points, colorNode)


def addLines(
    volumeNode: slicer.vtkMRMLVolumeNode, points: vtk.vtkPoints, colorNode: slicer.vtkMRMLColorTableNode
) -> slicer.vtkMRMLModelNode:
    """Add a model of surfaces that slices show as lines; empty until `drawLines`."""
    return _addFlat(volumeNode, LINES_ROLE, "MAESIL mask outlines", vtk.vtkPolyData(), points, colorNode)


def _addFlat(
    volumeNode: slicer.vtkMRMLVolumeNode,
    role: str,
    name: str,
    mesh: vtk.vtkPointSet,
    points: vtk.vtkPoints,
    colorNode: slicer.vtkMRMLColorTableNode,
) -> slicer.vtkMRMLModelNode:
    """Add a model that only slice views show."""
    mesh.SetPoints(points)
    node = addModel(volumeNode, role, name, mesh)
    colorByStage(node, colorNode)
    node.GetDisplayNode().SetVisibility3D(False)
    return node


def drawFill(node: slicer.vtkMRMLModelNode, stages: np.ndarray) -> None:
    """Fill the hidden patches of `stages`, (Dk, Dj, Di)."""
    boxes, ofStage = lattice.boxes(stages)
    drawByStage(node, cellsOf(boxes), ofStage)


def drawLines(node: slicer.vtkMRMLModelNode, stages: np.ndarray) -> None:
    """Hatch the second stage, a cue without colour, and outline hidden patches."""
    hatching = lattice.hatching(stages, SECOND_STAGE)
    ofHatching = np.full(len(hatching), SECOND_STAGE, dtype=np.uint8)
    if stages.size > MOST_OUTLINED:
        drawByStage(node, cellsOf(hatching), ofHatching)
        return
    faces, ofFaces = lattice.outerFaces(stages)
    drawByStage(node, cellsOf(faces, hatching), np.append(ofFaces, ofHatching))
