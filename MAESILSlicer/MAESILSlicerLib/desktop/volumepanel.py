"""Section "Volume": the CT and its check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.desktop.panel import Panel
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.desktop.views import fitCameras, showVolume

if TYPE_CHECKING:
    from MAESILSlicerLib.desktop.window import Window


class VolumePanel(Panel):
    """Shows the check of the chosen volume and loads the sample."""

    uiFile = "Volume.ui"
    topics = frozenset({"volume", "job", "layout"})

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._shownNode: slicer.vtkMRMLScalarVolumeNode | None = None
        self._ui.volumeSelector.setMRMLScene(slicer.mrmlScene)
        self.connect(self._ui.sampleButton, "clicked()", self._loadSample)

    def refresh(self) -> None:
        """Show the session's volume."""
        self._ui.volumeInfoLabel.setText(self._description())
        self.allow(self._ui.volumeSelector, self._ui.sampleButton, unless=self._running())
        node = self._session.volumeNode
        isNew, self._shownNode = node is not self._shownNode, node
        if self._session.check.usable:
            if isNew:
                showVolume(node)
            # A change of the layout may have added views.
            fitCameras(node)

    def _description(self) -> str:
        session = self._session
        if session.volumeNode is None:
            return _("Choose a volume, or load the sample.")
        if session.grid is None:
            return translated(session.check.problem or "")
        size = " x ".join(str(count) for count in reversed(session.grid.shape))
        spacing = " x ".join(f"{edge:.3g}" for edge in session.volumeNode.GetSpacing())
        places = " x ".join(str(count) for count in reversed(session.grid.counts))
        fact = (
            _("{size} voxels of {spacing} mm; 1 superpatch.").format(size=size, spacing=spacing)
            if len(session.grid) == 1
            else _("{size} voxels of {spacing} mm; {places} superpatches.").format(
                size=size, spacing=spacing, places=places
            )
        )
        return "\n".join((fact, *map(translated, session.check.warnings)))

    def _loadSample(self) -> None:
        from MAESILSlicerLib.scene.samples import loadSample

        try:
            with slicer.util.WaitCursor():
                node = loadSample(slicer.mrmlScene)
        except MaesilError as error:
            self._window.notify(str(error), True)
            return
        self._window.system.showStorage()
        if self._parameters is not None:
            self._parameters.inputVolume = node
