"""What the desktop's views show: nothing of it is needed without a main window."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from MAESILSlicerLib.results.comparison import isCompared
from MAESILSlicerLib.scene.nodes import nodesOfClass

#: From a camera to the volume that it was fitted to.
_FITTED_REFERENCE = "MAESIL.fitted"
#: From where a volume is seen at first: left, anterior, superior; no unit.
_DIRECTION_RAS = (-0.6, 1.0, 0.45)
_STRAIGHT_COSINE = 0.999


def hasViews() -> bool:
    """Whether this application shows views at all."""
    return slicer.app.layoutManager() is not None


def layoutNode() -> slicer.vtkMRMLLayoutNode | None:
    """What chooses the layout of the views."""
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode") if hasViews() else None


def catchUp() -> None:
    """Redraw models in the slices: a slice that is moved during a batch sends them no event."""
    for sliceNode in nodesOfClass(slicer.mrmlScene, "vtkMRMLSliceNode"):
        sliceNode.Modified()


def showVolume(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Bring a volume into the user's slice views, unless one of them shows it; those of the comparison stay."""
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
    """Fit each 3D view on the screen to a volume, once; what the user turns afterwards stays.

    A camera that is fitted for the first time and looks straight along an axis is turned, so that depth is seen.
    """
    boundsRas = [0.0] * 6
    volumeNode.GetRASBounds(boundsRas)
    cameraNodes = nodesOfClass(slicer.mrmlScene, "vtkMRMLCameraNode")
    for window in renderWindows():
        renderer = window.GetRenderers().GetFirstRenderer()
        camera = renderer.GetActiveCamera()
        node = next((one for one in cameraNodes if one.GetCamera() is camera), None)
        # A reference is saved with the scene, so that the camera of a loaded scene stays as well.
        if node is None or node.GetNodeReference(_FITTED_REFERENCE) is volumeNode:
            continue
        if node.GetNodeReference(_FITTED_REFERENCE) is None and _isStraight(camera):
            camera.SetPosition(*(np.array(camera.GetFocalPoint()) + _DIRECTION_RAS))
            camera.SetViewUp(0.0, 0.0, 1.0)
        renderer.ResetCamera(boundsRas)
        node.SetNodeReferenceID(_FITTED_REFERENCE, volumeNode.GetID())


def renderWindows() -> list[vtk.vtkRenderWindow]:
    """Those of the 3D views that are on the screen: a view of another layout exists, but has no size yet."""
    if not hasViews():
        return []
    layoutManager = slicer.app.layoutManager()
    widgets = map(layoutManager.threeDWidget, range(layoutManager.threeDViewCount))
    return [widget.threeDView().renderWindow() for widget in widgets if widget.visible]


def _isStraight(camera: vtk.vtkCamera) -> bool:
    return max(map(abs, camera.GetDirectionOfProjection())) > _STRAIGHT_COSINE


def _shownBy(composite: slicer.vtkMRMLSliceCompositeNode) -> tuple[str | None, str | None]:
    return composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()
