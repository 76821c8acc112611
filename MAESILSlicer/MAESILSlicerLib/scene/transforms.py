"""A node's geometry, its parent transforms and its place in the subject hierarchy."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from MAESILCore.data.formats import geometry
from MAESILCore.errors import MaesilError
from MAESILSlicerLib.scene.nodes import hierarchyItemOf, putUnder
from MAESILSlicerLib.scene.wording import sentence


class SceneError(MaesilError):
    """A node is missing or cannot be used."""


def geometryOf(node: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """The node's IJK-to-RAS matrix, (4, 4) float64, in mm, without its parent transform."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def linearTransformToWorld(node: slicer.vtkMRMLTransformableNode) -> np.ndarray:
    """The matrix from a node's RAS to world RAS, (4, 4) float64; the identity without a parent transform.

    Raises:
        SceneError: a parent transform is non-linear or singular.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    names = {"node": node.GetName(), "transform": parent.GetName()}
    if not parent.IsTransformToWorldLinear():
        raise SceneError(sentence("transform.not-linear", **names))
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    nodeToWorld = slicer.util.arrayFromVTKMatrix(matrix)
    if not np.isfinite(nodeToWorld).all() or not geometry.is_invertible(nodeToWorld):
        raise SceneError(sentence("transform.flat", **names))
    return nodeToWorld


def putBeside(node: slicer.vtkMRMLTransformableNode, like: slicer.vtkMRMLTransformableNode) -> None:
    """Give a node the parent transform of another node, and place it beside that in the subject hierarchy."""
    node.SetAndObserveTransformNodeID(like.GetTransformNodeID())
    hierarchy, likeItem = hierarchyItemOf(like.GetScene(), like)
    if likeItem:
        putUnder(hierarchy, hierarchy.GetItemParent(likeItem), node)
