"""Which nodes of a scene MAESIL has made, and for which volume: found again also after saving and loading."""

from __future__ import annotations

import slicer

#: Node attribute that says what a node is for.
ROLE_ATTRIBUTE = "MAESIL.role"
#: Node reference to the volume for which the node was made.
INPUT_REFERENCE = "MAESIL.input"


def newNode(scene: slicer.vtkMRMLScene, className: str, name: str | None = None) -> slicer.vtkMRMLNode:
    """Create a node that is not in the scene yet, so that watchers of the scene first see it complete."""
    node = scene.CreateNodeByClass(className)
    # CreateNodeByClass hands over a reference that Python does not know of.
    node.UnRegister(None)
    if name is not None:
        node.SetName(name)
    return node


def markNode(node: slicer.vtkMRMLNode, role: str, inputNode: slicer.vtkMRMLNode | None = None) -> None:
    """Note on a node what it is for and, if it was made for one volume, for which."""
    node.SetAttribute(ROLE_ATTRIBUTE, role)
    node.SetNodeReferenceID(INPUT_REFERENCE, inputNode.GetID() if inputNode is not None else None)


def roleOf(node: slicer.vtkMRMLNode) -> str | None:
    """What MAESIL made this node for; None if it is not MAESIL's."""
    return node.GetAttribute(ROLE_ATTRIBUTE)


def inputOf(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode | None:
    """The volume for which this node was made, while that is in the scene."""
    return node.GetNodeReference(INPUT_REFERENCE)


def findNodes(
    scene: slicer.vtkMRMLScene, role: str, inputNode: slicer.vtkMRMLNode | None = None
) -> list[slicer.vtkMRMLNode]:
    """The nodes of a role, in the scene's order; with `inputNode` only those made for that volume."""
    ours = [node for node in scene.GetNodes() if roleOf(node) == role]
    return [node for node in ours if inputNode is None or inputOf(node) is inputNode]


def nodesOfClass(scene: slicer.vtkMRMLScene, className: str) -> list[slicer.vtkMRMLNode]:
    """The nodes of a class and of those that inherit from it, in the scene's order.

    `GetNodesByClass` hands over a collection that Python does not know it owns, and that keeps every node alive.
    """
    count = scene.GetNumberOfNodesByClass(className)
    return [scene.GetNthNodeByClass(index, className) for index in range(count)]


def leaveOutOfFiles(node: slicer.vtkMRMLNode) -> None:
    """Have saved scenes go without a node and those that serve it alone, as it is made anew from what they hold."""
    for part in (node, *_parts(node)):
        part.SetSaveWithScene(False)


def removeNode(node: slicer.vtkMRMLNode | None) -> None:
    """Take a node out of its scene, with its display and storage nodes; None or one already out is no error."""
    scene = node.GetScene() if node is not None else None
    if scene is None:
        return
    for part in _parts(node):
        if part.GetScene() is scene:
            scene.RemoveNode(part)
    scene.RemoveNode(node)
    hierarchy, item = hierarchyItemOf(scene, node)
    if item:
        # In the application the item goes with its node; without Qt's plugins it would stay, and point nowhere.
        hierarchy.RemoveItem(item, False, False)


def removeNodes(scene: slicer.vtkMRMLScene, role: str, inputNode: slicer.vtkMRMLNode | None = None) -> None:
    """Take the nodes that `findNodes` gives out of the scene."""
    for node in findNodes(scene, role, inputNode):
        removeNode(node)


def hierarchyItemOf(
    scene: slicer.vtkMRMLScene, node: slicer.vtkMRMLNode
) -> tuple[slicer.vtkMRMLSubjectHierarchyNode | None, int]:
    """The subject hierarchy of a scene, if there is one, and the node's item in it; 0 if it has none."""
    hierarchy = scene.GetSubjectHierarchyNode()
    return hierarchy, hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0


def _parts(node: slicer.vtkMRMLNode) -> list[slicer.vtkMRMLNode]:
    """Nodes that serve this one alone: without an application around it a scene leaves them behind."""
    parts = []
    if node.IsA("vtkMRMLDisplayableNode"):
        parts += [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        parts += [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
    return [part for part in parts if part is not None]
