"""The mask in 3D: hidden patches as solid cubes, drawn as their outer faces only."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from MAESILSlicerLib.overlays import lattice
from MAESILSlicerLib.overlays.modelnodes import addModel, cellsOf, colorByStage, drawByStage, pointsOf
from MAESILSlicerLib.overlays.placedgrid import PlacedGrid

CUBES_ROLE = "overlay.cubes"


def addCubes(placed: PlacedGrid, colorNode: slicer.vtkMRMLColorTableNode) -> slicer.vtkMRMLModelNode:
    """Add a model of faces, empty until `drawCubes`."""
    mesh = vtk.vtkPolyData()
    mesh.SetPoints(vtk.vtkPoints())
    node = addModel(placed.volumeNode, CUBES_ROLE, "MAESIL mask in 3D", mesh)
    colorByStage(node, colorNode)
    display = node.GetDisplayNode()
    with slicer.util.NodeModify(display):
        display.SetVisibility2D(False)
        display.SetInterpolation(slicer.vtkMRMLDisplayNode.FlatInterpolation)
        display.SetAmbient(0.25)
        display.SetDiffuse(0.8)
        display.SetSpecular(0.0)
    cullInside(node, placed)
    return node


def cullInside(node: slicer.vtkMRMLModelNode, placed: PlacedGrid) -> None:
    """Cull back faces, which is several times faster; call it again when the volume has moved."""
    rasToWorld = placed.rasToWorld()
    # Mirroring inverts every face; warping may invert some.
    handedness = 0.0 if rasToWorld is None else np.linalg.det((rasToWorld @ placed.ijkToRas)[:3, :3])
    display = node.GetDisplayNode()
    display.SetBackfaceCulling(bool(handedness > 0))
    display.SetFrontfaceCulling(bool(handedness < 0))


def drawCubes(
    node: slicer.vtkMRMLModelNode, placed: PlacedGrid, stages: np.ndarray, clip: int | None
) -> None:
    """Show the hidden patches of `stages`, (Dk, Dj, Di); with `clip`, only those of this superpatch."""
    points = placed.points
    if clip is not None:
        box = placed.grid.box(clip)
        k, j, i = (slice(a, b + 1) for a, b in zip(box.start, box.stop, strict=True))
        stages, points = stages[box.slices], pointsOf(placed.cornersRas[k, j, i].reshape(-1, 3))
    faces, ofStage = lattice.outerFaces(closed(stages))
    drawByStage(node, points, cellsOf(faces), ofStage)


def closed(stages: np.ndarray) -> np.ndarray:
    """The stages with enclosed cavities filled, because their faces are never visible."""
    from scipy import ndimage

    cavities, _ = ndimage.label(np.pad(stages == 0, 1, constant_values=True))
    outside = cavities[0, 0, 0]
    hidden = stages.copy()
    hidden[(stages == 0) & (cavities[1:-1, 1:-1, 1:-1] != outside)] = 1
    return hidden
