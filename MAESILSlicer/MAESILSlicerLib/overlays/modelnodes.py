"""Model nodes over a volume: created once, then only their meshes change."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from MAESILCore.report.shading import STAGE_COLOURS, rgb
from MAESILSlicerLib.scene.nodes import leaveOutOfFiles, markNode, newNode

COLORS_ROLE = "overlay.colors"

_STAGE_ARRAY = "stage"


def addHidden(
    volumeNode: slicer.vtkMRMLVolumeNode, node: slicer.vtkMRMLDisplayableNode, role: str
) -> slicer.vtkMRMLDisplayNode:
    """Add a node over a volume that no list shows, nobody picks and no file keeps; return its display node."""
    node.SetHideFromEditors(True)
    node.SetSelectable(False)
    volumeNode.GetScene().AddNode(node)
    markNode(node, role, volumeNode)
    node.CreateDefaultDisplayNodes()
    leaveOutOfFiles(node)
    node.GetDisplayNode().SetHideFromEditors(True)
    return node.GetDisplayNode()


def addModel(
    volumeNode: slicer.vtkMRMLVolumeNode, role: str, name: str, mesh: vtk.vtkPointSet
) -> slicer.vtkMRMLModelNode:
    """Add an invisible model under a volume's parent transform."""
    node = newNode(volumeNode.GetScene(), "vtkMRMLModelNode", name)
    node.SetAndObserveMesh(mesh)
    display = addHidden(volumeNode, node, role)
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    with slicer.util.NodeModify(display):
        display.SetVisibility(False)
        display.SetVisibility2D(True)
        display.SetBackfaceCulling(False)
    return node


def setVisible(node: slicer.vtkMRMLDisplayableNode, isVisible: bool) -> None:
    """Show or hide a node in its views."""
    node.GetDisplayNode().SetVisibility(isVisible)


def pointsOf(cornersRas: np.ndarray) -> vtk.vtkPoints:
    """Corners, (N, 3) RAS in mm, as points of a mesh."""
    points = vtk.vtkPoints()
    points.SetData(numpy_to_vtk(np.asarray(cornersRas, dtype=np.float32), deep=True))
    return points


def cellsOf(*shapes: np.ndarray) -> vtk.vtkCellArray:
    """Rows of point indices, each array (N, corners of a cell) int32, as one cell array."""
    shapes = shapes or (np.empty((0, 1), dtype=np.int32),)
    connectivity = np.concatenate([rows.ravel() for rows in shapes])
    sizes = np.concatenate([np.full(len(rows), rows.shape[1], dtype=np.int32) for rows in shapes])
    offsets = np.zeros(len(sizes) + 1, dtype=np.int32)
    np.cumsum(sizes, out=offsets[1:])
    cells = vtk.vtkCellArray()
    cells.SetData(_integers(offsets), _integers(connectivity))
    return cells


def _integers(values: np.ndarray) -> vtk.vtkDataArray:
    return numpy_to_vtk(values.astype(np.int32, copy=False), deep=True, array_type=vtk.VTK_TYPE_INT32)


def drawByStage(
    node: slicer.vtkMRMLModelNode, points: vtk.vtkPoints, cells: vtk.vtkCellArray, stages: np.ndarray
) -> None:
    """Replace the shapes of a model, each with one stage (uint8), with a single event.

    The model shows hexahedra if its mesh is an unstructured grid, else polygons.
    """
    mesh = node.GetMesh()
    scalars = numpy_to_vtk(stages, deep=True)
    scalars.SetName(_STAGE_ARRAY)
    with slicer.util.NodeModify(node):
        mesh.SetPoints(points)
        if mesh.IsA("vtkPolyData"):
            mesh.SetPolys(cells)
        else:
            mesh.SetCells(vtk.VTK_HEXAHEDRON, cells)
        mesh.GetCellData().SetScalars(scalars)
        mesh.Modified()


def colorByStage(node: slicer.vtkMRMLModelNode, colorNode: slicer.vtkMRMLColorTableNode) -> None:
    """Colour a model by the stages of `drawByStage` with the table of `addStageColors`."""
    display = node.GetDisplayNode()
    with slicer.util.NodeModify(display):
        display.SetAndObserveColorNodeID(colorNode.GetID())
        display.SetActiveScalar(_STAGE_ARRAY, vtk.vtkAssignAttribute.CELL_DATA)
        display.SetScalarRangeFlag(slicer.vtkMRMLDisplayNode.UseManualScalarRange)
        display.SetScalarRange(0, max(STAGE_COLOURS))
        display.SetScalarVisibility(True)


def addStageColors(volumeNode: slicer.vtkMRMLVolumeNode) -> slicer.vtkMRMLColorTableNode:
    """Add the colour table of the stages for the models over a volume."""
    node = newNode(volumeNode.GetScene(), "vtkMRMLColorTableNode", "MAESIL stages")
    node.SetHideFromEditors(True)
    node.SetTypeToUser()
    node.SetNumberOfColors(1 + max(STAGE_COLOURS))
    # Opaque, though unused: one transparent colour makes 3D views render everything translucent, in many passes.
    node.SetColor(0, "visible", 0.0, 0.0, 0.0, 1.0)
    for stage, color in STAGE_COLOURS.items():
        node.SetColor(stage, f"hidden by stage {stage}", *map(float, rgb(color)), 1.0)
    volumeNode.GetScene().AddNode(node)
    markNode(node, COLORS_ROLE, volumeNode)
    leaveOutOfFiles(node)
    return node
