"""Observes a volume and a region for changes that invalidate what was computed from them."""

from __future__ import annotations

from collections.abc import Callable

import slicer
import vtk

from MAESILSlicerLib.scene.transforms import SceneError, linearTransformToWorld

_MOVED = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
_ROI_EVENTS = (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLMarkupsNode.PointModifiedEvent)
_SEGMENTATION_EVENTS = (
    slicer.vtkSegmentation.SourceRepresentationModified,
    slicer.vtkSegmentation.SegmentModified,
    slicer.vtkSegmentation.SegmentRemoved,
)


class Observations:
    """Observations of VTK events that are removed together."""

    def __init__(self) -> None:
        self._tags: list[tuple[vtk.vtkObject, int]] = []

    def add(self, observed: vtk.vtkObject, event: int, callback: Callable[..., None]) -> None:
        """Call `callback` with the object and the event's name."""
        self._tags.append((observed, observed.AddObserver(event, callback)))

    def clear(self) -> None:
        """Remove all observations."""
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        self._tags = []


class RegionWatch:
    """Observes one ROI or segmentation, and one volume, at a time.

    Args:
        onMoved: called when the region may cover other voxels: it was edited, or one of the two was moved.
    """

    def __init__(self, onMoved: Callable[[], None]) -> None:
        self._onMoved = onMoved
        self._watched: tuple[slicer.vtkMRMLNode | None, slicer.vtkMRMLNode | None] = (None, None)
        self._observations = Observations()

    def follow(self, region: slicer.vtkMRMLNode | None, volume: slicer.vtkMRMLNode | None) -> None:
        """Observe another region and volume; None observes nothing."""
        if (region, volume) == self._watched:
            return
        self._observations.clear()
        self._watched = (region, volume)
        if region is None or volume is None:
            return
        isSegmentation = region.IsA("vtkMRMLSegmentationNode")
        content = region.GetSegmentation() if isSegmentation else region
        events = _SEGMENTATION_EVENTS if isSegmentation else _ROI_EVENTS
        for observed, event in ((region, _MOVED), (volume, _MOVED), *((content, event) for event in events)):
            self._observations.add(observed, event, lambda *_: self._onMoved())


class VolumeWatch:
    """Observes one volume at a time.

    Args:
        onChanged: called when the size or geometry changes, but not when only voxel values change.
        onBent: called when the parent transforms become unusable, or usable again.
    """

    def __init__(self, onChanged: Callable[[], None], onBent: Callable[[], None]) -> None:
        self._onChanged, self._onBent = onChanged, onBent
        self._observations = Observations()
        self._state: tuple[object, ...] = ()
        self._problem = ""

    def follow(self, node: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Observe another volume; None observes none."""
        self._observations.clear()
        if node is not None:
            self._state, self._problem = _stateOf(node), _problemOf(node)
            for event in (vtk.vtkCommand.ModifiedEvent, _MOVED):
                self._observations.add(node, event, self._onModified)

    def _onModified(self, node: slicer.vtkMRMLScalarVolumeNode, _event: str) -> None:
        before = self._state, self._problem
        self._state, self._problem = _stateOf(node), _problemOf(node)
        if self._state != before[0]:
            self._onChanged()
        elif self._problem != before[1]:
            self._onBent()


def _stateOf(node: slicer.vtkMRMLScalarVolumeNode) -> tuple[object, ...]:
    image, ijkToRas = node.GetImageData(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(ijkToRas)
    return (None if image is None else image.GetDimensions(), ijkToRas.GetData())


def _problemOf(node: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Why the parent transforms of a volume make it unusable; "" if they do not."""
    try:
        linearTransformToWorld(node)
    except SceneError as error:
        return str(error)
    return ""
