"""Section "Display": what the views show of grid and mask, and volume rendering beside the mask in 3D."""

from __future__ import annotations

from typing import TYPE_CHECKING

import slicer
import vtk
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.panel import Panel
from MAESILSlicerLib.desktop.views import renderWindows
from MAESILSlicerLib.scene.rendering import USUAL_PRESET, Rendering, isReady, usesSoftware
from MAESILSlicerLib.scene.volumes import holdsHu

if TYPE_CHECKING:
    from MAESILSlicerLib.desktop.window import Window


class DisplayPanel(Panel):
    """Renders the session's volume while the module is open.

    Without a parameter node, the 3D view stays unchanged until another volume is chosen.
    """

    uiFile = "Display.ui"
    topics = frozenset({"volume", "choices", "layout"})

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._isEntered = False
        self._firstDrawing = Connections()
        self._rendering: Rendering | None = None
        self._shown: slicer.vtkMRMLScalarVolumeNode | None = None
        self._look: tuple[str, bool] | None = None

    def enter(self) -> None:
        """Allow rendering."""
        self._isEntered = True

    def leave(self) -> None:
        """Hide the rendering, because other modules do not list it and users could not switch it off there."""
        self._isEntered = False
        self.refresh()

    def refresh(self) -> None:
        """Show the parameters and render accordingly."""
        ui, node, parameters = self._ui, self._session.volumeNode, self._parameters
        reason = self._obstacle()
        self.allow(ui.displaySection, unless=self._session.check.problem or "")
        self.allow(ui.renderingCheckBox, ui.renderingComboBox, unless=reason)
        if parameters is not None:
            isVisible = self._isEntered and parameters.showRendering and not reason
            self._render(node, parameters.renderingPreset.value, isVisible)
        elif node is not self._shown:
            # The rendering must not outlive its volume or stay beside the mask of another one.
            self._render(node, USUAL_PRESET, False)

    def close(self) -> None:
        """Remove the rendering from the scene."""
        super().close()
        self._parameters = None
        self._firstDrawing.close()
        if self._rendering is not None:
            self._rendering.show(None)

    def _obstacle(self) -> str:
        """Why the volume cannot be rendered; "" if it can."""
        if self._session.check.problem:
            return self._session.check.problem
        if not holdsHu(self._session.volumeNode):
            return _(
                "The presets are for HU, and this volume has other values; use the module Volume Rendering."
            )
        if not hasattr(slicer.modules, "volumerendering"):
            return _("The module Volume Rendering is switched off in the application's settings.")
        return ""

    def _render(self, node: slicer.vtkMRMLScalarVolumeNode | None, preset: str, isVisible: bool) -> None:
        if self._rendering is None:
            window = self._readyWindow() if isVisible else None
            if window is None:
                return
            self._rendering = Rendering(
                slicer.mrmlScene,
                slicer.modules.volumerendering.logic(),
                isSoftware=usesSoftware(window),
                isVisible=False,
            )
        isNew, look = node is not self._shown, (preset, isVisible)
        if not isNew and look == self._look:
            return
        self._shown, self._look = node, look
        try:
            if isNew:
                # Invisible until the preset is set.
                self._rendering.show(node, isVisible=False)
            self._rendering.set(preset, 0.0, isVisible)
        except MaesilError as error:
            self._parameters.showRendering = False
            self._window.notify(str(error), True)

    def _readyWindow(self) -> vtk.vtkRenderWindow | None:
        """The window of a drawn 3D view, which reports its renderer; None before the first drawing, which refreshes."""
        self._firstDrawing.close()
        windows = renderWindows()
        ready = next(filter(isReady, windows), None)
        if ready is None:
            for window in windows:
                self._firstDrawing.observe(
                    window, vtk.vtkCommand.EndEvent, lambda *_: self._window.schedule("layout")
                )
        return ready
