"""Superpatches and the mask over a volume: in the slice views and in 3D, exact at the edges of its voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import slicer

from MAESILCore.errors import ConfigError
from MAESILCore.masking import Mask
from MAESILCore.superpatch import LatticeBox, SuperpatchGrid
from MAESILSlicerLib import cubes, gridlines, labels, lattice, slicemask
from MAESILSlicerLib.gridlines import HIGHLIGHT_COLOR
from MAESILSlicerLib.modelnodes import COLORS_ROLE, STAGE_COLORS, addStageColors, pointsOf
from MAESILSlicerLib.nodes import findNodes, removeNodes
from MAESILSlicerLib.scene import geometryOf, linearTransformToWorld

__all__ = ["HIGHLIGHT_COLOR", "STAGE_COLORS", "OverlayDisplay", "Overlays"]

#: In the order in which slice views draw them, one over the other.
_ROLES = (
    slicemask.FILL_ROLE,
    slicemask.LINES_ROLE,
    cubes.CUBES_ROLE,
    gridlines.GRID_ROLE,
    gridlines.HIGHLIGHT_ROLE,
    labels.LABELS_ROLE,
)


@dataclass(frozen=True)
class OverlayDisplay:
    """What of grid and mask is seen, and how.

    Attributes:
        grid: lines between superpatches.
        labels: i-j-k of superpatches, counted from 0, where there is room for them.
        mask2d: hidden patches in the slice views.
        mask3d: hidden patches in 3D.
        opacity: of the fill in the slice views, 0 to 1. In 3D the cubes are solid, or one could not tell near from far.
        outline: outlines in the slice views, and hatching of the second stage.
        clip: the superpatch to which the cubes in 3D are confined; None shows all.
    """

    grid: bool = True
    labels: bool = True
    mask2d: bool = True
    mask3d: bool = True
    opacity: float = 0.35
    outline: bool = True
    clip: int | None = None


class Overlays:
    """Grid, mask and highlight of one volume at a time, as nodes of a scene.

    A superpatch's index is its place in the partition, the grid without overlap, row-major over k, j, i.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self.scene = scene
        self._display = OverlayDisplay()
        self._volumeNode: slicer.vtkMRMLVolumeNode | None = None
        self._grid: SuperpatchGrid | None = None
        self._ijkToRas = np.eye(4)
        self._mask: Mask | None = None
        self._highlight: int | None = None
        self._outdated: set[str] = set()
        self._observation: int | None = None
        self._sliceLabels: labels.SliceLabels | None = None

    # What is shown

    def show(self, volumeNode: slicer.vtkMRMLVolumeNode, grid: SuperpatchGrid) -> None:
        """Show the grid of a volume, without a mask, in place of what was shown.

        Raises:
            ConfigError: the grid is not one of this volume.
            SceneError: the volume lies under a transform that is not linear.
        """
        if volumeNode.GetImageData().GetDimensions()[::-1] != grid.shape:
            message = (
                f'The grid is made for {grid.shape} voxels (k, j, i), which "{volumeNode.GetName()}" has not.'
            )
            raise ConfigError(message)
        linearTransformToWorld(volumeNode)
        isAnother = volumeNode is not self._volumeNode or grid.without_overlap() != self._grid
        highlight = None if isAnother else self._highlight
        clip = None if isAnother else self._display.clip
        self.remove()
        self._volumeNode, self._grid = volumeNode, grid.without_overlap()
        self._ijkToRas = geometryOf(volumeNode)
        self._display, self._highlight = replace(self._display, clip=clip), highlight
        self._observation = volumeNode.AddObserver(
            slicer.vtkMRMLTransformableNode.TransformModifiedEvent, self._onTransformModified
        )
        points = pointsOf(lattice.cornersRas(lattice.patchEdges(grid), self._ijkToRas))
        colorNode = addStageColors(volumeNode)
        slicemask.addFill(volumeNode, points, colorNode)
        slicemask.addLines(volumeNode, points, colorNode)
        cubes.addCubes(volumeNode, points, colorNode)
        gridlines.addGrid(volumeNode, self._grid, self._ijkToRas)
        gridlines.addHighlight(volumeNode)
        labels.addLabels(volumeNode)
        self._sliceLabels = labels.SliceLabels(volumeNode, self._grid, self._ijkToRas)
        self._refresh()

    def setMask(self, mask: Mask | None) -> None:
        """Show which patches are hidden, and by which stage; None shows none.

        Raises:
            ConfigError: no grid is shown, or the mask is not on its lattice.
        """
        if mask is not None and (self._grid is None or mask.shape != self._grid.lattice_shape):
            found = "none is shown" if self._grid is None else f"the grid has {self._grid.lattice_shape}"
            message = (
                f"The mask has {mask.shape} patches (k, j, i), but {found}; show the mask's own grid first."
            )
            raise ConfigError(message)
        self._mask = mask
        self._outdated = {slicemask.FILL_ROLE, slicemask.LINES_ROLE, cubes.CUBES_ROLE}
        self._refresh()

    def setHighlight(self, index: int | None) -> None:
        """Outline one superpatch; None outlines none.

        Raises:
            ConfigError: there is no such superpatch.
        """
        if index is not None:
            self._box(index)
        self._highlight = index
        self._refresh()

    def setDisplay(self, display: OverlayDisplay) -> None:
        """Choose what is seen, and how.

        Raises:
            ConfigError: the cubes are to be confined to a superpatch that there is not.
        """
        if display.clip is not None:
            self._box(display.clip)
        if display.clip != self._display.clip:
            self._outdated.add(cubes.CUBES_ROLE)
        self._display = display
        self._refresh()

    def remove(self) -> None:
        """Take everything out of the scene, also what an earlier session has left or a file has brought."""
        if self._volumeNode is not None and self._observation is not None:
            self._volumeNode.RemoveObserver(self._observation)
        self._volumeNode = self._grid = self._mask = self._highlight = self._observation = None
        self._outdated = set()
        if self._sliceLabels is not None:
            self._sliceLabels.remove()
            self._sliceLabels = None
        for role in (*_ROLES, labels.SLICE_LABELS_ROLE, COLORS_ROLE):
            removeNodes(self.scene, role)

    # Where superpatches are

    def superpatchAt(self, ras: Sequence[float]) -> int | None:
        """The superpatch at a point in world RAS mm; None outside the volume and when nothing is shown."""
        if self._grid is None:
            return None
        ijkToWorld = linearTransformToWorld(self._volumeNode) @ self._ijkToRas
        i, j, k = np.linalg.solve(ijkToWorld, [*ras, 1.0])[:3]
        place = [
            int((index + 0.5) // size)
            for index, size in zip((k, j, i), self._grid.superpatch_size, strict=True)
        ]
        if any(
            not -0.5 <= index < size - 0.5 for index, size in zip((k, j, i), self._grid.shape, strict=True)
        ):
            return None
        return int(np.ravel_multi_index(place, self._grid.counts))

    def centerOf(self, index: int) -> tuple[float, float, float]:
        """The centre of the middle voxel of a superpatch, in world RAS mm: a slice there lies between no two patches.

        Raises:
            ConfigError: there is no such superpatch.
        """
        rasToWorld = linearTransformToWorld(self._volumeNode)
        right, anterior, superior = (rasToWorld @ [*self._centerRas(index), 1.0])[:3].tolist()
        return right, anterior, superior

    def _centerRas(self, index: int) -> np.ndarray:
        """As `centerOf`, in the volume's own RAS."""
        voxels = self._box(index).voxel_slices(self._grid.patch_size, self._grid.shape)
        middleKji = [(part.start + part.stop) // 2 for part in voxels]
        return (self._ijkToRas @ [*reversed(middleKji), 1.0])[:3]

    def _box(self, index: int) -> LatticeBox:
        if self._grid is None:
            message = "No superpatches are shown; choose a volume first."
            raise ConfigError(message)
        return self._grid.box(index)

    # The nodes

    @property
    def gridNode(self) -> slicer.vtkMRMLModelNode | None:
        """The lines between superpatches; None when nothing is shown."""
        return self._node(gridlines.GRID_ROLE)

    @property
    def maskNode(self) -> slicer.vtkMRMLModelNode | None:
        """The filled patches in the slice views."""
        return self._node(slicemask.FILL_ROLE)

    @property
    def maskLinesNode(self) -> slicer.vtkMRMLModelNode | None:
        """The outlined and hatched patches in the slice views."""
        return self._node(slicemask.LINES_ROLE)

    @property
    def cubesNode(self) -> slicer.vtkMRMLModelNode | None:
        """The hidden patches in 3D."""
        return self._node(cubes.CUBES_ROLE)

    @property
    def highlightNode(self) -> slicer.vtkMRMLModelNode | None:
        """The box around one superpatch."""
        return self._node(gridlines.HIGHLIGHT_ROLE)

    @property
    def labelsNode(self) -> slicer.vtkMRMLMarkupsFiducialNode | None:
        """The labels of the superpatches in 3D; each slice view has some of its own."""
        return self._node(labels.LABELS_ROLE)

    def _node(self, role: str) -> slicer.vtkMRMLModelNode | None:
        """By role and not by reference: a loaded scene brings nodes of its own."""
        return next(iter(findNodes(self.scene, role)), None)

    def _refresh(self) -> None:
        """Bring the nodes in line with mask, highlight and display; what is not seen is not drawn."""
        if self._grid is None:
            return
        hasMask, display = self._mask is not None, self._display
        for role, draw, seen in (
            (slicemask.FILL_ROLE, slicemask.drawFill, hasMask and display.mask2d),
            (slicemask.LINES_ROLE, slicemask.drawLines, hasMask and display.mask2d and display.outline),
            (cubes.CUBES_ROLE, cubes.drawCubes, hasMask and display.mask3d),
        ):
            node = self._node(role)
            if seen and role in self._outdated:
                draw(node, self._stagesFor(role))
                self._outdated.discard(role)
            _setVisible(node, seen and role != cubes.CUBES_ROLE, seen and role == cubes.CUBES_ROLE)
        self.maskNode.GetDisplayNode().SetSliceIntersectionOpacity(display.opacity)
        _setVisible(self.gridNode, display.grid, display.grid)
        highlighted = self._highlight is not None
        gridlines.drawHighlight(self.highlightNode, self._grid, self._highlight, self._ijkToRas)
        _setVisible(self.highlightNode, highlighted, highlighted)
        labels.drawLabels(
            self.labelsNode, {labels.labelOf(self._grid, n): self._centerRas(n) for n in self._labelled()}
        )
        _setVisible(self.labelsNode, False, display.labels)
        self._sliceLabels.setVisible(display.labels)

    def _labelled(self) -> Sequence[int]:
        """The superpatches that are labelled in 3D."""
        if len(self._grid) <= labels.MOST_IN_3D:
            return range(len(self._grid))
        return sorted({self._highlight, self._display.clip} - {None})

    def _stagesFor(self, role: str) -> np.ndarray:
        clip = self._display.clip
        if role != cubes.CUBES_ROLE or clip is None:
            return self._mask.stages
        return lattice.onlyInside(self._mask.stages, self._grid.box(clip))

    def _onTransformModified(self, _caller: object, _event: str) -> None:
        """Follow the volume under another parent transform; a change of the same one reaches the nodes by itself."""
        transformId = self._volumeNode.GetTransformNodeID()
        for role in _ROLES:
            node = self._node(role)
            if node is not None and node.GetTransformNodeID() != transformId:
                node.SetAndObserveTransformNodeID(transformId)
        self._sliceLabels.update()


def _setVisible(node: slicer.vtkMRMLModelNode, inSlices: bool, in3d: bool) -> None:
    display = node.GetDisplayNode()
    with slicer.util.NodeModify(display):
        display.SetVisibility2D(inSlices)
        display.SetVisibility3D(in3d)
