"""Borders of the superpatches and the outlined superpatch, as lines in 3D and in slices."""

from __future__ import annotations

import slicer
import vtk

from MAESILSlicerLib.overlays import lattice
from MAESILSlicerLib.overlays.modelnodes import addModel, cellsOf, pointsOf
from MAESILSlicerLib.overlays.placedgrid import PlacedGrid

GRID_ROLE, HIGHLIGHT_ROLE = "overlay.grid", "overlay.highlight"

GRID_COLOR = (0.85, 0.85, 0.85)
#: Distinct from the colours of both stages and from grey.
HIGHLIGHT_COLOR = (0.941, 0.894, 0.259)


def addGrid(placed: PlacedGrid) -> slicer.vtkMRMLModelNode:
    """Add a model of all faces of all superpatches, drawn as a wireframe in 3D."""
    mesh = vtk.vtkPolyData()
    mesh.SetPoints(pointsOf(lattice.cornersRas(lattice.superpatchEdges(placed.grid), placed.ijkToRas)))
    mesh.SetPolys(cellsOf(lattice.gridFaces(placed.grid.counts)))
    node = addModel(placed.volumeNode, GRID_ROLE, "MAESIL superpatch grid", mesh)
    _showAsWires(node, GRID_COLOR, width=1, opacity=0.7)
    return node


def addHighlight(volumeNode: slicer.vtkMRMLVolumeNode) -> slicer.vtkMRMLModelNode:
    """Add a model of one box, empty until `drawHighlight`."""
    mesh = vtk.vtkPolyData()
    mesh.SetPoints(vtk.vtkPoints())
    node = addModel(volumeNode, HIGHLIGHT_ROLE, "MAESIL superpatch", mesh)
    _showAsWires(node, HIGHLIGHT_COLOR, width=3, opacity=1.0)
    return node


def drawHighlight(node: slicer.vtkMRMLModelNode, placed: PlacedGrid, index: int | None) -> None:
    """Move the box to a superpatch; None hides it."""
    mesh = node.GetMesh()
    with slicer.util.NodeModify(node):
        mesh.SetPolys(vtk.vtkCellArray())
        if index is not None:
            box = placed.grid.box(index)
            bounds = zip(lattice.patchEdges(placed.grid), box.start, box.stop, strict=True)
            edges = [edge[[start, stop]] for edge, start, stop in bounds]
            mesh.SetPoints(pointsOf(lattice.cornersRas(edges, placed.ijkToRas)))
            mesh.SetPolys(cellsOf(lattice.gridFaces((1, 1, 1))))
        mesh.Modified()


def _showAsWires(
    node: slicer.vtkMRMLModelNode, color: tuple[float, float, float], width: int, opacity: float
) -> None:
    display = node.GetDisplayNode()
    with slicer.util.NodeModify(display):
        display.SetColor(*color)
        display.SetRepresentation(slicer.vtkMRMLDisplayNode.WireframeRepresentation)
        display.SetLighting(False)
        display.SetLineWidth(width)
        display.SetSliceIntersectionThickness(width)
        display.SetSliceIntersectionOpacity(opacity)
