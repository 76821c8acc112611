"""Masks made by hand: a markups ROI or a segment, snapped to patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import LatticeBox, Mask, SuperpatchGrid, roi_mask_from_label, roi_mask_from_ras_box
from MAESILSlicerLib.scene.segmentations import LABELMAP, emptyImage
from MAESILSlicerLib.scene.transforms import SceneError, geometryOf, linearTransformToWorld
from MAESILSlicerLib.scene.wording import sentence


def maskFromRegion(
    grid: SuperpatchGrid,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    node: slicer.vtkMRMLMarkupsROINode | slicer.vtkMRMLSegmentationNode,
    segmentId: str = "",
) -> Mask:
    """Hide every patch with a voxel centre inside a ROI or a segment.

    Args:
        grid: the volume's grid.
        volumeNode: the volume. Its transforms and those of the region must be linear.
        node: a ROI of either type and in any orientation, or a segmentation. Nodes are not modified, even a
            segmentation that has only surfaces.
        segmentId: the segment's ID, not its name, if `node` is a segmentation.

    Raises:
        ConfigError: `node` is a segmentation and `segmentId` is missing.
        SceneError: the ROI is not placed yet or is inverted, the segment does not exist, the region contains no voxel
            of the volume, or a transform is not linear.
    """
    if not node.IsA("vtkMRMLSegmentationNode"):
        return _maskFromRoi(grid, volumeNode, node)
    if not segmentId:
        raise ConfigError(sentence("region.no-choice"))
    return _maskFromSegment(grid, volumeNode, node, segmentId)


def placeRoi(roiNode: slicer.vtkMRMLMarkupsROINode, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Place a ROI in the centre of a volume, with a quarter of its edge lengths."""
    bounds = [0.0] * 6
    volumeNode.GetRASBounds(bounds)
    low, high = np.array(bounds[::2]), np.array(bounds[1::2])
    with slicer.util.NodeModify(roiNode):
        roiNode.SetCenterWorld((low + high) / 2)
        roiNode.SetSizeWorld((high - low) / 4)


def _maskFromRoi(
    grid: SuperpatchGrid, volumeNode: slicer.vtkMRMLScalarVolumeNode, roiNode: slicer.vtkMRMLMarkupsROINode
) -> Mask:
    cornersRas = _cornersOf(roiNode) @ np.linalg.inv(linearTransformToWorld(volumeNode)).T
    ijkToRas = geometryOf(volumeNode)
    part = _partAround(grid, cornersRas @ np.linalg.inv(ijkToRas).T)
    outside = sentence("region.roi-outside", region=roiNode.GetName(), volume=volumeNode.GetName())
    if part is None:
        raise SceneError(outside)
    try:
        mask = roi_mask_from_ras_box(part.grid, cornersRas[:, :3], ijkToRas @ part.toIjk)
    except ConfigError as error:
        raise SceneError(outside) from error
    return part.paste(mask, grid)


def _maskFromSegment(
    grid: SuperpatchGrid,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    segmentId: str,
) -> Mask:
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    if segment is None:
        names = {"segmentation": segmentationNode.GetName(), "segment": segmentId}
        raise SceneError(sentence("region.no-segment", **names))
    # From the volume's IJK to the segmentation's own frame.
    ijkToRas = np.linalg.solve(
        linearTransformToWorld(segmentationNode), linearTransformToWorld(volumeNode) @ geometryOf(volumeNode)
    )
    image = _labelmapOf(segmentationNode, segmentId, emptyImage(grid.shape, ijkToRas))
    cornersRas = _labelCorners(image)
    part = None if cornersRas is None else _partAround(grid, cornersRas @ np.linalg.inv(ijkToRas).T)
    if part is not None:
        label = _sampled(image, emptyImage(part.grid.shape, ijkToRas @ part.toIjk))
        if label.any():
            return part.paste(roi_mask_from_label(part.grid, label), grid)
    names = {"region": segment.GetName(), "volume": volumeNode.GetName()}
    raise SceneError(sentence("region.segment-outside", **names))


@dataclass(frozen=True)
class _Part:
    """The patches around a region; the rest of the volume is not examined.

    Attributes:
        box: the patches, on the patch lattice of the volume.
        grid: the grid of these patches alone.
        toIjk: (4, 4), from voxel indices of the part to those of the volume.
    """

    box: LatticeBox
    grid: SuperpatchGrid
    toIjk: np.ndarray

    def paste(self, mask: Mask, grid: SuperpatchGrid) -> Mask:
        """Extend a mask of the part to the whole volume."""
        stages = np.zeros(grid.lattice_shape, dtype=np.uint8)
        stages[self.box.slices] = mask.stages
        return Mask(stages)


def _partAround(grid: SuperpatchGrid, cornersIjk: np.ndarray) -> _Part | None:
    """The patches with all voxels between corners, (N, 4) homogeneous IJK; None outside the volume."""
    cornersKji = cornersIjk[:, 2::-1]
    first = np.maximum(np.ceil(cornersKji.min(axis=0) - 1e-6).astype(int), 0) // grid.patch_size
    last = np.minimum(np.floor(cornersKji.max(axis=0) + 1e-6).astype(int), np.subtract(grid.shape, 1))
    stop = last // grid.patch_size + 1
    if (first >= stop).any():
        return None
    start = first * grid.patch_size
    shape = np.minimum(stop * grid.patch_size, grid.shape) - start
    toIjk = np.eye(4)
    toIjk[:3, 3] = start[::-1]
    box = LatticeBox(tuple(first.tolist()), tuple(stop.tolist()))
    return _Part(box, SuperpatchGrid(shape.tolist(), grid.patch_size, grid.patch_size), toIjk)


def _boxCorners(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """(8, 4) homogeneous corners of a box; corner n is at `stop` along axis a if bit a of n is set."""
    isFar = np.array([[index & 1, index >> 1 & 1, index >> 2 & 1] for index in range(8)], dtype=bool)
    return np.column_stack([np.where(isFar, stop, start), np.ones(8)])


def _cornersOf(roiNode: slicer.vtkMRMLMarkupsROINode) -> np.ndarray:
    """The corners of a ROI's box, (8, 4) homogeneous in world RAS, mm."""
    if not roiNode.IsA("vtkMRMLMarkupsROINode"):
        raise SceneError(sentence("region.other-node", node=roiNode.GetName()))
    halfSize = np.array(roiNode.GetSize()) / 2
    if not (halfSize > 0).all():
        raise SceneError(sentence("region.roi-not-placed", region=roiNode.GetName()))
    if roiNode.GetInsideOut():
        raise SceneError(sentence("region.roi-inverted", region=roiNode.GetName()))
    linearTransformToWorld(roiNode)
    return (
        _boxCorners(-halfSize, halfSize) @ slicer.util.arrayFromVTKMatrix(roiNode.GetObjectToWorldMatrix()).T
    )


def _labelmapOf(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    segmentId: str,
    reference: slicer.vtkOrientedImageData,
) -> slicer.vtkOrientedImageData:
    """One segment as an image, 0 outside; a surface is converted on the grid of `reference`."""
    segmentation = segmentationNode.GetSegmentation()
    image = slicer.vtkOrientedImageData()
    if segmentation.ContainsRepresentation(LABELMAP):
        segmentationNode.GetBinaryLabelmapRepresentation(segmentId, image)
        return image
    copied = slicer.vtkSegmentation()
    copied.SetSourceRepresentationName(segmentation.GetSourceRepresentationName())
    copied.CopySegmentFromSegmentation(segmentation, segmentId)
    converter = slicer.vtkSegmentationConverter
    copied.SetConversionParameter(
        converter.GetReferenceImageGeometryParameterName(), converter.SerializeImageGeometry(reference)
    )
    if not copied.CreateRepresentation(LABELMAP):
        name = segmentation.GetSegment(segmentId).GetName()
        raise SceneError(sentence("region.segment-not-converted", region=name))
    image.ShallowCopy(copied.GetSegment(segmentId).GetRepresentation(LABELMAP))
    return image


def _labelCorners(image: slicer.vtkOrientedImageData) -> np.ndarray | None:
    """The corners of the labelled voxels' box, (8, 4) homogeneous in the image's frame; None if there are none."""
    extent = [0] * 6
    hasVoxels = image.GetPointData().GetScalars() is not None
    if not hasVoxels or not slicer.vtkOrientedImageDataResample.CalculateEffectiveExtent(image, extent):
        return None
    imageToRas = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(imageToRas)
    first, last = np.array(extent[::2]), np.array(extent[1::2])
    return _boxCorners(first - 0.5, last + 0.5) @ slicer.util.arrayFromVTKMatrix(imageToRas).T


def _sampled(image: slicer.vtkOrientedImageData, reference: slicer.vtkOrientedImageData) -> np.ndarray:
    """The image resampled on `reference` by nearest neighbour, (k, j, i); 0 outside the image."""
    sampled = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        image, reference, sampled
    )
    return vtk_to_numpy(sampled.GetPointData().GetScalars()).reshape(reference.GetDimensions()[::-1])
