"""Volumes between a MRML scene and MAESIL: looked at, read, and put back exactly where they were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
from vtk.util.numpy_support import vtk_to_numpy

from MAESILCore.errors import VolumeError
from MAESILCore.formats import geometry, numbers
from MAESILCore.volume import Volume
from MAESILSlicerLib.nodes import markNode
from MAESILSlicerLib.placement import SceneError, geometryOf, linearTransformToWorld, putBeside


@dataclass(frozen=True)
class VolumeCheck:
    """What there is to say about a volume before it is used.

    Attributes:
        problem: one sentence why it cannot be used, and what to do; None if it can.
        warnings: sentences about what to know of the results.
    """

    problem: str | None
    warnings: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether MAESIL can work on the volume."""
        return self.problem is None


def checkVolume(node: slicer.vtkMRMLNode | None) -> VolumeCheck:
    """Whether MAESIL can work on a node, and what to warn of; quick enough for every change of the selection."""
    if node is None:
        return VolumeCheck("Choose a volume.")
    problem = _kindProblem(node) or _contentProblem(node) or _placeProblem(node)
    return VolumeCheck(problem, () if problem else tuple(_warningsOf(node)))


def _kindProblem(node: slicer.vtkMRMLNode) -> str | None:
    name = node.GetName()
    isSequence = node.IsA("vtkMRMLSequenceNode") or node.IsA("vtkMRMLSequenceBrowserNode")
    if isSequence or node.IsA("vtkMRMLMultiVolumeNode") or _isFrame(node):
        return (
            f'"{name}" is a 4D sequence, and MAESIL works on 3D volumes; '
            "choose a frame, clone it in the Data module, and use the clone."
        )
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        return f'"{name}" is a label map; choose the image from which it was made.'
    if not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLTensorVolumeNode"):
        return f'"{name}" is not an image with one number per voxel; choose a scalar volume, such as a CT.'
    image = node.GetImageData()
    components = image.GetNumberOfScalarComponents() if image is not None else 1
    if node.IsA("vtkMRMLVectorVolumeNode") or components > 1:
        return (
            f'"{name}" has colours or several values in each voxel; '
            "choose a volume with one number per voxel, such as a CT."
        )
    return None


def _isFrame(node: slicer.vtkMRMLNode) -> bool:
    """Whether a sequence browser exchanges the node's content as it plays."""
    scene = node.GetScene()
    browsers = scene.GetNodesByClass("vtkMRMLSequenceBrowserNode") if scene is not None else ()
    for browser in browsers:
        sequence = browser.GetSequenceNode(node)
        if sequence is not None and sequence.GetNumberOfDataNodes() > 1:
            return True
    return False


def _contentProblem(node: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or 0 in image.GetDimensions():
        return f'"{node.GetName()}" has no voxels; load an image into it, or choose another volume.'
    if image.GetExtent()[::2] != (0, 0, 0):
        # Slicer itself shows such an image in one place and tells its bounds in another.
        return f'The voxels of "{node.GetName()}" are not counted from 0; crop or resample it, and use the result.'
    return None


def _placeProblem(node: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    matrix = geometryOf(node)
    if not np.isfinite(matrix).all() or not geometry.is_invertible(matrix):
        return (
            f'The geometry of "{node.GetName()}" is degenerate: an axis has no length, or two are parallel; '
            "correct it in the Volumes module."
        )
    try:
        linearTransformToWorld(node)
    except SceneError as error:
        return str(error)
    return None


def _warningsOf(node: slicer.vtkMRMLScalarVolumeNode) -> list[str]:
    image = node.GetImageData()
    modality = modalityOf(node)
    low, high = image.GetScalarRange()
    warnings = []
    if modality not in (None, "", "CT"):
        warnings.append(f"This is a {modality} image, and the models know CT alone: expect poor results.")
    elif not _canBeHu(low, high):
        bits = "8-bit values" if image.GetScalarSize() == 1 else "values"
        warnings.append(
            f"The {bits} from {low:g} to {high:g} are not HU, which a model of CT expects: expect poor results."
        )
    if geometry.is_sheared(geometryOf(node)):
        degrees = geometry.shear_degrees(geometryOf(node))
        warnings.append(
            f"The axes are sheared, {degrees:.1f} degrees from perpendicular; this is kept exactly."
        )
    return warnings


def _canBeHu(low: float, high: float) -> bool:
    """`Volume.looks_like_hu` of a range that VTK keeps, without another look at every voxel."""
    return Volume(np.array([[[low, high]]]), np.eye(4)).looks_like_hu


def modalityOf(node: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    """The DICOM modality, such as "CT" or "MR", of a volume that came from DICOM; else None."""
    scene = node.GetScene()
    hierarchy = scene.GetSubjectHierarchyNode() if scene is not None else None
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    if not item:
        return None
    name = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    return hierarchy.GetItemAttribute(item, name) or None


def readVolume(node: slicer.vtkMRMLScalarVolumeNode | None) -> Volume:
    """A node's voxels, copied, with the node's own geometry and name.

    Parent transforms are left out: what is made of the volume is put under the same ones. Voxels that are
    no number are filled, and noted.

    Raises:
        SceneError: the node is no volume that can be used; `checkVolume` says why.
    """
    problem = checkVolume(node).problem
    if problem is not None:
        raise SceneError(problem)
    voxels = voxelsOf(node).copy()
    try:
        voxels, note = numbers.fill_not_finite(voxels)
        return Volume(voxels, geometryOf(node), node.GetName(), (note,) if note else ())
    except VolumeError as error:
        message = f'"{node.GetName()}" cannot be used: {error}'
        raise SceneError(message) from error


def voxelsOf(node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """A view of a node's voxels, (k, j, i): valid until the node changes."""
    image = node.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def addVolume(
    scene: slicer.vtkMRMLScene,
    volume: Volume,
    name: str,
    like: slicer.vtkMRMLScalarVolumeNode | None = None,
    role: str | None = None,
    sameDisplay: bool = False,
) -> slicer.vtkMRMLScalarVolumeNode:
    """Put a volume into the scene.

    Args:
        scene: where to.
        volume: voxels and geometry, which are both kept exactly; flips and shear included.
        name: of the new node.
        like: a volume from which this one was made: it gets the same parent transform and the same place in
            the subject hierarchy.
        role: for what MAESIL made it, as `nodes.findNodes` finds it; with `like` as its input.
        sameDisplay: show it as `like` is shown: window, level, colours, interpolation.

    Raises:
        SceneError: there is not enough memory; the scene is then as it was.
    """
    node = scene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
    # CreateNodeByClass hands over a reference that Python does not know of.
    node.UnRegister(None)
    node.SetName(name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(volume.ijk_to_ras))
    try:
        slicer.util.updateVolumeFromArray(node, numbers.storable(volume.voxels))
    except MemoryError as error:
        message = (
            f'There is not enough memory to add "{name}" to the scene; close other volumes and try again.'
        )
        raise SceneError(message) from error
    # Only now, so that whoever watches the scene never sees a volume without voxels.
    scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    if role is not None:
        markNode(node, role, like)
    if like is not None:
        putBeside(node, like)
        if sameDisplay:
            copyDisplay(like, node)
    return node


def copyDisplay(source: slicer.vtkMRMLScalarVolumeNode, target: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show one volume as another is shown; nothing changes where either has no display node."""
    shown, display = source.GetDisplayNode(), target.GetDisplayNode()
    if shown is None or display is None:
        return
    with slicer.util.NodeModify(display):
        display.SetAndObserveColorNodeID(shown.GetColorNodeID())
        display.SetInterpolate(shown.GetInterpolate())
        display.AutoWindowLevelOff()
        display.SetWindowLevel(shown.GetWindow(), shown.GetLevel())
