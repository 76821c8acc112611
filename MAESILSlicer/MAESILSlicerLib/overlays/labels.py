"""The places i-j-k of superpatches, written where there is room: in 3D at their centres, in slices at their corners."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import slicer
import vtk

from MAESILSlicerLib.overlays import lattice
from MAESILSlicerLib.overlays.placedgrid import PlacedGrid
from MAESILSlicerLib.overlays.sections import sectionsOf
from MAESILSlicerLib.scene.nodes import leaveOutOfFiles, markNode, newNode, nodesOfClass, removeNode

LABELS_ROLE, SLICE_LABELS_ROLE = "overlay.labels", "overlay.sliceLabels"

#: More than this many in 3D would cover each other; then only those of superpatches that were chosen are written.
MOST_IN_3D = 18
#: Pixels of width and height that a label needs to itself.
LEAST_ROOM = (56, 28)

_INSET = 4.0
_TEXT_SCALE = 2.4


def addLabels(volumeNode: slicer.vtkMRMLVolumeNode) -> slicer.vtkMRMLMarkupsFiducialNode:
    """Add a list of labels in 3D, empty until `drawLabels`."""
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
    """Labels in every slice view, which follow its slice."""

    def __init__(self, placed: PlacedGrid) -> None:
        self._placed = placed
        cornersRas = lattice.cornersRas(lattice.superpatchEdges(placed.grid), placed.ijkToRas)
        self._cornersRas = np.column_stack([cornersRas, np.ones(len(cornersRas))])
        self._isVisible = True
        self._labels: dict[slicer.vtkMRMLSliceNode, slicer.vtkMRMLMarkupsFiducialNode] = {}
        self._observations: list[tuple[vtk.vtkObject, int]] = []
        scene = placed.volumeNode.GetScene()
        self._observe(scene, slicer.vtkMRMLScene.NodeAddedEvent, self._onNodeAdded)
        for sliceNode in nodesOfClass(scene, "vtkMRMLSliceNode"):
            self._addView(sliceNode)

    @property
    def isWhole(self) -> bool:
        """Whether all labels are there that were made."""
        return all(
            node.GetScene() is not None and node.GetDisplayNode() is not None
            for node in self._labels.values()
        )

    def setVisible(self, isVisible: bool) -> None:
        """Show or hide all labels."""
        if isVisible != self._isVisible:
            self._isVisible = isVisible
            self.update()

    def update(self) -> None:
        """Put all labels anew, after the volume has moved."""
        for sliceNode in self._labels:
            self._updateView(sliceNode)

    def remove(self) -> None:
        """Take the labels out of the scene and stop following the slices."""
        for source, observation in self._observations:
            source.RemoveObserver(observation)
        for node in self._labels.values():
            removeNode(node)
        self._observations, self._labels = [], {}

    def _observe(self, source: vtk.vtkObject, event: int, callback: object) -> None:
        self._observations.append((source, source.AddObserver(event, callback)))

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAdded(self, _caller: object, _event: str, node: slicer.vtkMRMLNode) -> None:
        if node.IsA("vtkMRMLSliceNode"):
            self._addView(node)

    def _addView(self, sliceNode: slicer.vtkMRMLSliceNode) -> None:
        name = f"MAESIL superpatch labels {sliceNode.GetLayoutName()}"
        node = _addMarkups(self._placed.volumeNode, SLICE_LABELS_ROLE, name)
        display = node.GetDisplayNode()
        with slicer.util.NodeModify(display):
            display.SetViewNodeIDs([sliceNode.GetID()])
            display.SetVisibility3D(False)
            # Drawn at their place in the view however far the slice has moved on within the superpatch.
            display.SetSliceProjection(True)
            display.SetSliceProjectionUseFiducialColor(True)
            display.SetSliceProjectionOpacity(1.0)
        self._labels[sliceNode] = node
        self._observe(sliceNode, vtk.vtkCommand.ModifiedEvent, self._onSliceModified)
        self._updateView(sliceNode)

    def _onSliceModified(self, sliceNode: slicer.vtkMRMLSliceNode, _event: str) -> None:
        self._updateView(sliceNode)

    def _updateView(self, sliceNode: slicer.vtkMRMLSliceNode) -> None:
        node = self._labels[sliceNode]
        xyToWorld = slicer.util.arrayFromVTKMatrix(sliceNode.GetXYToRAS())
        labels, placesXy = self._labelsIn(xyToWorld) if self._isVisible else ([], np.empty((0, 2)))
        if labels == _labelsOn(node) and np.allclose(_seenAt(node, xyToWorld), placesXy, atol=0.5):
            # A slice that moves on within its superpatches shows the same labels at the same places.
            return
        flat = np.column_stack([placesXy, np.zeros(len(labels)), np.ones(len(labels))])
        _write(node, (flat @ xyToWorld.T)[:, :3], labels)

    def _labelsIn(self, xyToWorld: np.ndarray) -> tuple[list[str], np.ndarray]:
        """The labels that have room in a view, and where they begin, in pixels x, y."""
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
    """Add a list of points of which only the labels are seen, and which nobody can grab."""
    scene = volumeNode.GetScene()
    node = newNode(scene, "vtkMRMLMarkupsFiducialNode", name)
    node.SetHideFromEditors(True)
    node.SetLocked(True)
    node.SetSelectable(False)
    scene.AddNode(node)
    markNode(node, role, volumeNode)
    node.CreateDefaultDisplayNodes()
    leaveOutOfFiles(node)
    display = node.GetDisplayNode()
    with slicer.util.NodeModify(display):
        display.SetHideFromEditors(True)
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
    """Where a view shows the points of a list, (N, 2), in pixels x, y."""
    places = slicer.util.arrayFromMarkupsControlPoints(node, world=True).reshape(-1, 3)
    return np.linalg.solve(xyToWorld, np.column_stack([places, np.ones(len(places))]).T)[:2].T


def _write(node: slicer.vtkMRMLMarkupsFiducialNode, places: np.ndarray, labels: Sequence[str]) -> None:
    """Give a list of points other places and labels."""
    if _labelsOn(node) == labels:
        slicer.util.updateMarkupsControlPointsFromArray(node, places)
        return
    with slicer.util.NodeModify(node):
        node.RemoveAllControlPoints()
        for place, label in zip(places, labels, strict=True):
            node.AddControlPoint(vtk.vtkVector3d(*place), label)
