"""Segmentation nodes: as labels on the grid of a volume, and from such labels, with a way back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from MAESILCore.data.formats.scan import Unreadable
from MAESILCore.data.labels.canvas import Canvas, unlabelled
from MAESILCore.data.labels.grid import on_grid_of, shares_lattice
from MAESILCore.data.labels.labelmap import complete
from MAESILCore.data.labels.naming import tidied
from MAESILCore.data.labels.slicer_nrrd import color_of_value
from MAESILCore.data.segmentation import Segment, Segmentation
from MAESILCore.data.volume import Volume
from MAESILSlicerLib.scene.nodes import newNode
from MAESILSlicerLib.scene.transforms import SceneError, geometryOf, linearTransformToWorld, putBeside
from MAESILSlicerLib.scene.wording import sentence

LABELMAP = "Binary labelmap"


def segmentationOf(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    segmentIds: Sequence[str] | None = None,
) -> Segmentation:
    """The segments of a node on the grid of a volume, with the volume's own geometry.

    The nodes are not modified, even a segmentation that has only surfaces. Values are 1, 2, ... in the order of the
    segments; the later of overlapping segments wins, which is noted.

    Args:
        segmentationNode: the segmentation. Its transforms and those of the volume must be linear.
        volumeNode: the volume.
        segmentIds: IDs of the wanted segments; None takes all.

    Raises:
        SceneError: there are no segments, one of them does not exist or cannot be converted, all labels are outside of
            the volume, or a transform is not linear.
    """
    names = {"segmentation": segmentationNode.GetName(), "volume": volumeNode.GetName()}
    own = segmentationNode.GetSegmentation()
    wanted = list(own.GetSegmentIDs() if segmentIds is None else segmentIds)
    for segmentId in wanted:
        if own.GetSegment(segmentId) is None:
            raise SceneError(sentence("region.no-segment", segment=segmentId, **names))
    if not wanted:
        raise SceneError(sentence("segmentation.no-segments", **names))
    like = _gridOf(volumeNode, segmentationNode)
    values = {segmentId: value for value, segmentId in enumerate(wanted, 1)}
    segments, nameNotes = tidied(
        _segmentOf(own.GetSegment(segmentId), value) for segmentId, value in values.items()
    )
    canvas = Canvas(like.shape, len(values), unlabelled(segments))
    notes, isOutside = list(nameNotes), False
    for layer in _layersOf(_withLabelmaps(own, wanted, like, names), values):
        try:
            fitted = on_grid_of(layer, like)
        except Unreadable:
            isOutside = True
            continue
        notes += fitted.notes
        for value in values.values():
            mask = fitted.labels == value
            if mask.any():
                canvas.paint(value, mask)
    if isOutside and not canvas.labels.any():
        raise SceneError(sentence("segmentation.outside", **names))
    notes += canvas.notes({one.value: one.name for one in segments})
    # Every layer that is on another grid says so.
    return complete(canvas.labels, geometryOf(volumeNode), segments, None, tuple(dict.fromkeys(notes)))


def _gridOf(
    volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode
) -> Volume:
    """The volume's grid in the segmentation's own frame, without voxels."""
    ijkToRas = np.linalg.solve(
        linearTransformToWorld(segmentationNode), linearTransformToWorld(volumeNode) @ geometryOf(volumeNode)
    )
    shape = volumeNode.GetImageData().GetDimensions()[::-1]
    return Volume(np.broadcast_to(np.uint8(0), shape), ijkToRas)


def _segmentOf(segment: slicer.vtkSegment, value: int) -> Segment:
    terminology = vtk.reference("")
    segment.GetTag(segment.GetTerminologyEntryTagName(), terminology)
    return Segment(value, segment.GetName() or "", tuple(segment.GetColor()), str(terminology))


def fits(
    segmentationNode: slicer.vtkMRMLSegmentationNode, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> bool:
    """Whether the label maps of a segmentation are on the voxels of a volume, as those that were drawn on it."""
    segmentation = segmentationNode.GetSegmentation()
    if not segmentation.ContainsRepresentation(LABELMAP) or segmentation.GetNumberOfLayers(LABELMAP) == 0:
        return False
    image = segmentation.GetLayerDataObject(0, LABELMAP)
    if 0 in image.GetDimensions():
        return False
    try:
        like = _gridOf(volumeNode, segmentationNode)
    except SceneError:
        return False
    return shares_lattice(_geometryOf(image), image.GetDimensions()[::-1], like)


def _geometryOf(image: slicer.vtkOrientedImageData) -> np.ndarray:
    """The matrix, (4, 4), from array indices to the frame of a segmentation."""
    imageToRas = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(imageToRas)
    first = np.eye(4)
    first[:3, 3] = image.GetExtent()[::2]
    return slicer.util.arrayFromVTKMatrix(imageToRas) @ first


def emptyImage(shape: tuple[int, int, int], ijkToRas: np.ndarray) -> slicer.vtkOrientedImageData:
    """An image geometry of (k, j, i) voxels without values, as a reference for resampling."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(shape[::-1])
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(ijkToRas))
    return image


def _withLabelmaps(
    segmentation: slicer.vtkSegmentation, segmentIds: Sequence[str], like: Volume, names: dict[str, str]
) -> slicer.vtkSegmentation:
    """The segmentation itself if it has label maps, else a copy of the segments, converted on the grid of `like`."""
    if segmentation.ContainsRepresentation(LABELMAP):
        return segmentation
    copied = slicer.vtkSegmentation()
    copied.SetSourceRepresentationName(segmentation.GetSourceRepresentationName())
    for segmentId in segmentIds:
        copied.CopySegmentFromSegmentation(segmentation, segmentId)
    converter = slicer.vtkSegmentationConverter
    copied.SetConversionParameter(
        converter.GetReferenceImageGeometryParameterName(),
        converter.SerializeImageGeometry(emptyImage(like.shape, like.ijk_to_ras)),
    )
    if not copied.CreateRepresentation(LABELMAP):
        raise SceneError(sentence("region.segment-not-converted", region=names["segmentation"]))
    return copied


def _layersOf(segmentation: slicer.vtkSegmentation, values: dict[str, int]) -> Iterator[Segmentation]:
    """The shared label maps, each with its wanted segments under new values."""
    for layer in range(segmentation.GetNumberOfLayers(LABELMAP)):
        image = segmentation.GetLayerDataObject(layer, LABELMAP)
        wanted = [one for one in segmentation.GetSegmentIDsForLayer(layer, LABELMAP) if one in values]
        if not wanted or image.GetPointData().GetScalars() is None or 0 in image.GetDimensions():
            continue
        stored = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
        newValues = np.zeros(np.iinfo(np.uint16).max + 1, dtype=np.uint16)
        for segmentId in wanted:
            newValues[segmentation.GetSegment(segmentId).GetLabelValue()] = values[segmentId]
        labels = newValues[stored.astype(np.uint16, copy=False)]
        yield Segmentation(labels, _geometryOf(image), ())


def addSegmentation(
    scene: slicer.vtkMRMLScene,
    segmentation: Segmentation,
    name: str,
    like: slicer.vtkMRMLScalarVolumeNode,
) -> slicer.vtkMRMLSegmentationNode:
    """Add a segmentation to the scene, on the grid of a volume, beside it and under its transform.

    Args:
        scene: the scene.
        segmentation: labels on the grid of `like`.
        name: name of the new node.
        like: the volume.

    Raises:
        SceneError: the labels are on another grid, or there is not enough memory; the scene is then unchanged.
    """
    image = _sharedImage(segmentation, like, geometryOf(like))
    node = newNode(scene, "vtkMRMLSegmentationNode", name)
    node.GetSegmentation().SetSourceRepresentationName(LABELMAP)
    _fill(node.GetSegmentation(), segmentation, image)
    # Added last, so that observers of the scene never see a segmentation without segments.
    scene.AddNode(node)
    putBeside(node, like)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(like)
    return node


class SegmentationUndo:
    """The way back from `updateSegmentation`, as long as the node exists."""

    def __init__(self, node: slicer.vtkMRMLSegmentationNode) -> None:
        self._node = node
        self._history = slicer.vtkSegmentationHistory()
        self._history.SetSegmentation(node.GetSegmentation())
        self._history.SaveState()

    def undo(self) -> bool:
        """Restore all segments; whether that was possible, as it is once."""
        if self._node.GetScene() is None or not self._history.IsRestorePreviousStateAvailable():
            return False
        with slicer.util.NodeModify(self._node):
            isRestored = bool(self._history.RestorePreviousState())
        self._history.RemoveAllStates()
        return isRestored


def updateSegmentation(
    node: slicer.vtkMRMLSegmentationNode,
    segmentation: Segmentation,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
) -> SegmentationUndo:
    """Replace the segments of a node that have the same names as those of a segmentation, and add the others.

    Segments with other names stay, as do the IDs and the visibility of replaced ones, and the node's transform.

    Args:
        node: the node.
        segmentation: labels on the grid of the volume.
        volumeNode: the volume.

    Returns:
        The way back.

    Raises:
        SceneError: the labels are on another grid, a transform is not linear, or there is not enough memory; the node
            is then unchanged.
    """
    image = _sharedImage(segmentation, volumeNode, _gridOf(volumeNode, node).ijk_to_ras)
    before = SegmentationUndo(node)
    own = node.GetSegmentation()
    representations: list[str] = []
    own.GetContainedRepresentationNames(representations)
    with slicer.util.NodeModify(node):
        if own.GetSourceRepresentationName() != LABELMAP:
            own.CreateRepresentation(LABELMAP)
            own.SetSourceRepresentationName(LABELMAP)
        _fill(own, segmentation, image)
        node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
        own.InvalidateNonSourceRepresentations()
        for representation in representations:
            own.CreateRepresentation(representation)
    return before


def _sharedImage(
    segmentation: Segmentation, volumeNode: slicer.vtkMRMLScalarVolumeNode, ijkToRas: np.ndarray
) -> slicer.vtkOrientedImageData:
    """The labels as an image, cropped to the labelled voxels.

    Raises:
        SceneError: the labels are on another grid than the volume, or there is not enough memory.
    """
    labels, shape = segmentation.labels, volumeNode.GetImageData().GetDimensions()[::-1]
    isSame = labels.shape == shape and np.allclose(segmentation.ijk_to_ras, geometryOf(volumeNode), atol=1e-3)
    if not isSame:
        raise SceneError(sentence("segmentation.other-grid", volume=volumeNode.GetName()))
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        found = np.flatnonzero((labels > 0).any(axis=others))
        # An image needs a voxel, even an empty one.
        box.append((int(found[0]), int(found[-1])) if len(found) else (0, 0))
    part = labels[tuple(slice(first, last + 1) for first, last in box)]
    image = slicer.vtkOrientedImageData()
    image.SetExtent([end for ends in reversed(box) for end in ends])
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(ijkToRas))
    try:
        image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(part).ravel(), deep=True))
    except MemoryError as error:
        raise SceneError(sentence("scene.no-memory", volume=volumeNode.GetName())) from error
    return image


def _fill(
    own: slicer.vtkSegmentation, segmentation: Segmentation, image: slicer.vtkOrientedImageData
) -> None:
    """Add segments that share an image; segments of the same name are replaced."""
    for segment in segmentation.segments:
        segmentId = own.GetSegmentIdBySegmentName(segment.name)
        known = own.GetSegment(segmentId) if segmentId else None
        if known is not None:
            # Its voxels would stay in a label map that it shares with others.
            own.SeparateSegmentLabelmap(segmentId)
        target = slicer.vtkSegment() if known is None else known
        target.SetName(segment.name)
        color = segment.color or (color_of_value(segment.value) if known is None else None)
        if color is not None:
            target.SetColor(*color)
        if segment.terminology:
            target.SetTag(target.GetTerminologyEntryTagName(), segment.terminology)
        target.SetLabelValue(segment.value)
        target.AddRepresentation(LABELMAP, image)
        if known is None:
            own.AddSegment(target)
