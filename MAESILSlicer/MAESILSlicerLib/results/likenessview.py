"""Shows a similarity over the slices and as a surface in 3D."""

from __future__ import annotations

import slicer
import vtk

from MAESILCore.report.shading import rgb
from MAESILSlicerLib.results.features import SIMILARITY_STOPS
from MAESILSlicerLib.scene.nodes import (
    findNodes,
    inputOf,
    leaveOutOfFiles,
    markNode,
    nodesOfClass,
    removeNode,
)
from MAESILSlicerLib.scene.transforms import geometryOf, putBeside

#: Role of the surface. It is made anew from the similarity and is not saved.
SURFACE = "similarity_surface"
#: Similarity of the surface.
THRESHOLD = 0.5


def showOverSlices(node: slicer.vtkMRMLScalarVolumeNode, opacity: float = 0.5) -> None:
    """Blend a similarity over its input in each slice view that shows the input, and in no other.

    Args:
        node: the similarity.
        opacity: 0 shows the input alone, 1 the similarity alone.
    """
    for composite in nodesOfClass(node.GetScene(), "vtkMRMLSliceCompositeNode"):
        if composite.GetBackgroundVolumeID() == inputOf(node).GetID():
            composite.SetForegroundVolumeID(node.GetID())
            composite.SetForegroundOpacity(opacity)


def showSurface(
    node: slicer.vtkMRMLScalarVolumeNode, threshold: float = THRESHOLD
) -> slicer.vtkMRMLModelNode:
    """Show where a similarity is at least `threshold` as a surface in 3D, in place of an earlier one.

    Args:
        node: the similarity.
        threshold: from -1 to 1.

    Returns:
        The surface, in mm and under the transform of the similarity; it may be empty.
    """
    scene = node.GetScene()
    found = findNodes(scene, SURFACE, inputOf(node))
    surface = found[0] if found else scene.AddNewNodeByClass("vtkMRMLModelNode", f"{node.GetName()} surface")
    surface.SetAndObservePolyData(_surfaceOf(node, threshold))
    if not found:
        surface.CreateDefaultDisplayNodes()
        surface.GetDisplayNode().SetColor(*map(float, rgb(SIMILARITY_STOPS[2])))
        markNode(surface, SURFACE, inputOf(node))
        putBeside(surface, node)
        leaveOutOfFiles(surface)
    return surface


def hide(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Take a similarity out of all slice views, and remove its surface."""
    for composite in nodesOfClass(node.GetScene(), "vtkMRMLSliceCompositeNode"):
        if composite.GetForegroundVolumeID() == node.GetID():
            composite.SetForegroundVolumeID(None)
    for surface in findNodes(node.GetScene(), SURFACE, inputOf(node)):
        removeNode(surface)


def _surfaceOf(node: slicer.vtkMRMLScalarVolumeNode, threshold: float) -> vtk.vtkPolyData:
    # A border of -1, so that the surface is closed at the border of the lattice.
    pad = vtk.vtkImageConstantPad()
    pad.SetInputData(node.GetImageData())
    pad.SetOutputWholeExtent(*(end + (1 if odd else -1) for odd, end in _ends(node)))
    pad.SetConstant(-1.0)
    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputConnection(pad.GetOutputPort())
    contour.SetValue(0, threshold)
    contour.ComputeNormalsOff()  # they would have to be turned, too
    toRas = vtk.vtkTransform()
    toRas.SetMatrix(geometryOf(node).ravel())
    moved = vtk.vtkTransformPolyDataFilter()
    moved.SetInputConnection(contour.GetOutputPort())
    moved.SetTransform(toRas)
    moved.Update()
    return moved.GetOutput()


def _ends(node: slicer.vtkMRMLScalarVolumeNode) -> list[tuple[bool, int]]:
    return [(bool(place % 2), end) for place, end in enumerate(node.GetImageData().GetExtent())]
