"""The comparison shows four volumes side by side, moves them together, and leaves the user's views as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import slicer
import vtk

from finishedjob import writeFinishedJob
from MAESILSlicerLib.results.comparison import (
    LAYOUT_ID,
    ORIENTATIONS,
    Comparison,
    ComparisonError,
    jumpTo,
    layoutXml,
    usualViews,
)
from MAESILSlicerLib.results.resultset import ResultSet, importResults
from MAESILSlicerLib.scene.volumes import geometryOf, voxelsOf
from offscreen import OffscreenApplication, OffscreenViews
from volumes import putUnderBent

if TYPE_CHECKING:
    from volumes import MakeVolume

TAGS = [view.tag for view in usualViews()]
ORIGINAL, MASKED, RECONSTRUCTION, ERROR = TAGS
FOUR_UP, CONVENTIONAL = 3, 2

ResultsOf = Callable[[slicer.vtkMRMLScalarVolumeNode], ResultSet]


@pytest.fixture
def resultsOf(scene: slicer.vtkMRMLScene, tmp_path: Path) -> ResultsOf:
    """Adds made-up results of a volume."""
    return lambda node: importResults(scene, node, writeFinishedJob(tmp_path / "job", node))


@pytest.fixture
def layoutNode(scene: slicer.vtkMRMLScene) -> Iterator[slicer.vtkMRMLLayoutNode]:
    """A layout node whose view nodes are made as in the main window, though nothing draws them."""
    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(scene)
    node = logic.GetLayoutNode()
    node.SetViewArrangement(FOUR_UP)
    yield node
    logic.SetMRMLScene(None)


class ComparisonViews(OffscreenViews):
    """Views made from the layout's description, as the browser face makes them."""

    def __init__(self, application: OffscreenApplication, size: tuple[int, int]) -> None:
        from trame_slicer.views import slicer_layout_to_vue

        self.size = size
        definitions = slicer_layout_to_vue(layoutXml(usualViews())).get_views(is_recursive=True)
        self._views = {
            definition.singleton_tag: self._made(application, definition) for definition in definitions
        }
        self._logic = application.logic
        for tag in self._views:
            self.sliceLogic(tag).ResizeSliceNode(*size)

    def sliceLogic(self, tag: str) -> slicer.vtkMRMLSliceLogic:
        """What scrolls a view when a user does."""
        return self._logic.GetSliceLogic(self.sliceNode(tag))


@pytest.fixture
def comparisonViews(application: OffscreenApplication) -> Iterator[ComparisonViews]:
    """The four views, drawn off screen."""
    views = ComparisonViews(application, (240, 200))
    yield views
    views.close()


def _nodes(scene: slicer.vtkMRMLScene, className: str) -> dict[str, slicer.vtkMRMLNode]:
    nodes = [scene.GetNthNodeByClass(n, className) for n in range(scene.GetNumberOfNodesByClass(className))]
    return {node.GetLayoutName(): node for node in nodes}


def _composites(scene: slicer.vtkMRMLScene) -> dict[str, slicer.vtkMRMLSliceCompositeNode]:
    return _nodes(scene, "vtkMRMLSliceCompositeNode")


def _middleOf(node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    middleIjk = np.array(node.GetImageData().GetDimensions()) // 2
    return (geometryOf(node) @ (*middleIjk, 1.0))[:3]


def test_each_view_shows_its_volume(
    scene: slicer.vtkMRMLScene,
    makeVolume: MakeVolume,
    resultsOf: ResultsOf,
    layoutNode: slicer.vtkMRMLLayoutNode,
) -> None:
    node = makeVolume()
    results = resultsOf(node)
    Comparison(scene).enter(layoutNode, results, node)
    shown = [_composites(scene)[tag].GetBackgroundVolumeID() for tag in TAGS]
    expected = [node, results.masked, results.reconstruction, results.error]
    assert layoutNode.GetViewArrangement() == LAYOUT_ID
    assert shown == [volume.GetID() for volume in expected]
    labels = [_nodes(scene, "vtkMRMLSliceNode")[tag].GetLayoutLabel() for tag in TAGS]
    assert labels == ["Original", "Masked (mask 1 of 4)", "Reconstruction", "Error"]


def test_a_single_mask_is_not_counted_in_the_views(
    scene: slicer.vtkMRMLScene,
    makeVolume: MakeVolume,
    tmp_path: Path,
    layoutNode: slicer.vtkMRMLLayoutNode,
) -> None:
    node = makeVolume()
    for isCoverage, label in ((True, "Masked (mask 1 of 4)"), (False, "Masked")):
        results = importResults(scene, node, writeFinishedJob(tmp_path / "job", node, isCoverage))
        Comparison(scene).enter(layoutNode, results, node)
        assert _nodes(scene, "vtkMRMLSliceNode")["MAESILMasked"].GetLayoutLabel() == label


def test_pictures_show_original_masked_reconstruction_and_error(
    scene: slicer.vtkMRMLScene,
    makeVolume: MakeVolume,
    resultsOf: ResultsOf,
    comparisonViews: ComparisonViews,
) -> None:
    node = makeVolume(voxels=np.full((24, 32, 40), 500, dtype=np.int16), flips=(-1, -1, 1))
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevel(2000, 0)
    results = resultsOf(node)
    for volume in results.nodes[:5]:
        volume.GetDisplayNode().SetInterpolate(False)
    Comparison(scene).enter(None, results, node)
    plane = 12
    isHidden = voxelsOf(results.masked)[plane] == -1000
    hidden, visible = (
        np.argwhere(mask)[len(np.argwhere(mask)) // 2].tolist() for mask in (isHidden, ~isHidden)
    )
    for (row, column), tags in ((hidden, {ORIGINAL}), (visible, {ORIGINAL, MASKED})):
        center = (geometryOf(node) @ (column, row, plane, 1.0))[:3]
        colors = {tag: comparisonViews.colorAt(tag, center) for tag in TAGS}
        filledIn = int((voxelsOf(results.reconstruction)[plane, row, column] + 1000) / 2000 * 255)
        assert {tag for tag in TAGS if colors[tag] == (191, 191, 191)} >= tags
        assert colors[RECONSTRUCTION] == pytest.approx((filledIn,) * 3, abs=1)
        error = voxelsOf(results.error)[plane, row, column]
        red, _green, blue = colors[ERROR]
        assert np.sign(red - blue) == (np.sign(error) or np.sign(0x10 - 0x18))
        assert (colors[MASKED] == (0, 0, 0)) == (tags == {ORIGINAL})


def test_the_error_has_a_legend_in_its_view_alone(
    scene: slicer.vtkMRMLScene,
    makeVolume: MakeVolume,
    resultsOf: ResultsOf,
    comparisonViews: ComparisonViews,
) -> None:
    node = makeVolume(voxels=np.full((24, 32, 40), -900, dtype=np.int16))
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevel(20000, 9100)
    Comparison(scene).enter(None, resultsOf(node), node)
    # Thin strokes are blended with what lies below them.
    whitePixels = {tag: (comparisonViews.pictureOf(tag).min(axis=2) > 150).sum() for tag in TAGS}
    assert whitePixels[ERROR] > 50
    assert [whitePixels[tag] for tag in TAGS if tag != ERROR] == [0, 0, 0]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_view_shows_the_whole_volume_through_its_middle(
    scene: slicer.vtkMRMLScene,
    makeVolume: MakeVolume,
    resultsOf: ResultsOf,
    comparisonViews: ComparisonViews,
    orientation: str,
) -> None:
    node = makeVolume(angles=(20.0, -15.0, 40.0), spacing=(0.8, 1.2, 2.0), origin=(9.0, -70.0, 3.0))
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([1.0, -1.0, 1.0, 1.0])))
    node.SetAndObserveTransformNodeID(transform.GetID())
    Comparison(scene).enter(None, resultsOf(node), node, orientation)
    middleWorld = _middleOf(node) * (1, -1, 1)
    columns, rows = comparisonViews.size
    for tag in TAGS:
        sliceNode = comparisonViews.sliceNode(tag)
        assert sliceNode.GetOrientation() == orientation
        assert np.allclose([sliceNode.GetSliceToRAS().GetElement(axis, 3) for axis in range(3)], middleWorld)
        rasToXy = np.linalg.inv(slicer.util.arrayFromVTKMatrix(sliceNode.GetXYToRAS()))
        bounds = [0.0] * 6
        node.GetSliceBounds(bounds, slicer.util.vtkMatrixFromArray(rasToXy))
        assert min(bounds[0], bounds[2]) >= 0
        assert bounds[1] <= columns
        assert bounds[3] <= rows


def test_the_views_scroll_together_and_the_users_own_stay(
    scene: slicer.vtkMRMLScene,
    views: OffscreenViews,
    makeVolume: MakeVolume,
    resultsOf: ResultsOf,
    comparisonViews: ComparisonViews,
) -> None:
    node = makeVolume()
    views.showVolume(node)
    Comparison(scene).enter(None, resultsOf(node), node)
    offsets = {name: views.sliceNode(name).GetSliceOffset() for name in ("Red", "Green", "Yellow")}
    logic = comparisonViews.sliceLogic(MASKED)
    before = logic.GetSliceOffset()
    logic.StartSliceOffsetInteraction()
    logic.SetSliceOffset(before + 3.0)
    logic.EndSliceOffsetInteraction()
    assert [comparisonViews.sliceNode(tag).GetSliceOffset() for tag in TAGS] == [before + 3.0] * 4
    assert offsets == {name: views.sliceNode(name).GetSliceOffset() for name in offsets}


def test_a_volume_that_is_loaded_later_does_not_take_a_view_over(
    application: OffscreenApplication,
    scene: slicer.vtkMRMLScene,
    makeVolume: MakeVolume,
    resultsOf: ResultsOf,
    comparisonViews: ComparisonViews,
) -> None:
    node = makeVolume()
    Comparison(scene).enter(None, resultsOf(node), node)
    before = [_composites(scene)[tag].GetBackgroundVolumeID() for tag in TAGS]
    later = makeVolume(name="later")
    application.logic.GetSelectionNode().SetActiveVolumeID(later.GetID())
    application.logic.PropagateVolumeSelection()
    assert [_composites(scene)[tag].GetBackgroundVolumeID() for tag in TAGS] == before


def test_the_users_own_views_are_not_touched(
    scene: slicer.vtkMRMLScene,
    views: OffscreenViews,
    makeVolume: MakeVolume,
    resultsOf: ResultsOf,
    layoutNode: slicer.vtkMRMLLayoutNode,
) -> None:
    node, other = makeVolume(), makeVolume(name="other")
    views.showVolume(node)
    red = _composites(scene)["Red"]
    red.SetForegroundVolumeID(other.GetID())
    red.SetForegroundOpacity(0.4)
    red.SetLinkedControl(True)
    results, comparison = resultsOf(node), Comparison(scene)

    def usersViews() -> list[tuple[object, ...]]:
        return [
            (
                composite.GetBackgroundVolumeID(),
                composite.GetForegroundVolumeID(),
                composite.GetForegroundOpacity(),
                composite.GetLabelVolumeID(),
                composite.GetLinkedControl(),
                composite.GetHotLinkedControl(),
                views.sliceNode(name).GetSliceOffset(),
                views.sliceNode(name).GetFieldOfView(),
                views.sliceNode(name).GetOrientation(),
            )
            for name, composite in sorted(_composites(scene).items())
            if name not in TAGS
        ]

    before = usersViews()
    comparison.enter(layoutNode, results, node)
    assert usersViews() == before
    comparison.leave(layoutNode)
    assert usersViews() == before
    assert layoutNode.GetViewArrangement() == FOUR_UP


def test_a_view_that_the_user_had_maximized_is_maximized_again_on_leaving(
    scene: slicer.vtkMRMLScene,
    makeVolume: MakeVolume,
    resultsOf: ResultsOf,
    layoutNode: slicer.vtkMRMLLayoutNode,
) -> None:
    node = makeVolume()
    red = _nodes(scene, "vtkMRMLSliceNode")["Red"]
    layoutNode.AddMaximizedViewNode(red)
    comparison = Comparison(scene)
    comparison.enter(layoutNode, resultsOf(node), node)
    assert layoutNode.GetNumberOfMaximizedViewNodes() == 0
    comparison.leave(layoutNode)
    assert layoutNode.GetMaximizedViewNode(0) is red


def test_entering_twice_still_leads_back_to_the_users_layout(
    scene: slicer.vtkMRMLScene,
    makeVolume: MakeVolume,
    resultsOf: ResultsOf,
    layoutNode: slicer.vtkMRMLLayoutNode,
) -> None:
    node = makeVolume()
    comparison = Comparison(scene)
    first, second = resultsOf(node), resultsOf(node)
    comparison.enter(layoutNode, first, node)
    comparison.enter(layoutNode, second, node)
    assert _composites(scene)[ERROR].GetBackgroundVolumeID() == second.error.GetID()
    comparison.leave(layoutNode)
    assert layoutNode.GetViewArrangement() == FOUR_UP


def test_a_layout_that_the_user_has_chosen_meanwhile_stays(
    scene: slicer.vtkMRMLScene,
    makeVolume: MakeVolume,
    resultsOf: ResultsOf,
    layoutNode: slicer.vtkMRMLLayoutNode,
) -> None:
    node = makeVolume()
    comparison = Comparison(scene)
    comparison.enter(layoutNode, resultsOf(node), node)
    layoutNode.SetViewArrangement(CONVENTIONAL)
    comparison.leave(layoutNode)
    assert layoutNode.GetViewArrangement() == CONVENTIONAL


def test_the_users_layout_comes_back_after_a_reload_of_the_module(
    scene: slicer.vtkMRMLScene,
    makeVolume: MakeVolume,
    resultsOf: ResultsOf,
    layoutNode: slicer.vtkMRMLLayoutNode,
) -> None:
    node = makeVolume()
    Comparison(scene).enter(layoutNode, resultsOf(node), node)
    Comparison(scene).leave(layoutNode)
    assert layoutNode.GetViewArrangement() == FOUR_UP


def test_the_users_layout_comes_back_after_the_scene_was_closed(
    scene: slicer.vtkMRMLScene,
    makeVolume: MakeVolume,
    resultsOf: ResultsOf,
    layoutNode: slicer.vtkMRMLLayoutNode,
) -> None:
    node = makeVolume()
    layoutNode.SetViewArrangement(CONVENTIONAL)
    comparison = Comparison(scene)
    comparison.enter(layoutNode, resultsOf(node), node)
    scene.Clear(0)
    comparison.leave(layoutNode)
    assert layoutNode.GetViewArrangement() == CONVENTIONAL


def test_without_views_the_layout_stays_and_one_sentence_says_why(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, resultsOf: ResultsOf
) -> None:
    node = makeVolume()
    unwatched = scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    unwatched.AddLayoutDescription(FOUR_UP, "<layout/>")
    unwatched.SetViewArrangement(FOUR_UP)
    with pytest.raises(ComparisonError, match="main window"):
        Comparison(scene).enter(unwatched, resultsOf(node), node)
    assert unwatched.GetViewArrangement() == FOUR_UP


def test_a_deleted_volume_is_reported_and_the_layout_stays(
    scene: slicer.vtkMRMLScene,
    makeVolume: MakeVolume,
    resultsOf: ResultsOf,
    layoutNode: slicer.vtkMRMLLayoutNode,
) -> None:
    node = makeVolume()
    results = resultsOf(node)
    scene.RemoveNode(results.masked)
    with pytest.raises(ComparisonError, match="deleted"):
        Comparison(scene).enter(layoutNode, results, node)
    assert layoutNode.GetViewArrangement() == FOUR_UP


def test_a_bent_volume_is_reported_and_the_layout_stays(
    scene: slicer.vtkMRMLScene,
    makeVolume: MakeVolume,
    resultsOf: ResultsOf,
    layoutNode: slicer.vtkMRMLLayoutNode,
) -> None:
    node = makeVolume()
    results = resultsOf(node)
    putUnderBent(scene, node)
    with pytest.raises(ComparisonError, match="not linear"):
        Comparison(scene).enter(layoutNode, results, node)
    assert layoutNode.GetViewArrangement() == FOUR_UP


def test_a_scene_that_was_saved_while_comparing_shows_its_views(
    scene: slicer.vtkMRMLScene, layoutNode: slicer.vtkMRMLLayoutNode
) -> None:
    """Whether the layout is made known before such a scene is loaded, or afterwards."""
    comparison = Comparison(scene)
    shown = []
    layoutNode.AddObserver(
        vtk.vtkCommand.ModifiedEvent, lambda *_: shown.append(layoutNode.GetCurrentLayoutDescription())
    )
    # What reading the node of such a scene comes to.
    layoutNode.SetViewArrangement(LAYOUT_ID)
    assert shown[-1] != layoutXml(usualViews())
    for _ in range(2):
        comparison.registerLayout(layoutNode)
    assert shown[-1] == layoutXml(usualViews())
    assert set(TAGS) <= set(_nodes(scene, "vtkMRMLSliceNode"))
    comparison.leave(layoutNode)
    assert layoutNode.GetViewArrangement() == FOUR_UP


def test_a_jump_brings_a_point_into_all_views(
    scene: slicer.vtkMRMLScene, views: OffscreenViews, makeVolume: MakeVolume
) -> None:
    node = makeVolume(spacing=(2.0, 2.0, 2.0))
    views.showVolume(node)
    target = (21.0, 33.0, 11.0)
    narrow = views.sliceNode("Red")
    narrow.SetFieldOfView(10.0, 10.0, 1.0)
    wideMiddle = views.sliceNode("Yellow").GetSliceToRAS().GetElement(1, 3)
    jumpTo(scene, target)
    for name in ("Red", "Green", "Yellow"):
        rasToXy = np.linalg.inv(slicer.util.arrayFromVTKMatrix(views.sliceNode(name).GetXYToRAS()))
        x, y, z, _w = rasToXy @ (*target, 1.0)
        assert 0 <= x <= views.size[0]
        assert 0 <= y <= views.size[1]
        assert abs(z) < 1e-6
    assert [narrow.GetSliceToRAS().GetElement(axis, 3) for axis in range(3)] == pytest.approx(target)
    assert views.sliceNode("Yellow").GetSliceToRAS().GetElement(1, 3) == wideMiddle
