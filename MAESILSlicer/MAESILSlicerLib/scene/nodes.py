"""Marks the nodes that MAESIL creates and finds them again, also after saving and loading the scene."""

from __future__ import annotations

import slicer

#: Node attribute with a node's role.
ROLE_ATTRIBUTE = "MAESIL.role"
#: Node reference to the node's input volume.
INPUT_REFERENCE = "MAESIL.input"


def newNode(scene: slicer.vtkMRMLScene, className: str, name: str | None = None) -> slicer.vtkMRMLNode:
    """Create a node outside the scene, so that observers of the scene first see it complete."""
    node = scene.CreateNodeByClass(className)
    # CreateNodeByClass returns an extra reference that Python does not release.
    node.UnRegister(None)
    if name is not None:
        node.SetName(name)
    return node


def markNode(node: slicer.vtkMRMLNode, role: str, inputNode: slicer.vtkMRMLNode | None = None) -> None:
    """Store a node's role and, if it has one, its input volume."""
    node.SetAttribute(ROLE_ATTRIBUTE, role)
    node.SetNodeReferenceID(INPUT_REFERENCE, inputNode.GetID() if inputNode is not None else None)


def roleOf(node: slicer.vtkMRMLNode) -> str | None:
    """The node's role; None if MAESIL did not create it."""
    return node.GetAttribute(ROLE_ATTRIBUTE)


def inputOf(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode | None:
    """The node's input volume; None if it has none or that is no longer in the scene."""
    return node.GetNodeReference(INPUT_REFERENCE)


def findNodes(
    scene: slicer.vtkMRMLScene, role: str, inputNode: slicer.vtkMRMLNode | None = None
) -> list[slicer.vtkMRMLNode]:
    """The nodes of a role in scene order; with `inputNode`, only those of that volume."""
    ours = [node for node in scene.GetNodes() if roleOf(node) == role]
    return [node for node in ours if inputNode is None or inputOf(node) is inputNode]


def nodesOfClass(scene: slicer.vtkMRMLScene, className: str) -> list[slicer.vtkMRMLNode]:
    """The nodes of a class and its subclasses in scene order.

    `GetNodesByClass` is avoided: Python does not release the collection it returns, which keeps every node alive.
    """
    count = scene.GetNumberOfNodesByClass(className)
    return [scene.GetNthNodeByClass(index, className) for index in range(count)]


def leaveOutOfFiles(node: slicer.vtkMRMLNode) -> None:
    """Exclude a node and its display and storage nodes from saved scenes, because it is recreated after loading."""
    for part in (node, *_parts(node)):
        part.SetSaveWithScene(False)


def removeNode(node: slicer.vtkMRMLNode | None) -> None:
    """Remove a node with its display and storage nodes from its scene; None or a removed node is ignored."""
    scene = node.GetScene() if node is not None else None
    if scene is None:
        return
    for part in _parts(node):
        if part.GetScene() is scene:
            scene.RemoveNode(part)
    scene.RemoveNode(node)
    hierarchy, item = hierarchyItemOf(scene, node)
    if item:
        # In the application the item is removed with its node; without Qt's plugins it would stay.
        hierarchy.RemoveItem(item, False, False)


def removeNodes(scene: slicer.vtkMRMLScene, role: str, inputNode: slicer.vtkMRMLNode | None = None) -> None:
    """Remove the nodes that `findNodes` returns."""
    for node in findNodes(scene, role, inputNode):
        removeNode(node)


def hierarchyItemOf(
    scene: slicer.vtkMRMLScene, node: slicer.vtkMRMLNode
) -> tuple[slicer.vtkMRMLSubjectHierarchyNode | None, int]:
    """The subject hierarchy of a scene, or None, and the node's item in it, or 0."""
    hierarchy = scene.GetSubjectHierarchyNode()
    return hierarchy, hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0


def putUnder(hierarchy: slicer.vtkMRMLSubjectHierarchyNode, parent: int, node: slicer.vtkMRMLNode) -> None:
    """Move a node below an item of the subject hierarchy."""
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.SetItemParent(item, parent)
    else:
        # Without the application's Qt plugins, nothing else creates items.
        hierarchy.CreateItem(parent, node)


def _parts(node: slicer.vtkMRMLNode) -> list[slicer.vtkMRMLNode]:
    """The node's display and storage nodes, which a scene without the application does not remove."""
    parts = []
    if node.IsA("vtkMRMLDisplayableNode"):
        parts += [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        parts += [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
    return [part for part in parts if part is not None]
