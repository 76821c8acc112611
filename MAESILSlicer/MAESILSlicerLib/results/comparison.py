"""A volume and its results side by side in linked slice views, and the user's own layout back."""

from __future__ import annotations

import math
from html import escape
from typing import NamedTuple

import numpy as np
import slicer
import vtk

from MAESILCore.errors import MaesilError
from MAESILCore.wording import Sentence
from MAESILSlicerLib.results.colors import showLegend
from MAESILSlicerLib.results.layouts import LayoutSwitch
from MAESILSlicerLib.results.resultset import FIRST_KIND, ResultKind, ResultSet, resultKind
from MAESILSlicerLib.scene.nodes import nodesOfClass
from MAESILSlicerLib.scene.volumes import checkVolume, geometryOf, linearTransformToWorld

#: Number of the layout in a vtkMRMLLayoutNode.
LAYOUT_ID = 62745
#: Name of the layout where layouts have names.
LAYOUT_NAME = "MAESIL comparison"
#: Link group of the views, so that scrolling in them leaves the user's own views where they are.
VIEW_GROUP = 62745

ORIENTATIONS = ("Axial", "Coronal", "Sagittal")


class ComparisonView(NamedTuple):
    """One of the views.

    Attributes:
        tag: singleton tag and layout name of the slice node; a plain word, since the browser face makes code of it.
        label: for people.
        color: of the view's bar.
        role: of the result in it; None for the input.
    """

    tag: str
    label: str
    color: str
    role: str | None


_TAG = "MAESIL"
_ORIGINAL = ComparisonView(f"{_TAG}Original", "Original", "#8C8C8C", None)


def viewsOf(results: ResultSet) -> tuple[ComparisonView, ...]:
    """The views in which these results are compared with their input: that first, then the kind's order."""
    return tuple(
        view for view in _viewsOfKind(results.kind) if view.role is None or view.role in results.nodesByRole
    )


def usualViews() -> tuple[ComparisonView, ...]:
    """The views before anything was compared, and of a scene that was saved while comparing."""
    return _viewsOfKind(resultKind(FIRST_KIND))


def isCompared(tag: str) -> bool:
    """Whether a slice view, by its singleton tag, belongs to the comparison."""
    return tag.startswith(_TAG)


def _viewsOfKind(kind: ResultKind | None) -> tuple[ComparisonView, ...]:
    roles = [role for role in kind.roles if role.place == "view"] if kind is not None else []
    return (
        _ORIGINAL,
        *(
            ComparisonView(_TAG + role.name.title().replace("_", ""), role.title, role.color, role.name)
            for role in roles
        ),
    )


def layoutXml(views: tuple[ComparisonView, ...]) -> str:
    """The layout with these views, as vtkMRMLLayoutNode and trame-slicer's `slicer_layout_to_vue` read it."""
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
    """The comparison cannot be shown here."""


class Comparison:
    """Shows one result beside its input in views of its own; the user's views are not touched.

    Args:
        scene: the scene of the views and nodes.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self.scene = scene
        self._views = usualViews()
        self._layout = LayoutSwitch(LAYOUT_ID, layoutXml(self._views))

    def registerLayout(self, layoutNode: slicer.vtkMRMLLayoutNode) -> None:
        """Make the layout known, so that a scene that was saved while comparing shows it, loaded before or after."""
        self._layout.register(layoutNode)

    def enter(
        self,
        layoutNode: slicer.vtkMRMLLayoutNode | None,
        results: ResultSet,
        inputNode: slicer.vtkMRMLScalarVolumeNode,
        orientation: str = ORIENTATIONS[0],
    ) -> None:
        """Switch to the comparison's layout and fill its views; calling it again shows another result.

        Args:
            layoutNode: what the desktop's layout manager follows. None where the caller has made the views of
                `layoutXml` itself, as with trame-slicer.
            results: what is compared.
            inputNode: with what.
            orientation: one of `ORIENTATIONS`.

        Raises:
            ComparisonError: a volume was deleted, the input cannot be used as it is now, or the application shows no
                slice views. The layout stays.
        """
        views = viewsOf(results)
        volumes = _volumesOf(self.scene, views, results, inputNode)
        wasOff = layoutNode is not None and not self._layout.isOn(layoutNode)
        self._views = views
        self._layout.describe(layoutXml(views), layoutNode)
        if layoutNode is not None:
            self._layout.on(layoutNode)
        try:
            self._fill(volumes)
            self._label(results)
        except ComparisonError:
            if wasOff:
                self._layout.off(layoutNode)
            raise
        self.setOrientation(orientation)
        self.fit(inputNode)

    def leave(self, layoutNode: slicer.vtkMRMLLayoutNode | None) -> None:
        """Bring the layout back that was there before; one that the user has chosen meanwhile stays."""
        if layoutNode is not None:
            self._layout.off(layoutNode)

    def fit(self, inputNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Show the whole volume in each view, cut through its middle; again once new views have got their size.

        Raises:
            SceneError: the volume lies under a transform that is not linear.
        """
        for sliceNode in self._sliceNodes():
            _fit(sliceNode, inputNode)

    def setOrientation(self, orientation: str) -> None:
        """Turn all views; `orientation` is one of `ORIENTATIONS`."""
        for sliceNode in self._sliceNodes():
            sliceNode.SetOrientation(orientation)

    def _sliceNodes(self) -> list[slicer.vtkMRMLSliceNode]:
        nodes = _byLayoutName(self.scene, "vtkMRMLSliceNode")
        return [nodes[view.tag] for view in self._views if view.tag in nodes]

    def _fill(self, volumes: dict[str, slicer.vtkMRMLScalarVolumeNode]) -> None:
        if len(self._sliceNodes()) < len(self._views):
            message = Sentence(
                "comparison.no-views",
                "The comparison needs slice views, and none are shown here; open Slicer's main window.",
            )
            raise ComparisonError(message)
        composites = _byLayoutName(self.scene, "vtkMRMLSliceCompositeNode")
        for view in self._views:
            composite = composites.get(view.tag) or _addComposite(self.scene, view.tag)
            with slicer.util.NodeModify(composite):
                # Volumes that are loaded later shall not take the place of these.
                composite.SetDoPropagateVolumeSelection(False)
                composite.SetBackgroundVolumeID(volumes[view.tag].GetID())
                composite.SetForegroundVolumeID(None)
                composite.SetLabelVolumeID(None)
                composite.SetLinkedControl(True)
                composite.SetHotLinkedControl(True)
            showLegend(composite, volumes[view.tag])

    def _label(self, results: ResultSet) -> None:
        """Put the captions into the bars of the views."""
        nodes = _byLayoutName(self.scene, "vtkMRMLSliceNode")
        for view in self._views:
            nodes[view.tag].SetLayoutLabel(captionOf(view, results))


def captionOf(view: ComparisonView, results: ResultSet) -> str:
    """The label of a view for these results, with what their kind notes on its role."""
    return results.caption(view.label, view.role or "")


def jumpTo(scene: slicer.vtkMRMLScene, centerRas: tuple[float, float, float]) -> None:
    """Bring a point, in world RAS mm, into all slice views; a view that would not show it there is centred on it."""
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
    """The volume of each view, by the view's tag; what is no volume, such as a segmentation, lies over the input."""
    shown = {view.tag: results.nodesByRole[view.role] if view.role else inputNode for view in views}
    if any(node is None or node.GetScene() is not scene for node in shown.values()):
        message = Sentence(
            "comparison.deleted",
            "A volume of this comparison was deleted; repeat the {job}.",
            job=results.kind.name,
        )
        raise ComparisonError(message)
    problem = checkVolume(inputNode).problem
    if problem is not None:
        raise ComparisonError(problem)
    return {tag: node if node.IsA("vtkMRMLVolumeNode") else inputNode for tag, node in shown.items()}


def _byLayoutName(scene: slicer.vtkMRMLScene, className: str) -> dict[str, slicer.vtkMRMLNode]:
    return {node.GetLayoutName(): node for node in nodesOfClass(scene, className)}


def _addComposite(scene: slicer.vtkMRMLScene, tag: str) -> slicer.vtkMRMLSliceCompositeNode:
    """What a view's slice logic finds by its layout name, for a view whose logic has not made it yet."""
    node = slicer.vtkMRMLSliceCompositeNode()
    node.SetLayoutName(tag)
    return scene.AddNode(node)


def _fit(sliceNode: slicer.vtkMRMLSliceNode, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show the whole of a volume, cut through its middle voxel."""
    middleIjk = np.array(volumeNode.GetImageData().GetDimensions()) // 2
    toWorld = linearTransformToWorld(volumeNode) @ geometryOf(volumeNode)
    middleRas = toWorld @ (*middleIjk, 1.0)
    with slicer.util.NodeModify(sliceNode):
        sliceToRas = sliceNode.GetSliceToRAS()
        for axis in range(3):
            sliceToRas.SetElement(axis, 3, middleRas[axis])
        sliceNode.UpdateMatrices()
        width, height = _extentInView(sliceNode, volumeNode)
        columns, rows, _planes = sliceNode.GetDimensions()
        millimetresPerPixel = 1.02 * max(width / max(columns, 1), height / max(rows, 1))
        depth = sliceNode.GetFieldOfView()[2]
        sliceNode.SetFieldOfView(columns * millimetresPerPixel, rows * millimetresPerPixel, depth)
        sliceNode.UpdateMatrices()


def _extentInView(
    sliceNode: slicer.vtkMRMLSliceNode, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> tuple[float, float]:
    """Twice the largest distance from the view's middle to the volume's border, along x and y of the view, mm."""
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
