"""Shows a volume and its results side by side in linked slice views, then restores the user's layout."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import NamedTuple

import numpy as np
import slicer
import vtk

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.results.colors import showLegend
from MAESILSlicerLib.results.layouts import LayoutSwitch
from MAESILSlicerLib.results.resultset import FIRST_KIND, KINDS, ResultSet, Role
from MAESILSlicerLib.results.wording import sentence
from MAESILSlicerLib.scene.nodes import nodesOfClass
from MAESILSlicerLib.scene.volumes import checkVolume, geometryOf, linearTransformToWorld

#: Number of the layout in a vtkMRMLLayoutNode.
LAYOUT_ID = 62745
#: Link group of the views; scrolling in them does not move the user's own views.
VIEW_GROUP = 62745

ORIENTATIONS = ("Axial", "Coronal", "Sagittal")


class ComparisonView(NamedTuple):
    """One of the views.

    Attributes:
        tag: singleton tag and layout name of the slice node; an identifier, because the browser face puts it into
            code.
        label: display name.
        color: colour of the view's bar.
        role: role of the shown result; None for the input.
    """

    tag: str
    label: str
    color: str
    role: str | None


_TAG = "MAESIL"
_ORIGINAL = ComparisonView(f"{_TAG}Original", "Original", "#8C8C8C", None)


def viewsOf(results: ResultSet) -> tuple[ComparisonView, ...]:
    """The views that compare these results with their input: the input first, then the kind's order."""
    return _viewsOf(results.at("view"))


def usualViews() -> tuple[ComparisonView, ...]:
    """The default views: before any comparison, and for a scene saved during one."""
    return _viewsOf(role for role in KINDS[FIRST_KIND].roles if role.place == "view")


def _viewsOf(roles: Iterable[Role]) -> tuple[ComparisonView, ...]:
    return (
        _ORIGINAL,
        *(
            ComparisonView(_TAG + role.name.title().replace("_", ""), role.title, role.color, role.name)
            for role in roles
        ),
    )


def isCompared(tag: str) -> bool:
    """Whether the slice view with this singleton tag belongs to the comparison."""
    return tag.startswith(_TAG)


def layoutXml(views: tuple[ComparisonView, ...]) -> str:
    """The layout of these views as XML for vtkMRMLLayoutNode and trame-slicer's `slicer_layout_to_vue`."""
    columns = math.ceil(math.sqrt(len(views)))
    rows = [views[start : start + columns] for start in range(0, len(views), columns)]
    return f'<layout type="vertical">{"".join(map(_rowXml, rows))}</layout>'


def _viewXml(view: ComparisonView) -> str:
    properties = {
        "orientation": ORIENTATIONS[0],
        "viewlabel": view.label,
        "viewcolor": view.color,
        "viewgroup": str(VIEW_GROUP),
    }
    inner = "".join(
        f'<property name="{n}" action="default">{escape(v)}</property>' for n, v in properties.items()
    )
    return f'<item><view class="vtkMRMLSliceNode" singletontag="{view.tag}">{inner}</view></item>'


def _rowXml(views: tuple[ComparisonView, ...]) -> str:
    return f'<item><layout type="horizontal">{"".join(map(_viewXml, views))}</layout></item>'


class ComparisonError(MaesilError):
    """The comparison cannot be shown."""


class Comparison:
    """Shows one result beside its input in separate views; the user's own views are not touched.

    Args:
        scene: the scene of the views and nodes.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self.scene = scene
        self._views = usualViews()
        self._layout = LayoutSwitch(LAYOUT_ID, layoutXml(self._views))

    def registerLayout(self, layoutNode: slicer.vtkMRMLLayoutNode) -> None:
        """Register the layout, so that scenes saved during a comparison show it, whether loaded before or after."""
        self._layout.register(layoutNode)

    def enter(
        self,
        layoutNode: slicer.vtkMRMLLayoutNode | None,
        results: ResultSet,
        inputNode: slicer.vtkMRMLScalarVolumeNode,
        orientation: str = ORIENTATIONS[0],
    ) -> None:
        """Switch to the comparison's layout and fill its views; call it again to show another result.

        Args:
            layoutNode: the layout node of the desktop's layout manager; None if the caller creates the views of
                `layoutXml` itself, as with trame-slicer.
            results: the results to compare.
            inputNode: their input volume.
            orientation: one of `ORIENTATIONS`.

        Raises:
            ComparisonError: a volume was deleted, the input is no longer usable, or the application has no slice
                views. The layout is then unchanged.
        """
        views = viewsOf(results)
        volumes = _volumesOf(self.scene, views, results, inputNode)
        wasOff = layoutNode is not None and not self._layout.isOn(layoutNode)
        self._views = views
        self._layout.describe(layoutXml(views), layoutNode)
        if layoutNode is not None:
            self._layout.on(layoutNode)
        try:
            self._fill(volumes, results)
        except ComparisonError:
            if wasOff:
                self._layout.off(layoutNode)
            raise
        for sliceNode in self._sliceNodes():
            sliceNode.SetOrientation(orientation)
        self.fit(inputNode)

    def leave(self, layoutNode: slicer.vtkMRMLLayoutNode | None) -> None:
        """Restore the previous layout, unless the user has chosen another one meanwhile."""
        if layoutNode is not None:
            self._layout.off(layoutNode)

    def fit(self, inputNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Show the whole volume in each view, through its middle voxel; call it again once new views have a size.

        Raises:
            SceneError: the volume is under a non-linear transform.
        """
        for sliceNode in self._sliceNodes():
            _fit(sliceNode, inputNode)

    def _sliceNodes(self) -> list[slicer.vtkMRMLSliceNode]:
        nodes = _byLayoutName(self.scene, "vtkMRMLSliceNode")
        return [nodes[view.tag] for view in self._views if view.tag in nodes]

    def _fill(self, volumes: dict[str, slicer.vtkMRMLScalarVolumeNode], results: ResultSet) -> None:
        """Show the volumes, and write the captions into the bars of the views."""
        sliceNodes = self._sliceNodes()
        if len(sliceNodes) < len(self._views):
            raise ComparisonError(sentence("comparison.no-views"))
        composites = _byLayoutName(self.scene, "vtkMRMLSliceCompositeNode")
        for view, sliceNode in zip(self._views, sliceNodes, strict=True):
            composite = composites.get(view.tag) or _addComposite(self.scene, view.tag)
            with slicer.util.NodeModify(composite):
                # Volumes loaded later must not replace these.
                composite.SetDoPropagateVolumeSelection(False)
                composite.SetBackgroundVolumeID(volumes[view.tag].GetID())
                composite.SetForegroundVolumeID(None)
                composite.SetLabelVolumeID(None)
                composite.SetLinkedControl(True)
                composite.SetHotLinkedControl(True)
            showLegend(composite, volumes[view.tag])
            sliceNode.SetLayoutLabel(results.caption(view.label, view.role or ""))


def jumpTo(scene: slicer.vtkMRMLScene, centerRas: tuple[float, float, float]) -> None:
    """Show a point (world RAS, mm) in all slice views; a view that has it outside its field is centred on it."""
    for sliceNode in nodesOfClass(scene, "vtkMRMLSliceNode"):
        sliceNode.JumpSliceByOffsetting(*centerRas)
        if not _isInView(sliceNode, centerRas):
            sliceNode.JumpSliceByCentering(*centerRas)


def _volumesOf(
    scene: slicer.vtkMRMLScene,
    views: tuple[ComparisonView, ...],
    results: ResultSet,
    inputNode: slicer.vtkMRMLScalarVolumeNode,
) -> dict[str, slicer.vtkMRMLScalarVolumeNode]:
    """The volume of each view by its tag; a segmentation is shown over the input."""
    shown = {view.tag: results.nodesByRole[view.role] if view.role else inputNode for view in views}
    if any(node is None or node.GetScene() is not scene for node in shown.values()):
        raise ComparisonError(sentence("comparison.deleted", job=results.kind.name))
    problem = checkVolume(inputNode).problem
    if problem is not None:
        raise ComparisonError(problem)
    return {tag: node if node.IsA("vtkMRMLVolumeNode") else inputNode for tag, node in shown.items()}


def _byLayoutName(scene: slicer.vtkMRMLScene, className: str) -> dict[str, slicer.vtkMRMLNode]:
    return {node.GetLayoutName(): node for node in nodesOfClass(scene, className)}


def _addComposite(scene: slicer.vtkMRMLScene, tag: str) -> slicer.vtkMRMLSliceCompositeNode:
    """Create the composite node early; the view's slice logic later finds it by its layout name."""
    node = slicer.vtkMRMLSliceCompositeNode()
    node.SetLayoutName(tag)
    return scene.AddNode(node)


def _fit(sliceNode: slicer.vtkMRMLSliceNode, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show the whole volume, through its middle voxel."""
    middleIjk = np.array(volumeNode.GetImageData().GetDimensions()) // 2
    toWorld = linearTransformToWorld(volumeNode) @ geometryOf(volumeNode)
    middleRas = toWorld @ (*middleIjk, 1.0)
    with slicer.util.NodeModify(sliceNode):
        sliceNode.JumpSliceByCentering(*middleRas[:3])
        width, height = _extentInView(sliceNode, volumeNode)
        columns, rows, _planes = sliceNode.GetDimensions()
        millimetresPerPixel = 1.02 * max(width / max(columns, 1), height / max(rows, 1))
        depth = sliceNode.GetFieldOfView()[2]
        sliceNode.SetFieldOfView(columns * millimetresPerPixel, rows * millimetresPerPixel, depth)
        sliceNode.UpdateMatrices()


def _extentInView(
    sliceNode: slicer.vtkMRMLSliceNode, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> tuple[float, float]:
    """Twice the largest distance (mm) from the view's centre to the volume's border, along the view's x and y."""
    rasToSlice = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(sliceNode.GetSliceToRAS(), rasToSlice)
    bounds = [0.0] * 6
    volumeNode.GetSliceBounds(bounds, rasToSlice)
    width, height = (2 * max(abs(bounds[2 * axis]), abs(bounds[2 * axis + 1])) for axis in range(2))
    return width, height


def _isInView(sliceNode: slicer.vtkMRMLSliceNode, ras: tuple[float, float, float]) -> bool:
    rasToXy = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(sliceNode.GetXYToRAS(), rasToXy)
    x, y, _z, _w = rasToXy.MultiplyPoint((*ras, 1.0))
    columns, rows, _planes = sliceNode.GetDimensions()
    return 0 <= x < columns and 0 <= y < rows
