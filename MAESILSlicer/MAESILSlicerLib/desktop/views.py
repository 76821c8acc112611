"""What the desktop's views show: nothing of it is needed without a main window."""

from __future__ import annotations

import slicer

from MAESILSlicerLib.comparison import VIEWS
from MAESILSlicerLib.nodes import nodesOfClass

_COMPARED = {view.tag for view in VIEWS}


def hasViews() -> bool:
    """Whether this application shows views at all."""
    return slicer.app.layoutManager() is not None


def layoutNode() -> slicer.vtkMRMLLayoutNode | None:
    """What chooses the layout of the views."""
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode") if hasViews() else None


def catchUp() -> None:
    """Have what is drawn in slices follow them: of a slice that was moved in a batch, models hear nothing."""
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
        if logic.GetSliceNode().GetLayoutName() not in _COMPARED
    ]
    if any(volumeNode.GetID() in _shownBy(logic.GetSliceCompositeNode()) for logic in users):
        return
    for logic in users:
        logic.GetSliceCompositeNode().SetBackgroundVolumeID(volumeNode.GetID())
        logic.FitSliceToBackground()
    _lookAt(volumeNode)


def _lookAt(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Have the 3D views show the whole of a volume, and not of all that the scene holds."""
    slicer.util.resetThreeDViews()
    boundsRas = [0.0] * 6
    volumeNode.GetRASBounds(boundsRas)
    layoutManager = slicer.app.layoutManager()
    for index in range(layoutManager.threeDViewCount):
        view = layoutManager.threeDWidget(index).threeDView()
        view.renderWindow().GetRenderers().GetFirstRenderer().ResetCamera(boundsRas)


def _shownBy(composite: slicer.vtkMRMLSliceCompositeNode) -> tuple[str | None, str | None]:
    return composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()
