"""Section "Display": volume rendering of the volume beside the mask in 3D."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import slicer
import vtk
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.parameters import MAESILSlicerParameterNode
from MAESILSlicerLib.desktop.views import renderWindows
from MAESILSlicerLib.scene.rendering import USUAL_PRESET, Rendering, isReady, usesSoftware
from MAESILSlicerLib.scene.volumes import holdsHu
from MAESILSlicerLib.session.session import Session


class RenderingPanel:
    """Renders the session's volume according to the parameter node.

    Args:
        ui: the window's widgets.
        session: the session whose volume is rendered.
        onFailed: called with a sentence when there is not enough memory.
        onReady: called when a 3D view was drawn for the first time; `refresh` can then render the volume.
    """

    def __init__(
        self,
        ui: SimpleNamespace,
        session: Session,
        onFailed: Callable[[str], None],
        onReady: Callable[[], None],
    ) -> None:
        self._ui, self._session, self._onFailed, self._onReady = ui, session, onFailed, onReady
        self._isEntered = False
        self._firstDrawing = Connections()
        self._parameters: MAESILSlicerParameterNode | None = None
        self._rendering: Rendering | None = None
        self._shown: slicer.vtkMRMLScalarVolumeNode | None = None
        self._look: tuple[str, bool] | None = None

    def setParameters(self, parameters: MAESILSlicerParameterNode | None) -> None:
        """Use another parameter node; None keeps the 3D view unchanged until another volume is chosen."""
        self._parameters = parameters

    def enter(self) -> None:
        """Enable rendering when the module is opened; `refresh` then renders the volume if it is switched on."""
        self._isEntered = True

    def leave(self) -> None:
        """Hide the rendering, because other modules do not list it and users could not switch it off there."""
        self._isEntered = False
        self.refresh()

    def refresh(self) -> None:
        """Show the parameters and render accordingly."""
        node, parameters = self._session.volumeNode, self._parameters
        reason = self._obstacle()
        for widget, purpose in (
            (
                self._ui.renderingCheckBox,
                _(
                    "Render the volume in the 3D view, beside the hidden patches, while this module is open. "
                    "Use the module Volume Rendering to keep a rendering."
                ),
            ),
            (
                self._ui.renderingComboBox,
                _("What the volume rendering shows: colours and opacities for HU."),
            ),
        ):
            widget.setEnabled(not reason)
            widget.setToolTip(reason or purpose)
        if parameters is not None:
            isVisible = self._isEntered and parameters.showRendering and not reason
            self._render(node, parameters.renderingPreset.value, isVisible)
        elif node is not self._shown:
            # The rendering must not outlive its volume or stay beside the mask of another one.
            self._render(node, USUAL_PRESET, False)

    def close(self) -> None:
        """Remove the rendering from the scene."""
        self._parameters = None
        self._firstDrawing.close()
        if self._rendering is not None:
            self._rendering.show(None)

    def _obstacle(self) -> str:
        """Why the volume cannot be rendered; "" if it can."""
        if not self._session.check.usable:
            return _("Choose a volume that can be used first.")
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
            self._onFailed(str(error))

    def _readyWindow(self) -> vtk.vtkRenderWindow | None:
        """The window of a drawn 3D view, which reports its renderer; None until `onReady` is called."""
        self._firstDrawing.close()
        windows = renderWindows()
        ready = next(filter(isReady, windows), None)
        if ready is None:
            for window in windows:
                self._firstDrawing.observe(window, vtk.vtkCommand.EndEvent, lambda *_: self._onReady())
        return ready
