"""Checks and reads volumes of a MRML scene, and adds volumes with exact geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from MAESILCore.data.formats import geometry, voxeltypes
from MAESILCore.data.volume import Volume
from MAESILSlicerLib.scene.nodes import hierarchyItemOf, markNode, newNode
from MAESILSlicerLib.scene.transforms import SceneError, geometryOf, linearTransformToWorld, putBeside


@dataclass(frozen=True)
class VolumeCheck:
    """The check of a volume before its use.

    Attributes:
        problem: one sentence why the volume cannot be used and what to do; None if it can.
        warnings: sentences about limits of the results.
    """

    problem: str | None
    warnings: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether MAESIL can work on the volume."""
        return self.problem is None


def checkVolume(node: slicer.vtkMRMLNode | None) -> VolumeCheck:
    """Check whether MAESIL can use a node; fast enough for every change of the selection."""
    if node is None or node.GetScene() is None:
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
    image = node.GetImageData() if node.IsA("vtkMRMLVolumeNode") else None
    if node.IsA("vtkMRMLVectorVolumeNode") or (image is not None and image.GetNumberOfScalarComponents() > 1):
        return (
            f'"{name}" has colours or several values in each voxel; '
            "choose a volume with one number per voxel, such as a CT."
        )
    if not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLTensorVolumeNode"):
        return f'"{name}" is not an image with one number per voxel; choose a scalar volume, such as a CT.'
    return None


def _isFrame(node: slicer.vtkMRMLNode) -> bool:
    """Whether a sequence browser replaces the node's content during playback."""
    browsers = [other for other in node.GetScene().GetNodes() if other.IsA("vtkMRMLSequenceBrowserNode")]
    sequences = [browser.GetSequenceNode(node) for browser in browsers]
    return any(sequence is not None and sequence.GetNumberOfDataNodes() > 1 for sequence in sequences)


def _contentProblem(node: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    name, image = node.GetName(), node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or 0 in image.GetDimensions():
        return f'"{name}" has no voxels; load an image into it, or choose another volume.'
    if image.GetExtent()[::2] != (0, 0, 0):
        # Slicer itself shows such an image and reports its bounds in different places.
        return f'The voxels of "{name}" are not counted from 0; crop or resample it, and use the result.'
    low, high = _finiteRange(image)
    if low > high:
        return f'"{name}" has no voxel with a finite number; choose another volume.'
    return None


def _finiteRange(image: vtk.vtkImageData) -> tuple[float, float]:
    """Lowest and highest finite value, cached by VTK until the voxels change; lowest > highest if there is none."""
    scalars = image.GetPointData().GetScalars()
    if scalars.GetDataType() not in (vtk.VTK_FLOAT, vtk.VTK_DOUBLE):
        # The volume's display has already computed this range.
        return scalars.GetRange()
    return scalars.GetFiniteRange()


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
    image, matrix, modality = node.GetImageData(), geometryOf(node), modalityOf(node)
    low, high = _finiteRange(image)
    warnings = []
    if modality not in (None, "CT"):
        warnings.append(f"The modality is {modality}, and the models have seen CT only: expect poor results.")
    elif not _canBeHu(low, high):
        values = "8-bit values" if image.GetScalarSize() == 1 else "values"
        warnings.append(
            f"The {values} from {low:g} to {high:g} are not HU, on which the models were trained: "
            "expect poor results."
        )
    if geometry.is_sheared(matrix):
        degrees = geometry.shear_degrees(matrix)
        warnings.append(
            f"The axes are sheared, {degrees:.1f} degrees from perpendicular; this is kept exactly."
        )
    return warnings


def holdsHu(node: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether a usable volume is a CT in HU, judged by its modality and its values."""
    return modalityOf(node) in (None, "CT") and _canBeHu(*_finiteRange(node.GetImageData()))


def _canBeHu(low: float, high: float) -> bool:
    """`Volume.looks_like_hu` for a cached range, without another pass over the voxels."""
    return Volume(np.array([[[low, high]]]), np.eye(4)).looks_like_hu


def modalityOf(node: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    """The DICOM modality, such as "CT" or "MR", of a volume that came from DICOM; else None."""
    hierarchy, item = hierarchyItemOf(node.GetScene(), node)
    if not item:
        return None
    name = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    return hierarchy.GetItemAttribute(item, name) or None


def readVolume(node: slicer.vtkMRMLScalarVolumeNode | None) -> Volume:
    """Copy a node's voxels, with the node's own geometry and name.

    Parent transforms are ignored, because results get the same ones. Non-finite voxels are replaced, with a note.

    Raises:
        SceneError: the node does not pass `checkVolume`, or there is not enough memory.
    """
    problem = checkVolume(node).problem
    if problem is not None:
        raise SceneError(problem)
    try:
        voxels, note = voxeltypes.fill_not_finite(voxelsOf(node).copy())
    except MemoryError as error:
        message = f'There is not enough memory to copy "{node.GetName()}"; crop it, or close other volumes.'
        raise SceneError(message) from error
    return Volume(voxels, geometryOf(node), node.GetName(), (note,) if note else ())


def voxelsOf(node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """A view of a node's voxels, (k, j, i), valid until the node changes."""
    image = node.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def addVolume(
    scene: slicer.vtkMRMLScene,
    volume: Volume,
    name: str,
    like: slicer.vtkMRMLScalarVolumeNode | None = None,
    role: str | None = None,
    sameDisplay: bool = False,
    autoWindow: bool = True,
) -> slicer.vtkMRMLScalarVolumeNode:
    """Add a volume to the scene.

    Args:
        scene: the scene.
        volume: voxels and geometry, both kept exactly, including flips and shear.
        name: name of the new node.
        like: the input volume; the new node gets its parent transform and place in the subject hierarchy.
        role: role of the new node for `nodes.findNodes`, with `like` as its input.
        sameDisplay: copy window, level, colours and interpolation of `like`.
        autoWindow: compute a window, which takes seconds on a large volume; False if the caller sets one.

    Raises:
        SceneError: there is not enough memory; the scene is then unchanged.
    """
    node = _addVoxels(scene, "vtkMRMLScalarVolumeNode", name, volume.voxels, volume.ijk_to_ras)
    hasExample = sameDisplay and like is not None and like.GetDisplayNode() is not None
    if autoWindow and not hasExample:
        node.CreateDefaultDisplayNodes()
    else:
        addDisplayWithoutWindow(node)
    if role is not None:
        markNode(node, role, like)
    if like is not None:
        putBeside(node, like)
        if sameDisplay:
            copyDisplay(like, node)
    return node


def addVectorVolume(
    scene: slicer.vtkMRMLScene,
    channels: np.ndarray,
    ijkToRas: np.ndarray,
    name: str,
    like: slicer.vtkMRMLScalarVolumeNode,
    role: str,
) -> slicer.vtkMRMLVectorVolumeNode:
    """Add a multi-channel volume to the scene, beside its input volume.

    Args:
        scene: the scene.
        channels: (C, k, j, i); three channels of uint8 are shown as colours.
        ijkToRas: (4, 4) in mm.
        name: name of the new node.
        like: the input volume; gives parent transform and place in the subject hierarchy.
        role: role of the new node, with `like` as its input.

    Raises:
        SceneError: there is not enough memory; the scene is then unchanged.
    """
    voxels = np.moveaxis(channels, 0, -1)
    node = _addVoxels(scene, "vtkMRMLVectorVolumeNode", name, voxels, ijkToRas)
    node.CreateDefaultDisplayNodes()
    markNode(node, role, like)
    putBeside(node, like)
    return node


def _addVoxels(
    scene: slicer.vtkMRMLScene, className: str, name: str, voxels: np.ndarray, ijkToRas: np.ndarray
) -> slicer.vtkMRMLVolumeNode:
    """A new node with voxels, (k, j, i) or (k, j, i, C), without a display node."""
    node = newNode(scene, className, name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijkToRas))
    try:
        slicer.util.updateVolumeFromArray(node, voxeltypes.storable(voxels))
    except MemoryError as error:
        message = f'There is not enough memory to add "{name}" to the scene; close other volumes.'
        raise SceneError(message) from error
    # Added last, so that observers of the scene never see a volume without voxels.
    scene.AddNode(node)
    return node


def addDisplayWithoutWindow(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Like CreateDefaultDisplayNodes, but without the histogram of all voxels that sets the window."""
    display = newNode(node.GetScene(), "vtkMRMLScalarVolumeDisplayNode")
    display.AutoWindowLevelOff()
    display.SetDefaultColorMap()
    node.GetScene().AddNode(display)
    node.SetAndObserveDisplayNodeID(display.GetID())


def copyDisplay(source: slicer.vtkMRMLScalarVolumeNode, target: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Copy the display settings of one volume to another; without both display nodes, nothing changes."""
    shown, display = source.GetDisplayNode(), target.GetDisplayNode()
    if shown is None or display is None:
        return
    with slicer.util.NodeModify(display):
        if shown.GetColorNodeID() is not None:
            display.SetAndObserveColorNodeID(shown.GetColorNodeID())
        display.SetInterpolate(shown.GetInterpolate())
        display.AutoWindowLevelOff()
        display.SetWindowLevel(shown.GetWindow(), shown.GetLevel())
