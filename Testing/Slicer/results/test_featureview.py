"""Features lie over the slices that show their input; surface and point are where they belong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import slicer

from MAESILCore.data.volume import Volume
from MAESILSlicerLib.results.colors import showInColors
from MAESILSlicerLib.results.features import KIND, SIMILARITY_STOPS
from MAESILSlicerLib.results.featureview import (
    SURFACE,
    placePoint,
    pointOf,
    removeSurfaces,
    setThreshold,
    showOverSlices,
    showPoints,
    showSurface,
)
from MAESILSlicerLib.results.resultset import ResultSet
from MAESILSlicerLib.scene.nodes import findNodes, inputOf, markNode
from MAESILSlicerLib.scene.volumes import addVolume, geometryOf
from offscreen import AXIAL

if TYPE_CHECKING:
    from offscreen import OffscreenViews
    from volumes import MakeVolume


@pytest.fixture
def aSimilarity(scene: slicer.vtkMRMLScene, makeVolume: MakeVolume) -> slicer.vtkMRMLScalarVolumeNode:
    """1 in a box of 2 x 3 x 2 at a border of the lattice, else 0; oblique, mirrored, and moved by a transform."""
    inputNode = makeVolume(
        shape=(24, 40, 48), angles=(20.0, -15.0, 40.0), spacing=(0.8, 1.2, 2.0), flips=(-1, 1, -1)
    )
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    inputNode.SetAndObserveTransformNodeID(transform.GetID())
    values = np.zeros((3, 5, 6), dtype=np.float32)
    values[:2, 1:4, 2:4] = 1.0
    lattice = geometryOf(inputNode) @ np.diag([8.0, 8.0, 8.0, 1.0])
    node = addVolume(scene, Volume(values, lattice), "similarity", inputNode)
    markNode(node, "similarity", inputNode)
    # Any node may be that of the colours here.
    ResultSet(KIND, {"colours": node, "similarity": node}).link()
    return node


def test_the_surface_encloses_what_is_similar(
    scene: slicer.vtkMRMLScene, aSimilarity: slicer.vtkMRMLScalarVolumeNode
) -> None:
    surface = showSurface(aSimilarity)
    points = slicer.util.arrayFromModelPoints(surface)
    index = np.linalg.solve(geometryOf(aSimilarity), np.c_[points, np.ones(len(points))].T)[:3]
    # Half-way between the boxes; three quarters of the way to the border's -1.
    np.testing.assert_allclose(index.min(axis=1), [1.5, 0.5, -0.25], atol=1e-4)
    np.testing.assert_allclose(index.max(axis=1), [3.5, 3.5, 1.5], atol=1e-4)
    assert surface.GetPolyData().GetPointData().GetScalars() is None  # They would colour it.
    assert surface.GetParentTransformNode() is aSimilarity.GetParentTransformNode()
    assert not surface.GetSaveWithScene()
    assert showSurface(aSimilarity, 2.0) is surface
    assert surface.GetPolyData().GetNumberOfPoints() == 0
    assert len(findNodes(scene, SURFACE)) == 1


def test_slices_of_the_input_alone_are_overlaid_and_freed(
    scene: slicer.vtkMRMLScene, aSimilarity: slicer.vtkMRMLScalarVolumeNode, makeVolume: MakeVolume
) -> None:
    mine, compared, other, gone = (scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode") for _ in range(4))
    inputId, atlas = inputOf(aSimilarity).GetID(), makeVolume(name="Atlas").GetID()
    for composite in (mine, compared):
        composite.SetBackgroundVolumeID(inputId)
    compared.SetLayoutName("MAESILOriginal")
    other.SetBackgroundVolumeID(atlas)
    other.SetForegroundVolumeID(atlas)
    gone.SetForegroundVolumeID("vtkMRMLScalarVolumeNode99")
    showOverSlices(scene, aSimilarity, 0.4)
    assert (mine.GetForegroundVolumeID(), mine.GetForegroundOpacity()) == (aSimilarity.GetID(), 0.4)
    assert not compared.GetForegroundVolumeID()
    assert not gone.GetForegroundVolumeID()
    # A view that shows another volume since.
    mine.SetBackgroundVolumeID(atlas)
    showOverSlices(scene, aSimilarity, 0.4)
    assert not mine.GetForegroundVolumeID()
    mine.SetBackgroundVolumeID(inputId)
    showOverSlices(scene, aSimilarity, 0.4)
    showInColors(aSimilarity, "similarity", SIMILARITY_STOPS, (0.0, 1.0), "Similarity")
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(aSimilarity)
    showOverSlices(scene, None)
    assert not mine.GetForegroundVolumeID()
    assert not legend.GetVisibility()
    showOverSlices(scene, aSimilarity)
    assert legend.GetVisibility()
    assert other.GetForegroundVolumeID() == atlas


def test_what_is_less_similar_leaves_the_slices(
    scene: slicer.vtkMRMLScene, views: OffscreenViews, aSimilarity: slicer.vtkMRMLScalarVolumeNode
) -> None:
    inputNode = inputOf(aSimilarity)
    inputNode.GetDisplayNode().SetAutoWindowLevel(False)
    inputNode.GetDisplayNode().SetWindowLevel(1.0, -5000.0)  # white
    showInColors(aSimilarity, "similarity", SIMILARITY_STOPS, (0.0, 1.0), "Similarity", digits=2)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(aSimilarity)
    assert legend.GetLabelFormat() == "%.2f"
    views.showVolume(inputNode)
    showOverSlices(scene, aSimilarity, 1.0)
    legend.SetVisibility(False)
    alike, unlike = (
        (geometryOf(aSimilarity) @ [*box, 1.0])[:3] for box in ((2.0, 2.0, 1.0), (5.0, 2.0, 1.0))
    )
    views.jumpTo(alike)
    assert max(views.colorAt(AXIAL, unlike)) < 60  # the colour of 0
    setThreshold(aSimilarity, 0.5)
    assert min(views.colorAt(AXIAL, unlike)) > 200
    assert views.colorAt(AXIAL, alike)[2] < 100  # yellow


def test_surfaces_go_except_those_of_one_volume(
    scene: slicer.vtkMRMLScene, aSimilarity: slicer.vtkMRMLScalarVolumeNode
) -> None:
    surface = showSurface(aSimilarity)
    removeSurfaces(scene, inputOf(aSimilarity))
    assert findNodes(scene, SURFACE) == [surface]
    removeSurfaces(scene)
    assert not findNodes(scene, SURFACE)


def test_the_point_moves_with_its_volume_and_is_one(
    scene: slicer.vtkMRMLScene, aSimilarity: slicer.vtkMRMLScalarVolumeNode
) -> None:
    inputNode = inputOf(aSimilarity)
    assert pointOf(inputNode) is None
    placePoint(inputNode, (5.0, 6.0, 7.0)).RemoveAllControlPoints()
    assert pointOf(inputNode) is None
    placePoint(inputNode, (5.0, 6.0, 7.0))
    point = placePoint(inputNode, (1.0, 2.0, 3.0))
    assert pointOf(inputNode) is point
    assert scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == 1
    matrix = np.eye(4)
    matrix[:3, 3] = 10.0, 0.0, -1.0
    inputNode.GetParentTransformNode().SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    places = slicer.util.arrayFromMarkupsControlPoints(point, world=True)
    np.testing.assert_allclose(places, [[11.0, 2.0, 2.0]])
    showPoints(scene, None)
    assert not point.GetDisplayVisibility()
    user, compared = (scene.AddNewNodeByClass("vtkMRMLSliceNode") for _ in range(2))
    user.SetLayoutName("Red")
    compared.SetLayoutName("MAESILOriginal")
    showPoints(scene, inputNode)
    assert point.GetDisplayVisibility()
    assert list(point.GetDisplayNode().GetViewNodeIDs()) == [user.GetID()]
