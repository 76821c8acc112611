"""Section "Volume": the CT and its check."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import slicer
from slicer.i18n import tr as _

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.sentences import translated
from MAESILSlicerLib.desktop.views import fitCameras, showVolume
from MAESILSlicerLib.session.session import Session


class VolumePanel:
    """Shows the check of the chosen volume and loads the sample.

    Args:
        ui: the window's widgets.
        session: the session to show.
        onSample: called with the sample's volume once it is in the scene.
        onFailed: called with a sentence when the sample could not be created.
    """

    def __init__(
        self,
        ui: SimpleNamespace,
        session: Session,
        onSample: Callable[[slicer.vtkMRMLScalarVolumeNode], None],
        onFailed: Callable[[str], None],
    ) -> None:
        self._ui, self._session = ui, session
        self._onSample, self._onFailed = onSample, onFailed
        self._shownNode: slicer.vtkMRMLScalarVolumeNode | None = None
        self._connections = Connections()
        self._connections.connect(ui.sampleButton, "clicked()", self._loadSample)

    def refresh(self) -> None:
        """Show the session's volume."""
        self._ui.volumeInfoLabel.setText(self._description())
        self._showSelector(self._session.isRunning)
        node = self._session.volumeNode
        isNew, self._shownNode = node is not self._shownNode, node
        if self._session.check.usable:
            if isNew:
                showVolume(node)
            # A change of the layout may have added views.
            fitCameras(node)

    def close(self) -> None:
        """Undo all connections."""
        self._connections.close()

    def _showSelector(self, isRunning: bool) -> None:
        for widget, purpose in (
            (
                self._ui.volumeSelector,
                _("The CT to work on. Load your own with Add Data or the DICOM module."),
            ),
            (self._ui.sampleButton, _("Add an artificial CT, made on this computer, to try MAESIL with.")),
        ):
            widget.setEnabled(not isRunning)
            widget.setToolTip(_("The reconstruction of this volume is running.") if isRunning else purpose)

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
            self._onFailed(str(error))
            return
        self._onSample(node)
