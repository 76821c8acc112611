"""The box that is hidden instead of a drawn mask, with handles in the views and numbers on the page."""

from __future__ import annotations

import math

import slicer

from MAESILSlicerLib.scene.nodes import newNode
from MAESILSlicerLib.scene.regions import placeRoi
from MAESILSlicerLib.session.choices import Region
from MAESILSlicerLib.web.page import Page

MODE = "roi"
_SMALLEST_MM = 0.1


class RegionPanel:
    """Keeps a markups ROI in sync with the page; the session follows it while it is the mask.

    The state holds `roi_center` and `roi_size`, both along R, A, S in mm.

    Args:
        page: the shared objects of the page.
    """

    def __init__(self, page: Page) -> None:
        self._state, self._session = page.state, page.session
        self._node: slicer.vtkMRMLMarkupsROINode | None = None
        self._placedFor: slicer.vtkMRMLScalarVolumeNode | None = None
        page.state.update({"roi_center": [0.0, 0.0, 0.0], "roi_size": [0.0, 0.0, 0.0]})
        page.onTrigger("set_roi", self.set)
        page.onTrigger("center_roi", self.center)

    @property
    def isChosen(self) -> bool:
        """Whether the page's mode is the box."""
        return self._state.mode == MODE

    def choice(self) -> Region:
        """The box; its numbers are written to the page. For a new scan it is placed in the centre."""
        if self._node is None or self._placedFor is not self._session.volumeNode:
            self.center()
        node, state = self._node, self._state
        center = [0.0] * 3
        node.GetCenterWorld(center)
        state.roi_center = [round(value, 1) for value in center]
        state.roi_size = [round(value, 1) for value in node.GetSize()]
        return Region(node)

    def showHandles(self) -> None:
        """Show the box while it is chosen; its handles are locked while a job runs."""
        if self._node is not None:
            self._node.SetLocked(self._session.isRunning)
            self._node.SetDisplayVisibility(self.isChosen)

    def center(self) -> None:
        """Place the box in the centre of the scan, with a quarter of its size."""
        volumeNode = self._session.volumeNode
        if volumeNode is None or self._session.isRunning:
            return
        node = self._node = self._node or self._addNode()
        self._placedFor = volumeNode
        placeRoi(node, volumeNode)

    def set(self, part: str, axis: int, millimetres: float) -> None:
        """Apply a number of the page.

        Args:
            part: "center" or "size"; other parts and non-finite values are ignored.
            axis: 0, 1, 2 for R, A, S.
            millimetres: the position of the centre, or the length of the edge.
        """
        isNumber = isinstance(millimetres, int | float) and math.isfinite(millimetres)
        if self._node is None or self._session.isRunning or not isNumber or axis not in (0, 1, 2):
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
        scene = self._session.scene
        node = newNode(scene, "vtkMRMLMarkupsROINode", "Region")
        scene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        with slicer.util.NodeModify(display):
            display.SetHandlesInteractive(True)
            display.SetTranslationHandleVisibility(True)
            display.SetScaleHandleVisibility(True)
            # The numbers cannot describe a rotated box.
            display.SetRotationHandleVisibility(False)
            display.SetPropertiesLabelVisibility(False)
            display.SetFillOpacity(0.1)
        return node
