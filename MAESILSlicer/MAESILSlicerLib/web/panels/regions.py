"""The box that is hidden in place of a drawn mask: its handles in the views, and its numbers beside them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import slicer
import vtk

if TYPE_CHECKING:
    from MAESILSlicerLib.web.application import Application

MODE, TITLE = "roi", "A region (ROI)"
_SMALLEST_MM = 0.1
_SHARE_OF_VOLUME = 0.25


class RegionPanel:
    """Keeps a markups ROI in line with the page; the mask section hides what it covers.

    The state holds `roi_center` and `roi_size`, both along R, A, S in mm.

    Args:
        application: what the sections share.
    """

    def __init__(self, application: Application) -> None:
        self._app = application
        self._node: slicer.vtkMRMLMarkupsROINode | None = None
        self._placedFor: slicer.vtkMRMLScalarVolumeNode | None = None
        application.state.update({"roi_center": [0.0, 0.0, 0.0], "roi_size": [0.0, 0.0, 0.0]})
        application.server.trigger("set_roi")(self.set)
        application.server.trigger("center_roi")(self.center)

    @property
    def isChosen(self) -> bool:
        """Whether the page says that the box is what is hidden."""
        return self._app.state.mode == MODE

    def hide(self) -> None:
        """Have the session hide the box, snapped to whole patches, and write its numbers on the page.

        Raises:
            MaesilError: the box has no voxel of the volume.
        """
        if self._placedFor is not self._app.session.volumeNode:
            self.center()
        node, state = self._node, self._app.state
        center = [0.0] * 3
        node.GetCenterWorld(center)
        state.roi_center = [round(value, 1) for value in center]
        state.roi_size = [round(value, 1) for value in node.GetSize()]
        self._app.session.setRegion(node)

    def showHandles(self) -> None:
        """Show the box while it is chosen; its handles cannot be moved while a job runs."""
        if self._node is not None:
            self._node.SetLocked(self._app.session.isRunning)
            self._node.SetDisplayVisibility(self.isChosen)

    def center(self) -> None:
        """Put the box into the middle of the scan, with a quarter of its size."""
        volumeNode = self._app.session.volumeNode
        if volumeNode is None or self._app.session.isRunning:
            return
        node = self._node = self._node or self._addNode()
        self._placedFor = volumeNode
        bounds = [0.0] * 6
        volumeNode.GetRASBounds(bounds)
        with slicer.util.NodeModify(node):
            node.SetCenterWorld([(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)])
            node.SetSizeWorld(
                [_SHARE_OF_VOLUME * (bounds[2 * axis + 1] - bounds[2 * axis]) for axis in range(3)]
            )

    def set(self, part: str, axis: int, millimetres: float) -> None:
        """Take over a number of the page.

        Args:
            part: "center" or "size"; anything else is ignored, as are values that are no finite numbers.
            axis: 0, 1, 2 for R, A, S.
            millimetres: the position of the centre, or the length of the edge.
        """
        isNumber = isinstance(millimetres, int | float) and math.isfinite(millimetres)
        if self._node is None or self._app.session.isRunning or not isNumber or axis not in (0, 1, 2):
            return
        if part == "center":
            center = [0.0] * 3
            self._node.GetCenterWorld(center)
            center[axis] = float(millimetres)
            self._node.SetCenterWorld(center)
        elif part == "size":
            size = list(self._node.GetSize())
            size[axis] = max(_SMALLEST_MM, float(millimetres))
            self._node.SetSize(size)

    def _addNode(self) -> slicer.vtkMRMLMarkupsROINode:
        scene = self._app.scene
        node = scene.CreateNodeByClass("vtkMRMLMarkupsROINode")
        # CreateNodeByClass hands over a reference that Python does not know of.
        node.UnRegister(None)
        node.SetName("Region")
        scene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        with slicer.util.NodeModify(display):
            display.SetHandlesInteractive(True)
            display.SetTranslationHandleVisibility(True)
            display.SetScaleHandleVisibility(True)
            # A turned box would not be what the numbers say.
            display.SetRotationHandleVisibility(False)
            display.SetPropertiesLabelVisibility(False)
            display.SetFillOpacity(0.1)
        for event in (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLMarkupsNode.PointModifiedEvent):
            node.AddObserver(event, self._onModified)
        return node

    def _onModified(self, _caller: object, _event: str) -> None:
        if self.isChosen and not self._app.session.isRunning:
            self._app.masks.redraw()
