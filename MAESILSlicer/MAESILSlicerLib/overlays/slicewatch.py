"""Follows all slice views of a scene."""

from __future__ import annotations

from collections.abc import Callable

import slicer
import vtk

from MAESILSlicerLib.scene.nodes import nodesOfClass
from MAESILSlicerLib.scene.watch import Observations


class SliceWatch:
    """Calls back for every slice view: at once, when it is added later, and after each change of its slice.

    Args:
        scene: the MRML scene.
        onSlice: called with the view's node.
    """

    def __init__(
        self, scene: slicer.vtkMRMLScene, onSlice: Callable[[slicer.vtkMRMLSliceNode], None]
    ) -> None:
        self._onSlice = onSlice
        self._sliceNodes: list[slicer.vtkMRMLSliceNode] = []
        self._observations = Observations()
        self._observations.add(scene, slicer.vtkMRMLScene.NodeAddedEvent, self._onNodeAdded)
        for sliceNode in nodesOfClass(scene, "vtkMRMLSliceNode"):
            self._follow(sliceNode)

    def notify(self) -> None:
        """Call back for every view again."""
        for sliceNode in self._sliceNodes:
            self._onSlice(sliceNode)

    def stop(self) -> None:
        """Follow no view any more."""
        self._observations.clear()
        self._sliceNodes = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAdded(self, _caller: object, _event: str, node: slicer.vtkMRMLNode) -> None:
        if node.IsA("vtkMRMLSliceNode"):
            self._follow(node)

    def _follow(self, sliceNode: slicer.vtkMRMLSliceNode) -> None:
        self._sliceNodes.append(sliceNode)
        self._observations.add(
            sliceNode, vtk.vtkCommand.ModifiedEvent, lambda node, _event: self._onSlice(node)
        )
        self._onSlice(sliceNode)
