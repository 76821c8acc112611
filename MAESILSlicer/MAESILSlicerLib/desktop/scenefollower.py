"""Keeps the window on the scene's parameter node while scenes are closed, imported and loaded."""

from __future__ import annotations

import slicer

from MAESILSlicerLib.desktop.connections import Connections
from MAESILSlicerLib.desktop.parameters import MAESILSlicerParameterNode
from MAESILSlicerLib.desktop.views import catchUp
from MAESILSlicerLib.desktop.window import Window
from MAESILSlicerLib.scene.nodes import nodesOfClass


class SceneFollower:
    """Connects the scene's parameter node to the widgets while the module is open.

    Args:
        window: the window of the study that follows the parameter node.
    """

    def __init__(self, window: Window) -> None:
        self._window, self._study = window, window.study
        self._isEntered = False
        self._parameters: MAESILSlicerParameterNode | None = None
        self._guiTag: int | None = None
        self._connections = Connections()
        scene = slicer.mrmlScene
        self._connections.observe(scene, scene.StartCloseEvent, self._onStartClose)
        self._connections.observe(scene, scene.StartImportEvent, self._onStartImport)
        # Selectors and views ignore the scene during the batch in which it is closed and loaded. With this low priority
        # they handle the end of the batch first.
        self._connections.observe(scene, scene.EndBatchProcessEvent, self._onEndBatch, priority=-1.0)

    def enter(self) -> None:
        """Called when the module is opened."""
        self._isEntered = True
        self._useParameterNode()
        self._window.enter()

    def leave(self) -> None:
        """Called when another module is opened."""
        self._isEntered = False
        # First, while the parameters exist: this restores the parameters that the comparison changed.
        self._window.leave()
        self._setParameters(None)

    def close(self) -> None:
        """Undo all connections."""
        self._connections.close()
        self.leave()

    def _onStartClose(self, _caller: object, _event: str) -> None:
        self._setParameters(None)
        self._study.follower.follow(None)

    def _onStartImport(self, _caller: object, _event: str) -> None:
        self._setParameters(None)

    def _onEndBatch(self, _caller: object, _event: str) -> None:
        if self._isEntered and self._parameters is None:
            self._useParameterNode()
            catchUp()

    def _useParameterNode(self) -> None:
        """Use the scene's parameter node; the first volume is selected by default."""
        parameters = self._study.parameterNode()
        if parameters.inputVolume is None:
            volumes = nodesOfClass(slicer.mrmlScene, "vtkMRMLScalarVolumeNode")
            # Previews of runs are not saved with the scene, and the next preview removes them.
            usable = (node for node in volumes if node.GetSaveWithScene() and not node.GetHideFromEditors())
            parameters.inputVolume = next(usable, None)
        self._setParameters(parameters)
        self._study.follower.follow(parameters)

    def _setParameters(self, parameters: MAESILSlicerParameterNode | None) -> None:
        if self._parameters is not None:
            self._parameters.disconnectGui(self._guiTag)
        self._parameters = parameters
        if parameters is not None:
            self._guiTag = parameters.connectGui(self._window.ui)
        self._window.setParameters(parameters)
