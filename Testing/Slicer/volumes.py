"""Volume nodes of any geometry, and transforms to put above them, for tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import slicer
import vtk

#: The fixture `makeVolume`: `addTestVolume` without its scene.
MakeVolume = Callable[..., slicer.vtkMRMLScalarVolumeNode]


def addTestVolume(
    scene: slicer.vtkMRMLScene,
    shape: tuple[int, int, int] = (24, 32, 40),
    *,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0),
    flips: tuple[int, int, int] = (1, 1, 1),
    shear: float = 0.0,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ijkToRas: np.ndarray | None = None,
    voxels: np.ndarray | None = None,
    name: str = "CT",
    nodeClass: str = "vtkMRMLScalarVolumeNode",
) -> slicer.vtkMRMLScalarVolumeNode:
    """Add a volume to a scene.

    Args:
        scene: where to.
        shape: voxels along k, j, i.
        spacing: mm along i, j, k.
        angles: turns about R, A and S in degrees, in this order.
        flips: 1 or -1 for each of i, j, k.
        shear: by how many mm the slices move along A with each mm along S, as with a tilted gantry.
        origin: RAS of the centre of voxel (0, 0, 0).
        ijkToRas: (4, 4), instead of the five above.
        voxels: (k, j, i) instead of `shape`; by default whole numbers from -1000 to 1000, drawn at random.
        name: of the node.
        nodeClass: of the node.
    """
    if voxels is None:
        voxels = np.random.default_rng(0).integers(-1000, 1001, size=shape, dtype=np.int16)
    if ijkToRas is None:
        ijkToRas = matrixOf(spacing, angles, flips, shear, origin)
    node = scene.AddNewNodeByClass(nodeClass, name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijkToRas))
    slicer.util.updateVolumeFromArray(node, voxels)
    node.CreateDefaultDisplayNodes()
    return node


def matrixOf(
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0),
    flips: tuple[int, int, int] = (1, 1, 1),
    shear: float = 0.0,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> np.ndarray:
    """The IJK-to-RAS matrix, (4, 4), of what `addTestVolume` takes."""
    turned = np.eye(3)
    for axis, angle in enumerate(np.radians(angles)):
        turned = _turn(axis, float(angle)) @ turned
    tilt = np.eye(3)
    tilt[1, 2] = shear
    matrix = np.eye(4)
    matrix[:3, :3] = turned @ tilt @ np.diag(np.multiply(spacing, flips))
    matrix[:3, 3] = origin
    return matrix


def _turn(axis: int, angle: float) -> np.ndarray:
    first, second = [other for other in range(3) if other != axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[second, first] = np.sin(angle)
    matrix[first, second] = -np.sin(angle)
    return matrix


def putUnder(
    scene: slicer.vtkMRMLScene, node: slicer.vtkMRMLTransformableNode, *toParents: np.ndarray
) -> slicer.vtkMRMLTransformNode:
    """Put a node under linear transforms nested in each other, (4, 4) each, the innermost first; the outermost node."""
    for toParent in toParents:
        transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(toParent))
        node.SetAndObserveTransformNodeID(transform.GetID())
        node = transform
    return node


def putUnderBent(
    scene: slicer.vtkMRMLScene, node: slicer.vtkMRMLTransformableNode
) -> slicer.vtkMRMLTransformNode:
    """Put a node under a transform that is not linear."""
    start, stop = vtk.vtkPoints(), vtk.vtkPoints()
    for right, anterior, superior in [(0, 0, 0), (90, 0, 0), (0, 90, 0), (0, 0, 90), (50, 50, 50)]:
        start.InsertNextPoint(right, anterior, superior)
        stop.InsertNextPoint(right, anterior, superior + (9 if right == 50 else 0))
    bent = vtk.vtkThinPlateSplineTransform()
    bent.SetBasisToR()
    bent.SetSourceLandmarks(start)
    bent.SetTargetLandmarks(stop)
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    transform.SetAndObserveTransformToParent(bent)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform
