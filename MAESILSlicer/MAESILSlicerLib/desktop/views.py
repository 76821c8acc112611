"""What the desktop's views show: nothing of it is needed without a main window."""

from __future__ import annotations

import slicer

from MAESILSlicerLib.nodes import nodesOfClass


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
    """Bring a volume into the slice views, unless one of them shows it already."""
    if not hasViews() or _isShown(volumeNode):
        return
    slicer.util.setSliceViewerLayers(background=volumeNode, fit=True)
    slicer.util.resetThreeDViews()


def _isShown(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> bool:
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    shown = {
        identity
        for node in composites
        for identity in (node.GetBackgroundVolumeID(), node.GetForegroundVolumeID())
    }
    return volumeNode.GetID() in shown
