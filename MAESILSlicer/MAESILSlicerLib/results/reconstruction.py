"""What a finished job has left in its folder, as nodes beside the volume that it was about: all of them, or none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from MAESILCore.data.volume import Volume
from MAESILCore.errors import ConfigError
from MAESILCore.lattice import SuperpatchGrid
from MAESILCore.report.shading import nice_limit
from MAESILCore.report.summary import DISCLAIMER
from MAESILSlicerLib.results.colors import errorColors, showInColors, uncertaintyColors
from MAESILSlicerLib.results.jobfiles import JobFiles, ResultsError
from MAESILSlicerLib.results.tables import addScoreChart, addScoreTable, addSuperpatchTable
from MAESILSlicerLib.scene.nodes import findNodes, hierarchyItemOf, markNode, removeNode
from MAESILSlicerLib.scene.transaction import allOrNothing
from MAESILSlicerLib.scene.volumes import addVolume, geometryOf, voxelsOf

#: Names of the nodes after the name of the input, by the member of `ResultNodes`, which is also their role.
NAMES = {
    "masked": "masked",
    "reconstruction": "reconstruction",
    "mosaic": "mosaic",
    "error": "error",
    "uncertainty": "uncertainty",
    "metrics": "scores",
    "superpatches": "superpatches",
    "chart": "PSNR by superpatch",
}
#: Members of `ResultNodes` that not every reconstruction has.
OPTIONAL = {"uncertainty", "metrics"}

#: Attribute of the masked volume: of how many masks its mask is the first.
_COUNT_ATTRIBUTE = "MAESIL.masks"
#: A reconstruction refers to its fellows by this and their role.
_FELLOW_REFERENCE = "MAESIL.result."


@dataclass(frozen=True)
class ResultNodes:
    """The nodes of one reconstruction, each with its member's name as its role.

    Attributes:
        masked: the input with the voxels that the first mask hides at the lower end of the model's window.
        reconstruction: what the model made of the volume.
        mosaic: the input where it was visible, the reconstruction where it was hidden.
        error: reconstruction minus input where it was hidden, HU.
        superpatches: the scores of each superpatch.
        chart: a plot of these.
        uncertainty: spread over the masks of a coverage, HU; None for a single mask.
        metrics: the scores of the whole volume; None if they were not asked for.
    """

    masked: slicer.vtkMRMLScalarVolumeNode
    reconstruction: slicer.vtkMRMLScalarVolumeNode
    mosaic: slicer.vtkMRMLScalarVolumeNode
    error: slicer.vtkMRMLScalarVolumeNode
    superpatches: slicer.vtkMRMLTableNode
    chart: slicer.vtkMRMLPlotChartNode
    uncertainty: slicer.vtkMRMLScalarVolumeNode | None = None
    metrics: slicer.vtkMRMLTableNode | None = None

    @property
    def nodes(self) -> list[slicer.vtkMRMLNode]:
        """All that there are."""
        return [node for node in self.byRole.values() if node is not None]

    @property
    def maskCount(self) -> int:
        """How many masks took part; `masked`, `mosaic` and the mask in them are of the first."""
        return int(self.masked.GetAttribute(_COUNT_ATTRIBUTE) or 1)

    @property
    def series(self) -> list[slicer.vtkMRMLPlotSeriesNode]:
        """What the chart plots."""
        return [
            self.chart.GetNthPlotSeriesNode(index) for index in range(self.chart.GetNumberOfPlotSeriesNodes())
        ]

    @property
    def byRole(self) -> dict[str, slicer.vtkMRMLNode | None]:
        """The nodes by their role, in the order in which people look at them."""
        return {role: getattr(self, role) for role in NAMES}


def importResults(
    scene: slicer.vtkMRMLScene, inputNode: slicer.vtkMRMLScalarVolumeNode, folder: Path, note: str = ""
) -> ResultNodes:
    """Put what a finished job has made into the scene, named after its input and beside it.

    Volumes are whole HU (int16) if the input's are, else float32; on the input's grid, under its parent transform,
    and all but the maps in its window. The views keep what they show.

    Args:
        scene: where to.
        inputNode: the volume that was reconstructed.
        folder: the job's.
        note: a sentence that is to be read beside those of the job.

    Raises:
        MaesilError: the results do not fit the volume as it is now, are damaged, or need more memory than there is.
            The scene is then as it was.
    """
    if inputNode is None or inputNode.GetScene() is not scene:
        message = "The volume that was reconstructed is no longer in the scene; its results cannot be shown."
        raise ResultsError(message)
    with allOrNothing(scene):
        return _Import(scene, inputNode, JobFiles(folder), note).run()


def allResults(scene: slicer.vtkMRMLScene, inputNode: slicer.vtkMRMLNode | None = None) -> list[ResultNodes]:
    """The results in a scene that are still complete, oldest first; with `inputNode` only those of that volume.

    They are also found after the scene was saved and loaded.
    """
    found = []
    for reconstruction in findNodes(scene, "reconstruction", inputNode):
        nodes = {role: reconstruction.GetNodeReference(_FELLOW_REFERENCE + role) for role in NAMES}
        if all(nodes[role] is not None for role in NAMES if role not in OPTIONAL):
            found.append(ResultNodes(**nodes))
    return found


def removeResults(results: ResultNodes) -> None:
    """Take the results of one reconstruction out of their scene: nodes, what serves them alone, and their folder."""
    scene = results.reconstruction.GetScene()
    if scene is None:
        return
    hierarchy, item = hierarchyItemOf(scene, results.reconstruction)
    folder = hierarchy.GetItemParent(item) if item else 0
    for node in (*results.series, *results.nodes):
        removeNode(node)
    if folder and folder != hierarchy.GetSceneItemID() and hierarchy.GetNumberOfItemChildren(folder) == 0:
        hierarchy.RemoveItem(folder, False, False)


class _Import:
    """One run of `importResults`."""

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        inputNode: slicer.vtkMRMLScalarVolumeNode,
        files: JobFiles,
        note: str,
    ) -> None:
        self._scene, self._inputNode, self._files = scene, inputNode, files
        self._maskCount = int(files.result.get("masks", 1))
        self._names = _freeNames(scene, inputNode.GetName(), self._maskCount)
        self._shape, kind = voxelsOf(inputNode).shape, voxelsOf(inputNode).dtype.kind
        low, high = inputNode.GetImageData().GetScalarRange()
        self._isWhole = kind in "biu" and low >= -(2**15) and high < 2**15
        self._geometry = geometryOf(inputNode)
        self._description = _describe(inputNode.GetName(), files.result, note)

    def run(self) -> ResultNodes:
        """Make all nodes."""
        try:
            volumes = {role: self._addVolume(role, voxels) for role, voxels in self._volumes()}
        except MemoryError as error:
            message = (
                "There is not enough memory to show the results; close other volumes and reconstruct again."
            )
            raise ResultsError(message) from error
        self._showMaps(volumes)
        results = ResultNodes(**volumes, **self._addTables())
        for role, node in results.byRole.items():
            results.reconstruction.SetNodeReferenceID(
                _FELLOW_REFERENCE + role, node.GetID() if node else None
            )
        for node in results.nodes:
            node.SetDescription(self._description)
        results.masked.SetAttribute(_COUNT_ATTRIBUTE, str(self._maskCount))
        _gather(self._inputNode, self._names["folder"], [*results.nodes, *results.series])
        return results

    def _volumes(self) -> Iterator[tuple[str, np.ndarray]]:
        """Role and voxels, one after the other so that only one needs memory besides the scene's."""
        mosaic = self._stored("mosaic")
        yield "masked", self._masked(mosaic)
        yield "mosaic", mosaic
        del mosaic
        for role in ("reconstruction", "error", "uncertainty"):
            if role != "uncertainty" or self._files.has("uncertainty.npy"):
                yield role, self._stored(role)

    def _stored(self, name: str) -> np.ndarray:
        """A result of the job in the type that it gets in the scene."""
        values = self._files.array(name)
        if values.shape != self._shape:
            message = (
                f'"{self._inputNode.GetName()}" has got another size since its reconstruction was started; '
                "reconstruct it again."
            )
            raise ResultsError(message)
        if not self._isWhole:
            return np.asarray(values, dtype=np.float32)
        limits = np.iinfo(np.int16)
        rounded = np.empty(values.shape, dtype=np.int16)
        for target, plane in zip(rounded, values, strict=True):
            target[...] = np.clip(np.rint(plane), limits.min, limits.max)
        return rounded

    def _masked(self, mosaic: np.ndarray) -> np.ndarray:
        patchSize = self._files.result["patch_size_kji"]
        grid = SuperpatchGrid(self._shape, patchSize, patchSize)
        try:
            isHidden = grid.expand(self._files.array("mask") != 0)
        except ConfigError as error:
            message = "The mask of this reconstruction does not fit the volume; reconstruct again."
            raise ResultsError(message) from error
        return np.where(isHidden, mosaic.dtype.type(self._files.result["window_hu"][0]), mosaic)

    def _addVolume(self, role: str, voxels: np.ndarray) -> slicer.vtkMRMLScalarVolumeNode:
        isMap = role in ("error", "uncertainty")
        volume = Volume(voxels, self._geometry, self._names[role])
        return addVolume(
            self._scene,
            volume,
            self._names[role],
            self._inputNode,
            role=role,
            sameDisplay=not isMap,
            autoWindow=not isMap,
        )

    def _showMaps(self, volumes: dict[str, slicer.vtkMRMLScalarVolumeNode]) -> None:
        error, uncertainty = volumes["error"], volumes.get("uncertainty")
        limit = nice_limit(voxelsOf(error))
        showInColors(error, errorColors(self._scene), (-limit, limit), "Error (HU)")
        if uncertainty is not None:
            limit = nice_limit(voxelsOf(uncertainty))
            showInColors(uncertainty, uncertaintyColors(self._scene), (0.0, limit), "Uncertainty (HU)")

    def _addTables(self) -> dict[str, slicer.vtkMRMLNode]:
        nodes: dict[str, slicer.vtkMRMLNode] = {}
        if self._files.has("metrics.json"):
            nodes["metrics"] = addScoreTable(self._scene, self._names["metrics"], self._files.metrics())
        table = addSuperpatchTable(self._scene, self._names["superpatches"], self._files.superpatches())
        nodes["superpatches"] = table
        nodes["chart"] = addScoreChart(self._scene, self._names["chart"], table)
        for role, node in nodes.items():
            markNode(node, role, self._inputNode)
        return nodes


def maskedTitle(masked: str, maskCount: int) -> str:
    """A title for what shows one mask, with which of the masks of a coverage that is."""
    return masked if maskCount == 1 else f"{masked} (mask 1 of {maskCount})"


def _freeNames(scene: slicer.vtkMRMLScene, inputName: str, maskCount: int) -> dict[str, str]:
    """Names by role that no node has yet; those of a second run all end with 2."""
    number = 1
    words = {
        role: maskedTitle(word, maskCount) if role in ("masked", "mosaic") else word
        for role, word in NAMES.items()
    }
    while True:
        ending = f" {number}" if number > 1 else ""
        names = {role: f"{inputName} {word}{ending}" for role, word in words.items()}
        if not any(scene.GetFirstNodeByName(name) for name in names.values()):
            return names | {"folder": f"{inputName} MAESIL{ending}"}
        number += 1


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


def _describe(inputName: str, result: dict[str, Any], note: str) -> str:
    sentences = [f"{inputName}, filled in by {result['model']}.", note, *result.get("notes", ()), DISCLAIMER]
    return " ".join(filter(None, sentences))
