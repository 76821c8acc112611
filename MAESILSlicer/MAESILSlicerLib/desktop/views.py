"""Functions for the desktop's views; without a main window, nothing needs them."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from MAESILSlicerLib.results.comparison import isCompared
from MAESILSlicerLib.scene.nodes import nodesOfClass

#: Node reference from a camera to the volume it was fitted to.
_FITTED_REFERENCE = "MAESIL.fitted"
#: Initial viewing direction, from the volume to the camera: left, anterior, superior; no unit.
_DIRECTION_RAS = (-0.6, 1.0, 0.45)
_STRAIGHT_COSINE = 0.999


def hasViews() -> bool:
    """Whether the application has views."""
    return slicer.app.layoutManager() is not None


def layoutNode() -> slicer.vtkMRMLLayoutNode | None:
    """The layout node of the views."""
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode") if hasViews() else None


def catchUp() -> None:
    """Redraw models in the slices, which get no event when a slice moves during a batch."""
    for sliceNode in nodesOfClass(slicer.mrmlScene, "vtkMRMLSliceNode"):
        sliceNode.Modified()


def showVolume(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show a volume in the user's slice views, unless one shows it already; the comparison's views stay."""
    if not hasViews():
        return
    logics = slicer.app.layoutManager().mrmlSliceLogics()
    users = [
        logic
        for logic in map(logics.GetItemAsObject, range(logics.GetNumberOfItems()))
        if not isCompared(logic.GetSliceNode().GetLayoutName())
    ]
    if any(volumeNode.GetID() in _shownBy(logic.GetSliceCompositeNode()) for logic in users):
        return
    for logic in users:
        logic.GetSliceCompositeNode().SetBackgroundVolumeID(volumeNode.GetID())
        logic.FitSliceToBackground()


def fitCameras(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Fit each visible 3D view to a volume once; later changes by the user stay.

    A camera that is fitted for the first time and looks along an axis is turned, so that depth is visible.
    """
    boundsRas = [0.0] * 6
    volumeNode.GetRASBounds(boundsRas)
    cameraNodes = nodesOfClass(slicer.mrmlScene, "vtkMRMLCameraNode")
    for window in renderWindows():
        renderer = window.GetRenderers().GetFirstRenderer()
        camera = renderer.GetActiveCamera()
        node = next((one for one in cameraNodes if one.GetCamera() is camera), None)
        # The reference is saved with the scene, so the camera of a loaded scene stays as well.
        if node is None or node.GetNodeReference(_FITTED_REFERENCE) is volumeNode:
            continue
        if node.GetNodeReference(_FITTED_REFERENCE) is None and _isStraight(camera):
            camera.SetPosition(*(np.array(camera.GetFocalPoint()) + _DIRECTION_RAS))
            camera.SetViewUp(0.0, 0.0, 1.0)
        renderer.ResetCamera(boundsRas)
        node.SetNodeReferenceID(_FITTED_REFERENCE, volumeNode.GetID())


def renderWindows() -> list[vtk.vtkRenderWindow]:
    """The windows of visible 3D views; a view of another layout exists but has no size yet."""
    if not hasViews():
        return []
    layoutManager = slicer.app.layoutManager()
    widgets = map(layoutManager.threeDWidget, range(layoutManager.threeDViewCount))
    return [widget.threeDView().renderWindow() for widget in widgets if widget.visible]


def _isStraight(camera: vtk.vtkCamera) -> bool:
    return max(map(abs, camera.GetDirectionOfProjection())) > _STRAIGHT_COSINE


def _shownBy(composite: slicer.vtkMRMLSliceCompositeNode) -> tuple[str | None, str | None]:
    return composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()
