"""Picks a point by a click in a slice view."""

from __future__ import annotations

from collections.abc import Callable

import slicer
import vtk

from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.views import hasViews


class SlicePicker:
    """While active, a left click in a slice view picks the point under the pointer.

    Args:
        onPicked: called with the point, in RAS of the scene, mm.
    """

    def __init__(self, onPicked: Callable[[tuple[float, float, float]], None]) -> None:
        self._onPicked = onPicked
        self._connections = Connections()

    @property
    def isPossible(self) -> bool:
        """Whether the application has slice views."""
        return hasViews()

    def setActive(self, isActive: bool) -> None:
        """Start or stop handling clicks."""
        self._connections.close()
        if not (isActive and hasViews()):
            return
        manager = slicer.app.layoutManager()
        for name in manager.sliceViewNames():
            interactor = manager.sliceWidget(name).sliceView().interactor()
            self._connections.observe(interactor, vtk.vtkCommand.LeftButtonPressEvent, self._onClick)

    def _onClick(self, _caller: object, _event: str) -> None:
        # The crosshair node follows the mouse in every view.
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        ras = [0.0, 0.0, 0.0]
        if crosshair is not None and crosshair.GetCursorPositionRAS(ras):
            self._onPicked((ras[0], ras[1], ras[2]))
