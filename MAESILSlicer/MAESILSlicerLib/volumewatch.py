"""Notices when a volume is cropped, resampled or moved in place, after which nothing that was drawn on it fits."""

from __future__ import annotations

from collections.abc import Callable

import slicer
import vtk


class VolumeWatch:
    """Watches one volume at a time.

    Args:
        onChanged: called when its voxels have another number or another place; not when only their values change.
    """

    def __init__(self, onChanged: Callable[[], None]) -> None:
        self._onChanged = onChanged
        self._node: slicer.vtkMRMLScalarVolumeNode | None = None
        self._observation: int | None = None
        self._state: tuple[object, ...] = ()

    def follow(self, node: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Watch another volume, or none."""
        if self._node is not None:
            self._node.RemoveObserver(self._observation)
        self._node = node
        if node is not None:
            self._state = _stateOf(node)
            self._observation = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onModified)

    def _onModified(self, _caller: object, _event: str) -> None:
        state = _stateOf(self._node)
        if state != self._state:
            self._state = state
            self._onChanged()


def _stateOf(node: slicer.vtkMRMLScalarVolumeNode) -> tuple[object, ...]:
    image, ijkToRas = node.GetImageData(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(ijkToRas)
    return (None if image is None else image.GetDimensions(), ijkToRas.GetData())
