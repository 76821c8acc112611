"""Overlays of superpatches and mask in the slice views and in 3D, exact at voxel edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import slicer

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import Mask, SuperpatchGrid
from MAESILSlicerLib.overlays import cubes, gridlines, labels, slicemask
from MAESILSlicerLib.overlays.gridlines import HIGHLIGHT_COLOR
from MAESILSlicerLib.overlays.modelnodes import COLORS_ROLE, addStageColors, setVisible
from MAESILSlicerLib.overlays.placedgrid import PlacedGrid
from MAESILSlicerLib.overlays.slicewatch import SliceWatch
from MAESILSlicerLib.scene.nodes import findNodes, removeNodes, roleOf

__all__ = ["HIGHLIGHT_COLOR", "OverlayDisplay", "Overlays"]

#: Roles in the drawing order of slice views.
_ROLES = (
    slicemask.FILL_ROLE,
    slicemask.LINES_ROLE,
    cubes.CUBES_ROLE,
    gridlines.GRID_ROLE,
    gridlines.HIGHLIGHT_ROLE,
    labels.LABELS_ROLE,
)
#: The roles that show the mask.
_MASK_ROLES = (slicemask.FILL_ROLE, slicemask.LINES_ROLE, cubes.CUBES_ROLE)


@dataclass(frozen=True)
class OverlayDisplay:
    """Appearance of grid and mask.

    Attributes:
        grid: lines between superpatches.
        labels: i-j-k of superpatches, counted from 0, where there is room.
        mask2d: hidden patches in the slice views.
        mask3d: hidden patches in 3D.
        opacity: opacity of the fill in the slice views, 0 to 1; the cubes in 3D are solid, so that depth is visible.
        outline: in the slice views, hatch the second stage and, unless there are too many, outline hidden patches.
        clip: the only superpatch whose cubes are shown in 3D; None shows all.
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

    A superpatch's index counts the partition, the grid without overlap, row-major over k, j, i.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self.scene = scene
        self._placed: PlacedGrid | None = None
        self._mask: Mask | None = None
        self._highlight: int | None = None
        self._display = OverlayDisplay()
        self._outdated: set[str] = set()
        self._sliceLabels: labels.SliceLabels | None = None
        self._sliceMask: slicemask.SliceMask | None = None
        self._slices: SliceWatch | None = None
        self._observation: int | None = None

    # What is shown

    def show(self, volumeNode: slicer.vtkMRMLVolumeNode, grid: SuperpatchGrid) -> None:
        """Show the grid of a volume without a mask; this replaces all previous overlays.

        Raises:
            ConfigError: the grid does not fit this volume.
            SceneError: the volume is under a non-linear transform.
        """
        placed, before = PlacedGrid(volumeNode, grid), self._placed
        isSame = before is not None and before.volumeNode is volumeNode and before.grid == placed.grid
        highlight, clip = (self._highlight, self._display.clip) if isSame else (None, None)
        self.remove()
        self._placed, self._highlight = placed, highlight
        self._display = replace(self._display, clip=clip)
        self._addNodes()
        self._observation = volumeNode.AddObserver(
            slicer.vtkMRMLTransformableNode.TransformModifiedEvent, self._onTransformModified
        )
        self._refresh()

    def setMask(self, mask: Mask | None) -> None:
        """Show a mask by its stages; None shows none.

        Raises:
            ConfigError: no grid is shown, or the mask does not fit its patch lattice.
        """
        if mask is not None and mask.shape != self._shown().grid.lattice_shape:
            latticeShape = self._shown().grid.lattice_shape
            message = (
                f"The mask has {mask.shape} patches (k, j, i), but the grid that is shown {latticeShape}."
            )
            raise ConfigError(message)
        self._mask = mask
        self._outdated = set(_MASK_ROLES)
        self._refresh()

    def setHighlight(self, index: int | None) -> None:
        """Outline one superpatch; None outlines none.

        Raises:
            ConfigError: there is no such superpatch.
        """
        if index is not None:
            self._shown().grid.box(index)
        self._highlight = index
        self._refresh()

    @property
    def highlight(self) -> int | None:
        """The outlined superpatch; None if there is none."""
        return self._highlight

    def setDisplay(self, display: OverlayDisplay) -> None:
        """Set the appearance.

        Raises:
            ConfigError: the superpatch of `clip` does not exist.
        """
        if display == self._display:
            return
        if display.clip is not None:
            self._shown().grid.box(display.clip)
        if display.clip != self._display.clip:
            self._outdated.add(cubes.CUBES_ROLE)
        self._display = display
        self._refresh()

    def remove(self) -> None:
        """Remove all overlays from the scene, including those of an earlier session or a loaded file."""
        if self._placed is not None:
            self._placed.volumeNode.RemoveObserver(self._observation)
        self._removeNodes()
        self._placed = self._mask = self._highlight = self._observation = None

    # Where superpatches are

    def superpatchAt(self, ras: Sequence[float]) -> int | None:
        """The superpatch at a point (world RAS, mm); None outside the volume or when nothing is shown."""
        return None if self._placed is None else self._placed.superpatchAt(ras)

    def centerOf(self, index: int) -> tuple[float, float, float]:
        """The centre of a superpatch's middle voxel, in world RAS mm.

        Raises:
            ConfigError: there is no such superpatch.
        """
        return self._shown().centerOf(index)

    def labelOf(self, index: int) -> str:
        """The label i-j-k of a superpatch, counted from 0.

        Raises:
            ConfigError: nothing is shown.
        """
        return self._shown().labelOf(index)

    def _shown(self) -> PlacedGrid:
        if self._placed is None:
            message = "No superpatches are shown; choose a volume first."
            raise ConfigError(message)
        return self._placed

    # The nodes

    @property
    def gridNode(self) -> slicer.vtkMRMLModelNode | None:
        """The lines between superpatches; like all overlay nodes, None when nothing is shown."""
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
        """The labels of superpatches in 3D; slice views have their own labels."""
        return self._node(labels.LABELS_ROLE)

    def _node(self, role: str) -> slicer.vtkMRMLDisplayableNode | None:
        """The node of a role, looked up in the scene because loading replaces nodes."""
        return next(iter(findNodes(self.scene, role)), None)

    def _addNodes(self) -> None:
        placed, volumeNode = self._placed, self._placed.volumeNode
        colorNode = addStageColors(volumeNode)
        slicemask.addFill(volumeNode, colorNode)
        slicemask.addLines(volumeNode, colorNode)
        cubes.addCubes(placed, colorNode)
        gridlines.addGrid(placed)
        gridlines.addHighlight(volumeNode)
        labels.addLabels(volumeNode)
        self._sliceLabels = labels.SliceLabels(placed)
        self._sliceMask = slicemask.SliceMask(placed)
        self._outdated = set(_MASK_ROLES)
        self._slices = SliceWatch(self.scene, self._onSlice)

    def _removeNodes(self) -> None:
        if self._slices is not None:
            self._slices.stop()
            self._sliceLabels.remove()
        self._slices = self._sliceLabels = self._sliceMask = None
        for role in (*_ROLES, labels.SLICE_LABELS_ROLE, COLORS_ROLE):
            removeNodes(self.scene, role)

    def _wholeNodes(self) -> dict[str, slicer.vtkMRMLDisplayableNode]:
        """All nodes by role; they are recreated if a script or the user has deleted one of these hidden nodes."""
        nodes = {roleOf(node): node for node in self.scene.GetNodes()}
        isWhole = all(role in nodes and nodes[role].GetDisplayNode() is not None for role in _ROLES)
        if not isWhole or COLORS_ROLE not in nodes or not self._sliceLabels.isWhole:
            self._removeNodes()
            self._addNodes()
            nodes = {roleOf(node): node for node in self.scene.GetNodes()}
        return nodes

    def _refresh(self) -> None:
        """Update the nodes to mask, highlight and display."""
        if self._placed is None:
            return
        nodes, display = self._wholeNodes(), self._display
        self._refreshSliceMask(nodes[slicemask.FILL_ROLE], nodes[slicemask.LINES_ROLE])
        self._refreshMask(
            nodes[cubes.CUBES_ROLE],
            cubes.CUBES_ROLE,
            lambda node, stages: cubes.drawCubes(node, self._placed, stages, display.clip),
            display.mask3d,
        )
        highlightNode, labelsNode = nodes[gridlines.HIGHLIGHT_ROLE], nodes[labels.LABELS_ROLE]
        gridlines.drawHighlight(highlightNode, self._placed, self._highlight)
        setVisible(highlightNode, self._highlight is not None)
        setVisible(nodes[gridlines.GRID_ROLE], display.grid)
        labels.drawLabels(labelsNode, self._placed, self._labelled())
        setVisible(labelsNode, display.labels)
        self._sliceLabels.setVisible(display.labels)

    def _refreshSliceMask(
        self, fillNode: slicer.vtkMRMLModelNode, linesNode: slicer.vtkMRMLModelNode
    ) -> None:
        display, sliceMask = self._display, self._sliceMask
        self._refreshMask(fillNode, slicemask.FILL_ROLE, sliceMask.drawFill, display.mask2d)
        outlined = display.mask2d and display.outline
        self._refreshMask(linesNode, slicemask.LINES_ROLE, sliceMask.drawLines, outlined)
        fillNode.GetDisplayNode().SetSliceIntersectionOpacity(display.opacity)

    def _refreshMask(
        self,
        node: slicer.vtkMRMLModelNode,
        role: str,
        draw: Callable[[slicer.vtkMRMLModelNode, np.ndarray], None],
        isWanted: bool,
    ) -> None:
        """Redraw the mask only if it has changed and is visible, because this is the slow part."""
        isSeen = isWanted and self._mask is not None
        if isSeen and role in self._outdated:
            draw(node, self._mask.stages)
            self._outdated.discard(role)
        setVisible(node, isSeen)

    def _labelled(self) -> Sequence[int]:
        """The superpatches with a label in 3D."""
        count = len(self._placed.grid)
        return (
            range(count)
            if count <= labels.MOST_IN_3D
            else sorted({self._highlight, self._display.clip} - {None})
        )

    def _onSlice(self, sliceNode: slicer.vtkMRMLSliceNode) -> None:
        """Follow the slice of a view with labels and mask."""
        self._sliceLabels.follow(sliceNode)
        if not self._sliceMask.follow(sliceNode):
            return
        self._outdated |= {slicemask.FILL_ROLE, slicemask.LINES_ROLE}
        fillNode, linesNode = self.maskNode, self.maskLinesNode
        # Deleted nodes are recreated by the next change of the mask or the display.
        if fillNode is not None and linesNode is not None:
            self._refreshSliceMask(fillNode, linesNode)

    def _onTransformModified(self, volumeNode: slicer.vtkMRMLVolumeNode, _event: str) -> None:
        """Follow a new parent transform; changes of the same transform reach the nodes without help."""
        self._refresh()
        for role in _ROLES:
            self._node(role).SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        cubes.cullInside(self.cubesNode, self._placed)
        self._slices.notify()
