"""Observes a volume for changes that invalidate its overlays: geometry, size or a non-linear transform."""

from __future__ import annotations

from collections.abc import Callable

import slicer
import vtk

from MAESILSlicerLib.scene.transforms import SceneError, linearTransformToWorld

_EVENTS = (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLTransformableNode.TransformModifiedEvent)


class VolumeWatch:
    """Observes one volume at a time.

    Args:
        onChanged: called when the size or geometry changes, but not when only voxel values change.
        onBent: called when the parent transforms become unusable, or usable again.
    """

    def __init__(self, onChanged: Callable[[], None], onBent: Callable[[], None]) -> None:
        self._onChanged, self._onBent = onChanged, onBent
        self._node: slicer.vtkMRMLScalarVolumeNode | None = None
        self._observations: list[int] = []
        self._state: tuple[object, ...] = ()
        self._problem = ""

    def follow(self, node: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Observe another volume; None observes none."""
        for observation in self._observations:
            self._node.RemoveObserver(observation)
        self._node, self._observations = node, []
        if node is not None:
            self._state, self._problem = _stateOf(node), _problemOf(node)
            self._observations = [node.AddObserver(event, self._onModified) for event in _EVENTS]

    def _onModified(self, _caller: object, _event: str) -> None:
        before = self._state, self._problem
        self._state, self._problem = _stateOf(self._node), _problemOf(self._node)
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
