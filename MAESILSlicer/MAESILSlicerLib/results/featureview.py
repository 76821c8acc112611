"""Shows feature colours or a similarity over the slices, a similarity in 3D, and the point that was picked."""

from __future__ import annotations

import slicer
import vtk

from MAESILCore.report.shading import rgb
from MAESILSlicerLib.results.comparison import isCompared
from MAESILSlicerLib.results.features import KIND, SIMILARITY_STOPS
from MAESILSlicerLib.results.resultset import kindOf
from MAESILSlicerLib.scene.nodes import (
    findNodes,
    inputOf,
    leaveOutOfFiles,
    markNode,
    newNode,
    nodesOfClass,
    removeNode,
)
from MAESILSlicerLib.scene.transforms import geometryOf, putBeside

#: Role of the surface. It is made anew from the similarity and is not saved.
SURFACE = "similarity_surface"
#: Role of the list with the picked point.
POINT = "feature_point"
#: Role of the list with the place that a search has found. It is not saved.
FOUND = "found_point"
_POINT_COLOUR, _FOUND_COLOUR = "#D55E00", "#F0E442"
#: Size of the point's glyph, percent of a view.
_POINT_SCALE = 2.5


def showOverSlices(
    scene: slicer.vtkMRMLScene, node: slicer.vtkMRMLVolumeNode | None, opacity: float = 0.5
) -> None:
    """Blend feature colours or a similarity over its input, in each slice view that shows the input.

    Features leave all other slice views; what else is in the foreground of a view stays there. The views of the
    comparison show the input without them.

    Args:
        scene: the scene of the views.
        node: the colours or the similarity; None shows neither.
        opacity: 0 shows the input alone, 1 the colours alone.
    """
    inputId = inputOf(node).GetID() if node is not None else None
    for composite in nodesOfClass(scene, "vtkMRMLSliceCompositeNode"):
        isWanted = node is not None and composite.GetBackgroundVolumeID() == inputId
        if isWanted and not isCompared(composite.GetLayoutName() or ""):
            composite.SetForegroundVolumeID(node.GetID())
            composite.SetForegroundOpacity(opacity)
        elif _holdsFeatures(scene, composite.GetForegroundVolumeID()):
            composite.SetForegroundVolumeID(None)
    # A view would keep the legend of a volume that it no longer shows.
    for similarity in findNodes(scene, "similarity"):
        legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(similarity)
        if legend is not None:
            legend.SetVisibility(similarity is node)


def setThreshold(node: slicer.vtkMRMLScalarVolumeNode, threshold: float) -> None:
    """Leave out of the slices what is less similar than this, from -1 to 1."""
    display = node.GetDisplayNode()
    with slicer.util.NodeModify(display):
        display.SetThreshold(threshold, 1.0)
        display.SetApplyThreshold(True)


def pointOf(inputNode: slicer.vtkMRMLNode) -> slicer.vtkMRMLMarkupsFiducialNode | None:
    """The list that holds the picked point of a volume as its first point; None without one."""
    found = findNodes(inputNode.GetScene(), POINT, inputNode)
    return next((node for node in found if node.GetNumberOfControlPoints()), None)


def placePoint(
    inputNode: slicer.vtkMRMLScalarVolumeNode, world: tuple[float, float, float]
) -> slicer.vtkMRMLMarkupsFiducialNode:
    """Mark the picked point of a volume, in place of an earlier one; it moves with the volume, and can be dragged.

    Args:
        inputNode: the volume.
        world: RAS of the scene, in mm.
    """
    point = pointOf(inputNode)
    if point is not None:
        point.SetNthControlPointPositionWorld(0, vtk.vtkVector3d(*world))
        return point
    for empty in findNodes(inputNode.GetScene(), POINT, inputNode):
        removeNode(empty)
    return _addPoint(inputNode, world, POINT, f"{inputNode.GetName()} feature point", _POINT_COLOUR)


def placeFoundPoint(
    inputNode: slicer.vtkMRMLScalarVolumeNode, world: tuple[float, float, float]
) -> slicer.vtkMRMLMarkupsFiducialNode:
    """Mark a place that a search has found, in place of an earlier one of any volume; it cannot be dragged.

    Args:
        inputNode: the volume of the place.
        world: RAS of the scene, in mm.
    """
    removeFoundPoints(inputNode.GetScene())
    point = _addPoint(inputNode, world, FOUND, f"{inputNode.GetName()} similar place", _FOUND_COLOUR)
    point.SetLocked(True)
    point.GetDisplayNode().SetGlyphType(slicer.vtkMRMLMarkupsDisplayNode.StarBurst2D)
    leaveOutOfFiles(point)
    return point


def removeFoundPoints(scene: slicer.vtkMRMLScene) -> None:
    """Remove the mark of a place that a search has found."""
    for point in findNodes(scene, FOUND):
        removeNode(point)


def _addPoint(
    inputNode: slicer.vtkMRMLScalarVolumeNode,
    world: tuple[float, float, float],
    role: str,
    name: str,
    colour: str,
) -> slicer.vtkMRMLMarkupsFiducialNode:
    scene = inputNode.GetScene()
    point = newNode(scene, "vtkMRMLMarkupsFiducialNode", name)
    scene.AddNode(point)
    point.CreateDefaultDisplayNodes()
    display = point.GetDisplayNode()
    with slicer.util.NodeModify(display):
        display.SetPointLabelsVisibility(False)
        display.SetPropertiesLabelVisibility(False)
        # The surface encloses the point.
        display.SetOccludedVisibility(True)
        display.SetOccludedOpacity(1.0)
        display.SetUseGlyphScale(True)
        display.SetGlyphScale(_POINT_SCALE)
        for setColor in (display.SetColor, display.SetSelectedColor, display.SetActiveColor):
            setColor(*map(float, rgb(colour)))
    markNode(point, role, inputNode)
    putBeside(point, inputNode)
    point.AddControlPointWorld(vtk.vtkVector3d(*world))
    return point


def showPoints(scene: slicer.vtkMRMLScene, inputNode: slicer.vtkMRMLNode | None) -> None:
    """Show the picked point of a volume, and no other, but in the views of the comparison; None shows none."""
    views = [*nodesOfClass(scene, "vtkMRMLSliceNode"), *nodesOfClass(scene, "vtkMRMLViewNode")]
    places = [view.GetID() for view in views if not isCompared(view.GetLayoutName() or "")]
    for node in findNodes(scene, POINT):
        node.SetDisplayVisibility(inputNode is not None and inputOf(node) is inputNode)
        if list(node.GetDisplayNode().GetViewNodeIDs()) != places:
            node.GetDisplayNode().SetViewNodeIDs(places)


def showSurface(node: slicer.vtkMRMLScalarVolumeNode, threshold: float = 0.5) -> slicer.vtkMRMLModelNode:
    """Show where a similarity is at least `threshold` as a surface in 3D, in place of an earlier one.

    Args:
        node: the similarity.
        threshold: from -1 to 1.

    Returns:
        The surface, in mm and under the transform of the similarity; it may be empty.
    """
    scene, found = node.GetScene(), surfaceOf(node)
    surface = found or scene.AddNewNodeByClass("vtkMRMLModelNode", f"{node.GetName()} surface")
    surface.SetAndObservePolyData(_contourOf(node, threshold))
    if found is None:
        surface.CreateDefaultDisplayNodes()
        surface.GetDisplayNode().SetColor(*map(float, rgb(SIMILARITY_STOPS[2])))
        markNode(surface, SURFACE, inputOf(node))
        putBeside(surface, node)
        leaveOutOfFiles(surface)
    return surface


def surfaceOf(node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLModelNode | None:
    """The surface of a similarity; None if it is not shown in 3D."""
    return next(iter(findNodes(node.GetScene(), SURFACE, inputOf(node))), None)


def removeSurfaces(scene: slicer.vtkMRMLScene, but: slicer.vtkMRMLNode | None = None) -> None:
    """Remove the surfaces of all similarities from 3D; those of the input `but` stay."""
    for surface in findNodes(scene, SURFACE):
        if but is None or inputOf(surface) is not but:
            removeNode(surface)


def _holdsFeatures(scene: slicer.vtkMRMLScene, identity: str | None) -> bool:
    """Whether the volume of this ID shows features, or is gone."""
    node = scene.GetNodeByID(identity) if identity else None
    if node is None:
        return bool(identity)
    return kindOf(node) is KIND


def _contourOf(node: slicer.vtkMRMLScalarVolumeNode, threshold: float) -> vtk.vtkPolyData:
    # A border of -1, so that the surface is closed at the border of the lattice.
    pad = vtk.vtkImageConstantPad()
    pad.SetInputData(node.GetImageData())
    pad.SetOutputWholeExtent(*(end + (1 if odd else -1) for odd, end in _ends(node)))
    pad.SetConstant(-1.0)
    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputConnection(pad.GetOutputPort())
    contour.SetValue(0, threshold)
    contour.ComputeNormalsOff()  # those of voxels
    contour.ComputeScalarsOff()  # they would colour the surface
    toRas = vtk.vtkTransform()
    toRas.SetMatrix(geometryOf(node).ravel())
    moved = vtk.vtkTransformPolyDataFilter()
    moved.SetInputConnection(contour.GetOutputPort())
    moved.SetTransform(toRas)
    smooth = vtk.vtkPolyDataNormals()
    smooth.SetInputConnection(moved.GetOutputPort())
    smooth.SplittingOff()
    smooth.Update()
    return smooth.GetOutput()


def _ends(node: slicer.vtkMRMLScalarVolumeNode) -> list[tuple[bool, int]]:
    return [(bool(place % 2), end) for place, end in enumerate(node.GetImageData().GetExtent())]
