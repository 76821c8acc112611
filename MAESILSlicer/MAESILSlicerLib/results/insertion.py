"""Makes the nodes of one result set: what the importers of all kinds share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import slicer

from MAESILCore.data.volume import Volume
from MAESILSlicerLib.results.jobfiles import JobFiles
from MAESILSlicerLib.results.resultset import ResultKind, ResultSet
from MAESILSlicerLib.scene.nodes import markNode
from MAESILSlicerLib.scene.transforms import putBeside
from MAESILSlicerLib.scene.volumes import addVectorVolume, addVolume, geometryOf


class Insertion:
    """Nodes of one job on their way into a scene. The caller undoes all of it if an exception comes out.

    Args:
        scene: where to.
        kind: of the job.
        inputNode: the volume that the job was about.
        files: of the job.
        note: a sentence that is to be read beside those of the job.

    Attributes:
        scene: as given.
        inputNode: as given.
        files: as given.
        note: as given.
        names: of the nodes by role; no node of the scene has one of them yet.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        kind: ResultKind,
        inputNode: slicer.vtkMRMLScalarVolumeNode,
        files: JobFiles,
        note: str = "",
    ) -> None:
        self.scene, self.inputNode, self.files, self.note = scene, inputNode, files, note
        self._kind = kind
        self._nodes: dict[str, slicer.vtkMRMLNode] = {}
        self._description = ""
        self.names: dict[str, str] = {}
        self._folderName = ""
        self.chooseNames({})

    def chooseNames(self, words: Mapping[str, str]) -> None:
        """Find free names; those of a second run all end with 2.

        Args:
            words: by role, where the kind's words are not those to be used.
        """
        words = {role.name: role.word for role in self._kind.roles} | dict(words)
        before, number = self.inputNode.GetName(), 1
        while True:
            ending = f" {number}" if number > 1 else ""
            self.names = {role: f"{before} {word}{ending}" for role, word in words.items()}
            self._folderName = f"{before} MAESIL{ending}"
            if not any(self.scene.GetFirstNodeByName(name) for name in self.names.values()):
                return
            number += 1

    def describe(self, *sentences: str) -> None:
        """What is to be read about the results; empty sentences are left out."""
        self._description = " ".join(filter(None, sentences))

    def volume(
        self,
        role: str,
        voxels: np.ndarray,
        ijkToRas: np.ndarray | None = None,
        autoWindow: bool = True,
    ) -> slicer.vtkMRMLVolumeNode:
        """Add a volume beside the input and under the same transform.

        Args:
            role: of the new node.
            voxels: (k, j, i) makes a scalar volume, (C, k, j, i) a vector volume; three channels of uint8 are colours.
            ijkToRas: (4, 4) in mm; that of the input by default.
            autoWindow: whether a window is found, which takes seconds; False if the importer sets one.

        Raises:
            SceneError: there is not enough memory.
        """
        name, geometry = self.names[role], geometryOf(self.inputNode) if ijkToRas is None else ijkToRas
        if voxels.ndim == 4:
            node = addVectorVolume(self.scene, voxels, geometry, name, self.inputNode, role)
        else:
            isLikeInput = self._kind.role(role).isLikeInput
            node = addVolume(
                self.scene,
                Volume(voxels, geometry, name),
                name,
                self.inputNode,
                role=role,
                sameDisplay=isLikeInput,
                autoWindow=autoWindow and not isLikeInput,
            )
        self._nodes[role] = node
        return node

    def node(self, role: str, className: str) -> slicer.vtkMRMLNode:
        """Add an empty node of any class, such as vtkMRMLSegmentationNode, under the input's transform if it can be."""
        node = self.scene.AddNewNodeByClass(className, self.names[role])
        if node.IsA("vtkMRMLTransformableNode"):
            putBeside(node, self.inputNode)
        return self.add(role, node)

    def add(self, role: str, node: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode:
        """Take in a node that is in the scene already."""
        markNode(node, role, self.inputNode)
        self._nodes[role] = node
        return node

    def finish(self) -> ResultSet:
        """Describe the nodes, note what belongs together, and gather them in a folder beside their input."""
        results = ResultSet(self._kind, self._nodes)
        results.note()
        for node in results.nodes:
            node.SetDescription(self._description)
        _gather(self.inputNode, self._folderName, [*results.nodes, *results.series])
        return results


def _gather(
    inputNode: slicer.vtkMRMLScalarVolumeNode, folderName: str, nodes: list[slicer.vtkMRMLNode]
) -> None:
    """Put nodes into a new folder of the subject hierarchy, beside their input."""
    hierarchy = inputNode.GetScene().GetSubjectHierarchyNode()
    inputItem = hierarchy.GetItemByDataNode(inputNode) if hierarchy is not None else 0
    if not inputItem:
        return
    folder = hierarchy.CreateFolderItem(hierarchy.GetItemParent(inputItem), folderName)
    for node in nodes:
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.SetItemParent(item, folder)
        else:
            hierarchy.CreateItem(folder, node)
