"""Creates the nodes of one result set; shared by the importers of all kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import slicer

from MAESILCore.data.volume import Volume
from MAESILSlicerLib.results.jobfiles import JobFiles
from MAESILSlicerLib.results.resultset import ResultKind, ResultSet
from MAESILSlicerLib.scene.nodes import hierarchyItemOf, markNode, putUnder
from MAESILSlicerLib.scene.transforms import putBeside
from MAESILSlicerLib.scene.volumes import addVectorVolume, addVolume, geometryOf


@dataclass(eq=False)
class Insertion:
    """Adds the nodes of one job to a scene. The caller must roll back if an exception is raised.

    Attributes:
        scene: the scene that receives the nodes.
        kind: the kind of result.
        inputNode: the job's input volume.
        files: the job's files.
        note: a sentence to add to the description.
        names: node names by role, unique in the scene.
    """

    scene: slicer.vtkMRMLScene
    kind: ResultKind
    inputNode: slicer.vtkMRMLScalarVolumeNode
    files: JobFiles
    note: str = ""
    names: dict[str, str] = field(init=False)
    _nodes: dict[str, slicer.vtkMRMLNode] = field(init=False, default_factory=dict)
    _description: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.chooseNames({})

    def chooseNames(self, words: Mapping[str, str]) -> None:
        """Choose unique names; those of a second job all end with 2.

        Args:
            words: by role, replacements of the kind's words.
        """
        words = {role.name: role.word for role in self.kind.roles} | dict(words)
        before = self.inputNode.GetName()
        for number in count(1):
            ending = f" {number}" if number > 1 else ""
            self.names = {role: f"{before} {word}{ending}" for role, word in words.items()}
            self._folderName = f"{before} MAESIL{ending}"
            if not any(map(self.scene.GetFirstNodeByName, self.names.values())):
                return

    def describe(self, *sentences: str) -> None:
        """Set the description of the results; empty sentences are skipped."""
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
            role: role of the new node.
            voxels: (k, j, i) makes a scalar volume, (C, k, j, i) a vector volume; three channels of uint8 are colours.
            ijkToRas: (4, 4) in mm; that of the input by default.
            autoWindow: whether to compute a window, which takes seconds; False if the importer sets one.

        Raises:
            SceneError: there is not enough memory.
        """
        name, geometry = self.names[role], geometryOf(self.inputNode) if ijkToRas is None else ijkToRas
        if voxels.ndim == 4:
            return self.add(role, addVectorVolume(self.scene, voxels, geometry, name, self.inputNode))
        isLikeInput, volume = self.kind.role(role).isLikeInput, Volume(voxels, geometry)
        return self.add(
            role, addVolume(self.scene, volume, name, self.inputNode, isLikeInput, autoWindow=autoWindow)
        )

    def node(self, role: str, className: str) -> slicer.vtkMRMLNode:
        """Add an empty node of any class, such as vtkMRMLSegmentationNode, under the input's transform if possible."""
        node = self.scene.AddNewNodeByClass(className, self.names[role])
        if node.IsA("vtkMRMLTransformableNode"):
            putBeside(node, self.inputNode)
        return self.add(role, node)

    def add(self, role: str, node: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode:
        """Add a node that is already in the scene."""
        markNode(node, role, self.inputNode)
        self._nodes[role] = node
        return node

    def finish(self) -> ResultSet:
        """Write the description, link the nodes and move them into a folder beside their input."""
        results = ResultSet(self.kind, self._nodes)
        results.link()
        for node in results.nodes:
            node.SetDescription(self._description)
        hierarchy, inputItem = hierarchyItemOf(self.scene, self.inputNode)
        if inputItem:
            folder = hierarchy.CreateFolderItem(hierarchy.GetItemParent(inputItem), self._folderName)
            for node in (*results.nodes, *results.series):
                putUnder(hierarchy, folder, node)
        return results
