"""Changes to a scene that are made as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer
import vtk


@contextmanager
def allOrNothing(scene: slicer.vtkMRMLScene) -> Iterator[None]:
    """Take out again all nodes and subject hierarchy items that were added inside, if an exception comes out of it."""
    nodesBefore, itemsBefore = _nodeIds(scene), _itemIds(scene)
    try:
        yield
    except BaseException:
        # Items first, and without their nodes: once those are gone, only the application's plugins remove them.
        for item in _itemIds(scene) - itemsBefore:
            scene.GetSubjectHierarchyNode().RemoveItem(item, False, False)
        for nodeId in sorted(_nodeIds(scene) - nodesBefore):
            # The removal of another one may have taken it along.
            if scene.GetNodeByID(nodeId) is not None:
                scene.RemoveNode(scene.GetNodeByID(nodeId))
        raise


def _nodeIds(scene: slicer.vtkMRMLScene) -> set[str]:
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}


def _itemIds(scene: slicer.vtkMRMLScene) -> set[int]:
    hierarchy = scene.GetSubjectHierarchyNode()
    if hierarchy is None:
        return set()
    items = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
    return {items.GetId(index) for index in range(items.GetNumberOfIds())}
