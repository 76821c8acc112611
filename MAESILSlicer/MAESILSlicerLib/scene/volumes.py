"""Checks and reads volumes of a MRML scene, and adds volumes with exact geometry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from MAESILCore.data.formats import geometry, voxeltypes
from MAESILCore.data.volume import Volume
from MAESILSlicerLib.scene.nodes import hierarchyItemOf, newNode
from MAESILSlicerLib.scene.transforms import SceneError, geometryOf, linearTransformToWorld, putBeside
from MAESILSlicerLib.scene.wording import sentence

#: Channels that the usual storage node can write; a scene with others could not be saved.
_STORED_BY_DEFAULT = (1, 3)


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


def checkVolume(node: slicer.vtkMRMLNode | None, expectsHu: bool = True) -> VolumeCheck:
    """Check whether MAESIL can use a node; fast enough for every change of the selection.

    Args:
        node: the node.
        expectsHu: whether the model is for scans in HU, so that others get a warning.
    """
    if node is None or node.GetScene() is None:
        return VolumeCheck(sentence("volume.none"))
    code = _problemOf(node)
    if code:
        return VolumeCheck(sentence(code, volume=node.GetName()))
    try:
        linearTransformToWorld(node)
    except SceneError as error:
        return VolumeCheck(str(error))
    return VolumeCheck(None, tuple(_warningsOf(node, expectsHu)))


def _problemOf(node: slicer.vtkMRMLNode) -> str:
    """Code of the reason why a node cannot be used; "" if it can."""
    image = node.GetImageData() if node.IsA("vtkMRMLVolumeNode") else None
    kinds = ("vtkMRMLSequenceNode", "vtkMRMLSequenceBrowserNode", "vtkMRMLMultiVolumeNode")
    if any(map(node.IsA, kinds)) or _isFrame(node):
        return "volume.sequence"
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        return "volume.label-map"
    if node.IsA("vtkMRMLVectorVolumeNode") or (image is not None and image.GetNumberOfScalarComponents() > 1):
        return "volume.several-values"
    if not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLTensorVolumeNode"):
        return "volume.not-scalar"
    if image is None or image.GetPointData().GetScalars() is None or 0 in image.GetDimensions():
        return "volume.no-voxels"
    if image.GetExtent()[::2] != (0, 0, 0):
        # Slicer itself shows such an image and reports its bounds in different places.
        return "volume.extent"
    low, high = _finiteRange(image)
    if low > high:
        return "volume.not-finite"
    ijkToRas = geometryOf(node)
    if not np.isfinite(ijkToRas).all() or not geometry.is_invertible(ijkToRas):
        return "volume.degenerate"
    return ""


def _isFrame(node: slicer.vtkMRMLNode) -> bool:
    """Whether a sequence browser replaces the node's content during playback."""
    browsers = [other for other in node.GetScene().GetNodes() if other.IsA("vtkMRMLSequenceBrowserNode")]
    sequences = [browser.GetSequenceNode(node) for browser in browsers]
    return any(sequence is not None and sequence.GetNumberOfDataNodes() > 1 for sequence in sequences)


def _finiteRange(image: vtk.vtkImageData) -> tuple[float, float]:
    """Lowest and highest finite value, cached by VTK until the voxels change; lowest > highest if there is none."""
    scalars = image.GetPointData().GetScalars()
    # The volume's display has already computed the range of integers.
    isReal = scalars.GetDataType() in (vtk.VTK_FLOAT, vtk.VTK_DOUBLE)
    return scalars.GetFiniteRange() if isReal else scalars.GetRange()


def _warningsOf(node: slicer.vtkMRMLScalarVolumeNode, expectsHu: bool) -> Iterator[str]:
    image, ijkToRas, modality = node.GetImageData(), geometryOf(node), modalityOf(node)
    low, high = _finiteRange(image)
    if expectsHu and modality not in (None, "CT"):
        yield sentence("volume.modality", modality=modality)
    elif expectsHu and not _canBeHu(low, high):
        code = "volume.8-bit" if image.GetScalarSize() == 1 else "volume.not-hu"
        yield sentence(code, low=low, high=high)
    if geometry.is_sheared(ijkToRas):
        yield sentence("volume.sheared", degrees=geometry.shear_degrees(ijkToRas))


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
        raise SceneError(sentence("volume.no-memory", volume=node.GetName())) from error
    return Volume(voxels, geometryOf(node), node.GetName(), (note,) if note else ())


def voxelsOf(node: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """A view of a node's voxels, (k, j, i), valid until the node changes."""
    image = node.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def addVolume(
    scene: slicer.vtkMRMLScene,
    volume: Volume,
    name: str,
    like: slicer.vtkMRMLScalarVolumeNode | None = None,
    sameDisplay: bool = False,
    autoWindow: bool = True,
) -> slicer.vtkMRMLScalarVolumeNode:
    """Add a volume to the scene.

    Args:
        scene: the scene.
        volume: voxels and geometry, both kept exactly, including flips and shear.
        name: name of the new node.
        like: the input volume; the new node gets its parent transform and place in the subject hierarchy.
        sameDisplay: copy window, level, colours and interpolation of `like`, if that is displayed.
        autoWindow: compute a window, which takes seconds on a large volume; False if the caller sets one.

    Raises:
        SceneError: there is not enough memory; the scene is then unchanged.
    """
    node = _addVoxels(scene, "vtkMRMLScalarVolumeNode", name, volume.voxels, volume.ijk_to_ras, like)
    example = like.GetDisplayNode() if sameDisplay else None
    if example is not None:
        _copyDisplay(example, addDisplayWithoutWindow(node))
    elif autoWindow:
        node.CreateDefaultDisplayNodes()
    else:
        addDisplayWithoutWindow(node)
    return node


def addVectorVolume(
    scene: slicer.vtkMRMLScene,
    channels: np.ndarray,
    ijkToRas: np.ndarray,
    name: str,
    like: slicer.vtkMRMLScalarVolumeNode,
) -> slicer.vtkMRMLVectorVolumeNode:
    """Add a volume of channels, (C, k, j, i), like `addVolume`; three channels of uint8 are shown as colours."""
    voxels = np.moveaxis(channels, 0, -1)
    node = _addVoxels(scene, "vtkMRMLVectorVolumeNode", name, voxels, ijkToRas, like)
    node.CreateDefaultDisplayNodes()
    if len(channels) not in _STORED_BY_DEFAULT:
        storage = newNode(scene, "vtkMRMLNRRDStorageNode")
        storage.SetDefaultWriteFileExtension("nrrd")  # one file
        scene.AddNode(storage)
        node.SetAndObserveStorageNodeID(storage.GetID())
    return node


def _addVoxels(
    scene: slicer.vtkMRMLScene,
    className: str,
    name: str,
    voxels: np.ndarray,
    ijkToRas: np.ndarray,
    like: slicer.vtkMRMLScalarVolumeNode | None,
) -> slicer.vtkMRMLVolumeNode:
    """A new node with voxels, (k, j, i) or (k, j, i, C), without a display node."""
    node = newNode(scene, className, name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijkToRas))
    try:
        slicer.util.updateVolumeFromArray(node, voxeltypes.storable(voxels))
    except MemoryError as error:
        raise SceneError(sentence("scene.no-memory", volume=name)) from error
    # Added last, so that observers of the scene never see a volume without voxels.
    scene.AddNode(node)
    if like is not None:
        putBeside(node, like)
    return node


def addDisplayWithoutWindow(
    node: slicer.vtkMRMLScalarVolumeNode,
) -> slicer.vtkMRMLScalarVolumeDisplayNode:
    """Like CreateDefaultDisplayNodes, but without the histogram of all voxels that sets the window."""
    display = newNode(node.GetScene(), "vtkMRMLScalarVolumeDisplayNode")
    display.AutoWindowLevelOff()
    display.SetDefaultColorMap()
    node.GetScene().AddNode(display)
    node.SetAndObserveDisplayNodeID(display.GetID())
    return display


def _copyDisplay(
    source: slicer.vtkMRMLScalarVolumeDisplayNode, target: slicer.vtkMRMLScalarVolumeDisplayNode
) -> None:
    """Copy colours, interpolation, window and level."""
    with slicer.util.NodeModify(target):
        if source.GetColorNodeID() is not None:
            target.SetAndObserveColorNodeID(source.GetColorNodeID())
        target.SetInterpolate(source.GetInterpolate())
        target.SetWindowLevel(source.GetWindow(), source.GetLevel())
