"""Observes a region: a ROI or segment that is moved, painted or deleted, or moves relative to its volume."""

from __future__ import annotations

from collections.abc import Callable

import slicer
import vtk

_ROI_EVENTS = (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLMarkupsNode.PointModifiedEvent)
_SEGMENTATION_EVENTS = (
    slicer.vtkSegmentation.SourceRepresentationModified,
    slicer.vtkSegmentation.SegmentModified,
    slicer.vtkSegmentation.SegmentRemoved,
)


class RegionWatch:
    """Observes one region and one volume at a time.

    Args:
        onMoved: called when the region may cover other voxels of the volume.
    """

    def __init__(self, onMoved: Callable[[], None]) -> None:
        self._onMoved = onMoved
        self._watched: tuple[slicer.vtkMRMLNode | None, slicer.vtkMRMLNode | None] = (None, None)
        self._observations: list[tuple[vtk.vtkObject, int]] = []

    def follow(self, region: slicer.vtkMRMLNode | None, volume: slicer.vtkMRMLNode | None) -> None:
        """Observe another region and volume; None observes nothing."""
        if (region, volume) == self._watched:
            return
        for observed, tag in self._observations:
            observed.RemoveObserver(tag)
        self._watched, self._observations = (region, volume), []
        if region is None or volume is None:
            return
        for node in (region, volume):
            self._observe(node, slicer.vtkMRMLTransformableNode.TransformModifiedEvent)
        if region.IsA("vtkMRMLSegmentationNode"):
            for event in _SEGMENTATION_EVENTS:
                self._observe(region.GetSegmentation(), event)
        else:
            for event in _ROI_EVENTS:
                self._observe(region, event)

    def _observe(self, observed: vtk.vtkObject, event: int) -> None:
        self._observations.append((observed, observed.AddObserver(event, self._onEvent)))

    def _onEvent(self, _caller: object, _event: str) -> None:
        self._onMoved()
