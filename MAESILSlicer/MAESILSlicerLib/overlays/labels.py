"""Labels i-j-k of superpatches: at their centres in 3D, at their corners in slices, where there is room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import slicer
import vtk

from MAESILSlicerLib.overlays import lattice
from MAESILSlicerLib.overlays.modelnodes import addHidden
from MAESILSlicerLib.overlays.placedgrid import PlacedGrid
from MAESILSlicerLib.overlays.sections import sectionsOf
from MAESILSlicerLib.scene.nodes import newNode, removeNode

LABELS_ROLE, SLICE_LABELS_ROLE = "overlay.labels", "overlay.sliceLabels"

#: More labels in 3D would overlap; then only chosen superpatches are labelled.
MOST_IN_3D = 18
#: Minimum width and height of a label's section, pixels.
LEAST_ROOM = (56, 28)

_INSET = 4.0
_TEXT_SCALE = 2.4


def addLabels(volumeNode: slicer.vtkMRMLVolumeNode) -> slicer.vtkMRMLMarkupsFiducialNode:
    """Add the list of 3D labels, empty until `drawLabels`."""
    node = _addMarkups(volumeNode, LABELS_ROLE, "MAESIL superpatch labels")
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    node.GetDisplayNode().SetVisibility2D(False)
    return node


def drawLabels(node: slicer.vtkMRMLMarkupsFiducialNode, placed: PlacedGrid, indices: Iterable[int]) -> None:
    """Label superpatches at their centres."""
    centersRas = {placed.labelOf(index): placed.centerRas(index) for index in indices}
    if _labelsOn(node) != list(centersRas):
        _write(node, np.array(list(centersRas.values())), list(centersRas))


class SliceLabels:
    """Labels in every slice view; they follow its slice."""

    def __init__(self, placed: PlacedGrid) -> None:
        self._placed = placed
        cornersRas = lattice.cornersRas(lattice.superpatchEdges(placed.grid), placed.ijkToRas)
        self._cornersRas = np.column_stack([cornersRas, np.ones(len(cornersRas))])
        self._isVisible = True
        self._labels: dict[slicer.vtkMRMLSliceNode, slicer.vtkMRMLMarkupsFiducialNode] = {}

    @property
    def isWhole(self) -> bool:
        """Whether all label nodes still exist."""
        return all(
            node.GetScene() is not None and node.GetDisplayNode() is not None
            for node in self._labels.values()
        )

    def setVisible(self, isVisible: bool) -> None:
        """Show or hide all labels."""
        if isVisible != self._isVisible:
            self._isVisible = isVisible
            for sliceNode in self._labels:
                self.follow(sliceNode)

    def remove(self) -> None:
        """Remove the labels."""
        for node in self._labels.values():
            removeNode(node)
        self._labels = {}

    def follow(self, sliceNode: slicer.vtkMRMLSliceNode) -> None:
        """Place the labels of a view, after its slice or the volume has moved."""
        if sliceNode not in self._labels:
            self._labels[sliceNode] = self._addNode(sliceNode)
        node = self._labels[sliceNode]
        xyToWorld = slicer.util.arrayFromVTKMatrix(sliceNode.GetXYToRAS())
        labels, placesXy = self._labelsIn(xyToWorld) if self._isVisible else ([], np.empty((0, 2)))
        if labels == _labelsOn(node) and np.allclose(_seenAt(node, xyToWorld), placesXy, atol=0.5):
            # Labels do not change while the slice moves within its superpatches.
            return
        flat = np.column_stack([placesXy, np.zeros(len(labels)), np.ones(len(labels))])
        _write(node, (flat @ xyToWorld.T)[:, :3], labels)

    def _addNode(self, sliceNode: slicer.vtkMRMLSliceNode) -> slicer.vtkMRMLMarkupsFiducialNode:
        name = f"MAESIL superpatch labels {sliceNode.GetLayoutName()}"
        node = _addMarkups(self._placed.volumeNode, SLICE_LABELS_ROLE, name)
        display = node.GetDisplayNode()
        with slicer.util.NodeModify(display):
            display.SetViewNodeIDs([sliceNode.GetID()])
            display.SetVisibility3D(False)
            # Keep labels visible while the slice moves within the superpatch.
            display.SetSliceProjection(True)
            display.SetSliceProjectionUseFiducialColor(True)
            display.SetSliceProjectionOpacity(1.0)
        return node

    def _labelsIn(self, xyToWorld: np.ndarray) -> tuple[list[str], np.ndarray]:
        """The labels that fit into a view, and their positions, (N, 2) pixels x, y."""
        rasToWorld = self._placed.rasToWorld()
        if rasToWorld is None:
            return [], np.empty((0, 2))
        rasToXy = np.linalg.solve(xyToWorld, rasToWorld)
        cornersXyz = (self._cornersRas @ rasToXy.T)[:, :3]
        sections = sectionsOf(cornersXyz.reshape(*np.add(self._placed.grid.counts, 1), 3))
        hasRoom = (sections.size >= LEAST_ROOM).all(axis=1)
        labels = [self._placed.labelOf(index) for index in sections.index[hasRoom]]
        return labels, sections.topLeft[hasRoom] + (_INSET, -_INSET)


def _addMarkups(
    volumeNode: slicer.vtkMRMLVolumeNode, role: str, name: str
) -> slicer.vtkMRMLMarkupsFiducialNode:
    """Add a locked list of points that shows labels only."""
    node = newNode(volumeNode.GetScene(), "vtkMRMLMarkupsFiducialNode", name)
    node.SetLocked(True)
    display = addHidden(volumeNode, node, role)
    with slicer.util.NodeModify(display):
        display.SetPointLabelsVisibility(True)
        display.SetUseGlyphScale(True)
        display.SetGlyphScale(0.01)
        display.SetTextScale(_TEXT_SCALE)
        display.SetColor(1.0, 1.0, 1.0)
        display.SetSelectedColor(1.0, 1.0, 1.0)
        text = display.GetTextProperty()
        text.SetShadow(True)
        text.SetVerticalJustificationToTop()
    return node


def _labelsOn(node: slicer.vtkMRMLMarkupsFiducialNode) -> list[str]:
    return [node.GetNthControlPointLabel(index) for index in range(node.GetNumberOfControlPoints())]


def _seenAt(node: slicer.vtkMRMLMarkupsFiducialNode, xyToWorld: np.ndarray) -> np.ndarray:
    """The positions of a list's points in a view, (N, 2) pixels x, y."""
    places = slicer.util.arrayFromMarkupsControlPoints(node, world=True).reshape(-1, 3)
    return np.linalg.solve(xyToWorld, np.column_stack([places, np.ones(len(places))]).T)[:2].T


def _write(node: slicer.vtkMRMLMarkupsFiducialNode, places: np.ndarray, labels: Sequence[str]) -> None:
    """Replace the positions and labels of a list of points."""
    if _labelsOn(node) == labels:
        slicer.util.updateMarkupsControlPointsFromArray(node, places)
        return
    with slicer.util.NodeModify(node):
        node.RemoveAllControlPoints()
        for place, label in zip(places, labels, strict=True):
            node.AddControlPoint(vtk.vtkVector3d(*place), label)
