"""The mask in the slice views: hidden patches are filled and outlined, the second stage is hatched."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from MAESILCore.lattice import SECOND_STAGE
from MAESILSlicerLib.overlays import lattice
from MAESILSlicerLib.overlays.modelnodes import addModel, cellsOf, colorByStage, drawByStage, pointsOf
from MAESILSlicerLib.overlays.placedgrid import PlacedGrid

FILL_ROLE, LINES_ROLE = "overlay.mask", "overlay.maskLines"

#: Outlines of more patches would be unreadable.
MOST_OUTLINED = 100_000
#: Patches as near to a slice are drawn as well, because rendering rounds.
_TOLERANCE_MM = 1e-2


class SliceMask:
    """Draws the patches that slice views cut, and no others, so that a change of the mask costs little.

    Args:
        placed: the volume's grid.
    """

    def __init__(self, placed: PlacedGrid) -> None:
        self._placed = placed
        self._edges = lattice.patchEdges(placed.grid)
        self._patchesOf: dict[slicer.vtkMRMLSliceNode, np.ndarray] = {}
        self._parts: list[lattice.Part] = []
        self._points, self._place = vtk.vtkPoints(), np.empty(0, dtype=np.int32)

    def follow(self, sliceNode: slicer.vtkMRMLSliceNode) -> bool:
        """Read the slice of a view; return whether other patches must be drawn than before."""
        rasToWorld = self._placed.rasToWorld()
        if rasToWorld is None:
            patches = np.ones(self._placed.grid.lattice_shape, dtype=bool)
        else:
            sliceToWorld = slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS())
            plane = np.linalg.inv(sliceToWorld)[2] @ rasToWorld @ self._placed.ijkToRas
            patches = lattice.patchesOn(self._edges, plane, _TOLERANCE_MM)
        before = self._patchesOf.get(sliceNode)
        if before is not None and np.array_equal(before, patches):
            return False
        self._patchesOf[sliceNode] = patches
        self._parts, drawn = [], np.zeros_like(patches)
        for patches in self._patchesOf.values():
            # Once each: where two views cut the same patch, its translucent fill would be drawn twice.
            if (patches & ~drawn).any():
                self._parts.append(lattice.Part.around(patches & ~drawn))
            drawn |= patches
        # Views transform each point of a model, so it gets only those around its patches, but never none.
        corners = lattice.cornersAround(drawn)
        corners[0, 0, 0] = True
        self._points = pointsOf(self._placed.cornersRas[corners])
        self._place = np.cumsum(corners, dtype=np.int32) - 1
        return True

    def drawFill(self, node: slicer.vtkMRMLModelNode, stages: np.ndarray) -> None:
        """Fill the hidden patches of `stages`, (Dk, Dj, Di)."""
        boxes = [lattice.boxes(stages, part) for part in self._parts]
        self._draw(node, [rows for rows, _ in boxes], [ofStage for _, ofStage in boxes])

    def drawLines(self, node: slicer.vtkMRMLModelNode, stages: np.ndarray) -> None:
        """Hatch the second stage, a cue without colour, and outline hidden patches."""
        shapes, ofStage = [], []
        if stages.size <= MOST_OUTLINED:
            for part in self._parts:
                rows, behind = lattice.outerFaces(stages, part)
                shapes.append(rows)
                ofStage.append(behind)
        for part in self._parts:
            rows = lattice.hatching(stages, part)
            shapes.append(rows)
            ofStage.append(np.full(len(rows), SECOND_STAGE, dtype=np.uint8))
        self._draw(node, shapes, ofStage)

    def _draw(
        self, node: slicer.vtkMRMLModelNode, shapes: list[np.ndarray], ofStage: list[np.ndarray]
    ) -> None:
        stages = np.concatenate([np.empty(0, dtype=np.uint8), *ofStage])
        drawByStage(node, self._points, cellsOf(*(self._place[rows] for rows in shapes)), stages)


def addFill(
    volumeNode: slicer.vtkMRMLVolumeNode, colorNode: slicer.vtkMRMLColorTableNode
) -> slicer.vtkMRMLModelNode:
    """Add a model of solid boxes that slices show filled; empty until `SliceMask.drawFill`."""
    return _addFlat(volumeNode, FILL_ROLE, "MAESIL mask", vtk.vtkUnstructuredGrid(), colorNode)


def addLines(
    volumeNode: slicer.vtkMRMLVolumeNode, colorNode: slicer.vtkMRMLColorTableNode
) -> slicer.vtkMRMLModelNode:
    """Add a model of surfaces that slices show as lines; empty until `SliceMask.drawLines`."""
    return _addFlat(volumeNode, LINES_ROLE, "MAESIL mask outlines", vtk.vtkPolyData(), colorNode)


def _addFlat(
    volumeNode: slicer.vtkMRMLVolumeNode,
    role: str,
    name: str,
    mesh: vtk.vtkPointSet,
    colorNode: slicer.vtkMRMLColorTableNode,
) -> slicer.vtkMRMLModelNode:
    """Add a model that only slice views show."""
    mesh.SetPoints(vtk.vtkPoints())
    node = addModel(volumeNode, role, name, mesh)
    colorByStage(node, colorNode)
    node.GetDisplayNode().SetVisibility3D(False)
    return node
