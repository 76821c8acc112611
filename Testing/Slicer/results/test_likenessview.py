"""A similarity lies over the slices that show its input, and its surface where it is high."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import slicer

from MAESILCore.data.volume import Volume
from MAESILSlicerLib.results.likenessview import SURFACE, hide, showOverSlices, showSurface
from MAESILSlicerLib.scene.nodes import findNodes, markNode
from MAESILSlicerLib.scene.volumes import addVolume, geometryOf

if TYPE_CHECKING:
    from volumes import MakeVolume


@pytest.fixture
def aSimilarity(scene: slicer.vtkMRMLScene, makeVolume: MakeVolume) -> slicer.vtkMRMLScalarVolumeNode:
    """1 in a box of 2 x 3 x 2 at a border of the lattice, else 0; oblique, mirrored, and moved by a transform."""
    inputNode = makeVolume(angles=(20.0, -15.0, 40.0), spacing=(0.8, 1.2, 2.0), flips=(-1, 1, -1))
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    inputNode.SetAndObserveTransformNodeID(transform.GetID())
    values = np.zeros((3, 5, 6), dtype=np.float32)
    values[:2, 1:4, 2:4] = 1.0
    lattice = geometryOf(inputNode) @ np.diag([8.0, 8.0, 8.0, 1.0])
    node = addVolume(scene, Volume(values, lattice), "similarity", inputNode)
    markNode(node, "similarity", inputNode)
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
    assert surface.GetParentTransformNode() is aSimilarity.GetParentTransformNode()
    assert not surface.GetSaveWithScene()
    assert showSurface(aSimilarity, 2.0) is surface
    assert surface.GetPolyData().GetNumberOfPoints() == 0
    assert len(findNodes(scene, SURFACE)) == 1


def test_slices_of_the_input_alone_are_overlaid_and_freed(
    scene: slicer.vtkMRMLScene, aSimilarity: slicer.vtkMRMLScalarVolumeNode, makeVolume: MakeVolume
) -> None:
    mine, other = (scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode") for _ in range(2))
    mine.SetBackgroundVolumeID(aSimilarity.GetNodeReference("MAESIL.input").GetID())
    other.SetBackgroundVolumeID(makeVolume(name="Other").GetID())
    showOverSlices(aSimilarity, 0.4)
    assert (mine.GetForegroundVolumeID(), mine.GetForegroundOpacity()) == (aSimilarity.GetID(), 0.4)
    assert not other.GetForegroundVolumeID()
    showSurface(aSimilarity)
    hide(aSimilarity)
    assert not mine.GetForegroundVolumeID()
    assert not findNodes(scene, SURFACE)
