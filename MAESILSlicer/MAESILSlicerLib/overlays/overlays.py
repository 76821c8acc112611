"""Superpatches and the mask over a volume: in the slice views and in 3D, exact at the edges of its voxels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import slicer

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import Mask, SuperpatchGrid
from MAESILSlicerLib.overlays import cubes, gridlines, labels, lattice, slicemask
from MAESILSlicerLib.overlays.gridlines import HIGHLIGHT_COLOR
from MAESILSlicerLib.overlays.modelnodes import COLORS_ROLE, addStageColors, pointsOf, setVisible
from MAESILSlicerLib.overlays.placedgrid import PlacedGrid
from MAESILSlicerLib.scene.nodes import findNodes, removeNodes

__all__ = ["HIGHLIGHT_COLOR", "OverlayDisplay", "Overlays"]

#: In the order in which slice views draw them, one over the other.
_ROLES = (
    slicemask.FILL_ROLE,
    slicemask.LINES_ROLE,
    cubes.CUBES_ROLE,
    gridlines.GRID_ROLE,
    gridlines.HIGHLIGHT_ROLE,
    labels.LABELS_ROLE,
)
#: Of these, what shows the mask.
_MASK_ROLES = (slicemask.FILL_ROLE, slicemask.LINES_ROLE, cubes.CUBES_ROLE)


@dataclass(frozen=True)
class OverlayDisplay:
    """What of grid and mask is seen, and how.

    Attributes:
        grid: lines between superpatches.
        labels: i-j-k of superpatches, counted from 0, where there is room for them.
        mask2d: hidden patches in the slice views.
        mask3d: hidden patches in 3D.
        opacity: of the fill in the slice views, 0 to 1. In 3D the cubes are solid, or one could not tell near from far.
        outline: in the slice views hatch the second stage and, where patches are not too many, outline what is hidden.
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
        self._placed: PlacedGrid | None = None
        self._mask: Mask | None = None
        self._highlight: int | None = None
        self._display = OverlayDisplay()
        self._outdated: set[str] = set()
        self._sliceLabels: labels.SliceLabels | None = None
        self._observation: int | None = None

    # What is shown

    def show(self, volumeNode: slicer.vtkMRMLVolumeNode, grid: SuperpatchGrid) -> None:
        """Show the grid of a volume, without a mask, in place of what was shown.

        Raises:
            ConfigError: the grid is not one of this volume.
            SceneError: the volume lies under a transform that is not linear.
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
        """Show which patches are hidden, and by which stage; None shows none.

        Raises:
            ConfigError: no grid is shown, or the mask is not on its lattice.
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
        """Choose what is seen, and how.

        Raises:
            ConfigError: the cubes are to be confined to a superpatch that does not exist.
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
        """Take everything out of the scene, also what an earlier session has left or a file has brought."""
        if self._placed is not None:
            self._placed.volumeNode.RemoveObserver(self._observation)
        self._removeNodes()
        self._placed = self._mask = self._highlight = self._observation = None

    # Where superpatches are

    def superpatchAt(self, ras: Sequence[float]) -> int | None:
        """The superpatch at a point in world RAS mm; None outside the volume, and when nothing is shown."""
        return None if self._placed is None else self._placed.superpatchAt(ras)

    def centerOf(self, index: int) -> tuple[float, float, float]:
        """The centre of a superpatch's middle voxel, in world RAS mm.

        Raises:
            ConfigError: there is no such superpatch.
        """
        return self._shown().centerOf(index)

    def labelOf(self, index: int) -> str:
        """The place of a superpatch as i-j-k, counted from 0, as the views write it.

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
        """The lines between superpatches; like the others None when nothing is shown."""
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
        """The labels of superpatches in 3D; each slice view has some of its own."""
        return self._node(labels.LABELS_ROLE)

    def _node(self, role: str) -> slicer.vtkMRMLDisplayableNode | None:
        """By role and not by reference: a loaded scene brings nodes of its own."""
        return next(iter(findNodes(self.scene, role)), None)

    def _addNodes(self) -> None:
        placed, volumeNode = self._placed, self._placed.volumeNode
        colorNode = addStageColors(volumeNode)
        points = pointsOf(lattice.cornersRas(lattice.patchEdges(placed.grid), placed.ijkToRas))
        slicemask.addFill(volumeNode, points, colorNode)
        slicemask.addLines(volumeNode, points, colorNode)
        cubes.addCubes(placed, points, colorNode)
        gridlines.addGrid(placed)
        gridlines.addHighlight(volumeNode)
        labels.addLabels(volumeNode)
        self._sliceLabels = labels.SliceLabels(placed)
        self._outdated = set(_MASK_ROLES)

    def _removeNodes(self) -> None:
        if self._sliceLabels is not None:
            self._sliceLabels.remove()
        self._sliceLabels = None
        for role in (*_ROLES, labels.SLICE_LABELS_ROLE, COLORS_ROLE):
            removeNodes(self.scene, role)

    def _addMissing(self) -> None:
        """Make all nodes anew if a script or a person has deleted one, hidden as they are."""
        nodes = [self._node(role) for role in _ROLES]
        isWhole = all(node is not None and node.GetDisplayNode() is not None for node in nodes)
        if not isWhole or self._node(COLORS_ROLE) is None or not self._sliceLabels.isWhole:
            self._removeNodes()
            self._addNodes()

    def _refresh(self) -> None:
        """Bring the nodes in line with mask, highlight and display."""
        if self._placed is None:
            return
        self._addMissing()
        display = self._display
        self._refreshMask(self.maskNode, slicemask.FILL_ROLE, slicemask.drawFill, display.mask2d)
        outlined = display.mask2d and display.outline
        self._refreshMask(self.maskLinesNode, slicemask.LINES_ROLE, slicemask.drawLines, outlined)
        self._refreshMask(self.cubesNode, cubes.CUBES_ROLE, cubes.drawCubes, display.mask3d)
        self.maskNode.GetDisplayNode().SetSliceIntersectionOpacity(display.opacity)
        gridlines.drawHighlight(self.highlightNode, self._placed, self._highlight)
        setVisible(self.highlightNode, self._highlight is not None)
        setVisible(self.gridNode, display.grid)
        labels.drawLabels(self.labelsNode, self._placed, self._labelled())
        setVisible(self.labelsNode, display.labels)
        self._sliceLabels.setVisible(display.labels)

    def _refreshMask(
        self, node: slicer.vtkMRMLModelNode, role: str, draw: Callable[..., None], isWanted: bool
    ) -> None:
        """Draw the mask anew if it has changed, and only if it is seen: nothing else takes time."""
        isSeen = isWanted and self._mask is not None
        if isSeen and role in self._outdated:
            isClipped = role == cubes.CUBES_ROLE and self._display.clip is not None
            stages = self._mask.stages
            draw(
                node,
                lattice.onlyInside(stages, self._placed.grid.box(self._display.clip))
                if isClipped
                else stages,
            )
            self._outdated.discard(role)
        setVisible(node, isSeen)

    def _labelled(self) -> Sequence[int]:
        """The superpatches that are labelled in 3D."""
        count = len(self._placed.grid)
        return (
            range(count)
            if count <= labels.MOST_IN_3D
            else sorted({self._highlight, self._display.clip} - {None})
        )

    def _onTransformModified(self, volumeNode: slicer.vtkMRMLVolumeNode, _event: str) -> None:
        """Follow the volume under another parent transform; a change of the same one reaches the nodes by itself."""
        self._refresh()
        for role in _ROLES:
            self._node(role).SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        cubes.cullInside(self.cubesNode, self._placed)
        self._sliceLabels.update()
