"""Section "Display", volume rendering: whether the volume is rendered in 3D beside the mask, and how."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.desktop.parameters import MAESILSlicerParameterNode
from MAESILSlicerLib.desktop.views import renderWindows
from MAESILSlicerLib.rendering import Rendering, usesSoftware
from MAESILSlicerLib.scene import holdsHu
from MAESILSlicerLib.session import Session


class RenderingPanel:
    """Renders the session's volume as the parameter node says, whoever has changed that.

    Args:
        ui: the window's widgets.
        session: whose volume is rendered.
        onFailed: called with a sentence when there is not enough memory.
    """

    def __init__(self, ui: SimpleNamespace, session: Session, onFailed: Callable[[str], None]) -> None:
        self._ui, self._session, self._onFailed = ui, session, onFailed
        self._parameters: MAESILSlicerParameterNode | None = None
        self._rendering: Rendering | None = None
        self._shown: slicer.vtkMRMLScalarVolumeNode | None = None
        self._look: tuple[str, bool] | None = None

    def setParameters(self, parameters: MAESILSlicerParameterNode | None) -> None:
        """Work on another parameter node; None leaves 3D as it is."""
        self._parameters = parameters

    def refresh(self) -> None:
        """Show the parameters, and render what they say."""
        node, parameters = self._session.volumeNode, self._parameters
        reason = self._obstacle()
        for widget, purpose in (
            (self._ui.renderingCheckBox, _("Render the volume in the 3D view, beside the hidden patches.")),
            (
                self._ui.renderingComboBox,
                _("What the volume rendering shows: colours and opacities for HU."),
            ),
        ):
            widget.setEnabled(not reason)
            widget.setToolTip(reason or purpose)
        if node is None or parameters is not None:
            isVisible = parameters is not None and parameters.showRendering and not reason
            preset = parameters.renderingPreset.value if parameters is not None else ""
            self._render(node, preset, isVisible)

    def close(self) -> None:
        """Take the rendering out of the scene."""
        self._parameters = None
        if self._rendering is not None:
            self._rendering.show(None)

    def _obstacle(self) -> str:
        """Why the volume cannot be rendered, "" if it can."""
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
            if not isVisible:
                return
            windows = renderWindows()
            self._rendering = Rendering(
                slicer.mrmlScene,
                slicer.modules.volumerendering.logic(),
                isSoftware=bool(windows) and usesSoftware(windows[0]),
                isVisible=False,
            )
        if node is not self._shown:
            self._shown, self._look = node, None
            self._rendering.show(node if self._session.check.usable else None)
        if preset and self._look != (preset, isVisible):
            self._look = (preset, isVisible)
            try:
                self._rendering.set(preset, 0.0, isVisible)
            except MaesilError as error:
                self._parameters.showRendering = False
                self._onFailed(str(error))
