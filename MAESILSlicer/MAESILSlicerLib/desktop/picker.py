"""Selects a superpatch by a click in a slice view."""

from __future__ import annotations

from collections.abc import Callable

import slicer
import vtk

from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.views import hasViews
from MAESILSlicerLib.session.session import Session


class SuperpatchPicker:
    """While active, a left click in a slice view selects the superpatch under the pointer.

    Args:
        session: the volume and its grid.
        onPicked: called with the superpatch's index.
    """

    def __init__(self, session: Session, onPicked: Callable[[int], None]) -> None:
        self._session, self._onPicked = session, onPicked
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
        if crosshair is None or not crosshair.GetCursorPositionRAS(ras):
            return
        index = self._session.overlays.superpatchAt((ras[0], ras[1], ras[2]))
        if index is not None:
            self._onPicked(index)
