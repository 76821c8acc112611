"""Atomic changes to a scene."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer
import vtk


@contextmanager
def allOrNothing(scene: slicer.vtkMRMLScene) -> Iterator[None]:
    """If the block raises, remove all nodes and subject hierarchy items that it has added."""
    nodesBefore, itemsBefore = _nodeIds(scene), _itemIds(scene)
    try:
        yield
    except BaseException:
        # Items first, without their nodes: after their nodes, only the application's plugins would remove them.
        for item in _itemIds(scene) - itemsBefore:
            scene.GetSubjectHierarchyNode().RemoveItem(item, False, False)
        for nodeId in sorted(_nodeIds(scene) - nodesBefore):
            # The removal of another node may have removed this one.
            if scene.GetNodeByID(nodeId) is not None:
                scene.RemoveNode(scene.GetNodeByID(nodeId))
        raise


def _nodeIds(scene: slicer.vtkMRMLScene) -> set[str]:
    return {node.GetID() for node in scene.GetNodes()}


def _itemIds(scene: slicer.vtkMRMLScene) -> set[int]:
    hierarchy = scene.GetSubjectHierarchyNode()
    if hierarchy is None:
        return set()
    items = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
    return {items.GetId(index) for index in range(items.GetNumberOfIds())}
