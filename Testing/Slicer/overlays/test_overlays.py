"""Overlays as nodes of a scene: made, changed, found again after a scene was saved, and gone without a trace."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import slicer

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import Mask, MaskStrategy, SuperpatchGrid
from MAESILSlicerLib.overlays.overlays import OverlayDisplay, Overlays
from MAESILSlicerLib.scene.nodes import ROLE_ATTRIBUTE
from MAESILSlicerLib.scene.transforms import SceneError
from offscreen import AXIAL, SLICES, OffscreenViews
from volumes import MakeVolume, matrixOf

SHAPE = (21, 30, 35)
GRID = SuperpatchGrid(SHAPE, superpatch_size=16)
NODES = ("gridNode", "maskNode", "maskLinesNode", "cubesNode", "highlightNode", "labelsNode")


@pytest.fixture
def volumeNode(makeVolume: MakeVolume) -> slicer.vtkMRMLScalarVolumeNode:
    return makeVolume(SHAPE, spacing=(1.0, 2.0, 3.0), flips=(-1, 1, 1))


@pytest.fixture
def overlays(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Overlays:
    """Grid and mask of a volume."""
    overlays = Overlays(volumeNode.GetScene())
    overlays.show(volumeNode, GRID)
    overlays.setMask(MaskStrategy().sample_grid(GRID, seed=0))
    return overlays


def visible(overlays: Overlays) -> set[str]:
    shown = {name: getattr(overlays, name) for name in NODES}
    return {
        name for name, node in shown.items() if node is not None and node.GetDisplayNode().GetVisibility()
    }


def test_nothing_is_shown_before_a_volume_is(scene: slicer.vtkMRMLScene) -> None:
    overlays = Overlays(scene)
    assert all(getattr(overlays, name) is None for name in NODES)
    assert overlays.superpatchAt((0.0, 0.0, 0.0)) is None
    overlays.setMask(None)
    overlays.remove()
    for demand in (
        lambda: overlays.centerOf(0),
        lambda: overlays.setHighlight(0),
        lambda: overlays.labelOf(0),
    ):
        with pytest.raises(ConfigError, match="choose a volume first"):
            demand()


def test_removing_leaves_the_scene_as_it_was(
    views: OffscreenViews, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> None:
    scene = volumeNode.GetScene()
    views.showVolume(volumeNode)
    before = [node.GetID() for node in scene.GetNodes()]
    overlays = Overlays(scene)
    overlays.show(volumeNode, GRID)
    overlays.setMask(MaskStrategy().sample_grid(GRID, seed=0))
    overlays.setHighlight(3)
    assert scene.GetNumberOfNodes() > len(before)
    overlays.remove()
    assert [node.GetID() for node in scene.GetNodes()] == before
    views.jumpTo((1.0, 2.0, 3.0))
    assert [node.GetID() for node in scene.GetNodes()] == before


def test_the_next_volume_replaces_the_one_before(overlays: Overlays, makeVolume: MakeVolume) -> None:
    overlays.setHighlight(1)
    scene = overlays.scene
    count = scene.GetNumberOfNodes()
    other = makeVolume((16, 16, 16), name="other")
    overlays.show(other, SuperpatchGrid((16, 16, 16), superpatch_size=16))
    assert visible(overlays) == {"gridNode", "labelsNode"}
    overlays.show(other, SuperpatchGrid((16, 16, 16), superpatch_size=16))
    scene.RemoveNode(other.GetDisplayNode())
    scene.RemoveNode(other)
    assert scene.GetNumberOfNodes() == count


def test_the_user_sees_no_new_nodes_in_lists_and_keeps_the_layers(
    views: OffscreenViews, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> None:
    views.showVolume(volumeNode)
    overlays = Overlays(volumeNode.GetScene())
    overlays.show(volumeNode, GRID)
    overlays.setMask(MaskStrategy().sample_grid(GRID, seed=0))
    ours = [node for node in volumeNode.GetScene().GetNodes() if node.GetAttribute(ROLE_ATTRIBUTE)]
    assert ours
    assert all(node.GetHideFromEditors() for node in ours)
    for composite in volumeNode.GetScene().GetNodesByClass("vtkMRMLSliceCompositeNode"):
        assert composite.GetLabelVolumeID() is None
        assert composite.GetForegroundVolumeID() is None


def test_each_part_is_switched_by_itself(overlays: Overlays) -> None:
    overlays.setHighlight(2)
    assert visible(overlays) == set(NODES)
    for choice, gone in {
        "grid": {"gridNode"},
        "labels": {"labelsNode"},
        "mask2d": {"maskNode", "maskLinesNode"},
        "mask3d": {"cubesNode"},
        "outline": {"maskLinesNode"},
    }.items():
        overlays.setDisplay(OverlayDisplay(**{choice: False}))
        assert visible(overlays) == set(NODES) - gone
    overlays.setDisplay(OverlayDisplay())
    overlays.setHighlight(None)
    overlays.setMask(None)
    assert visible(overlays) == {"gridNode", "labelsNode"}


def test_what_was_hidden_shows_the_newest_mask_when_it_comes_back(
    views: OffscreenViews, overlays: Overlays
) -> None:
    views.jumpTo(overlays.centerOf(0))
    views.jumpTo((-4.0, 8.0, 12.0))
    overlays.setDisplay(OverlayDisplay(mask2d=False, mask3d=False))
    lone = np.zeros(GRID.lattice_shape, dtype=np.uint8)
    lone[0, 0, 0] = 1
    overlays.setMask(Mask(lone))
    overlays.setDisplay(OverlayDisplay())
    assert overlays.maskNode.GetMesh().GetNumberOfCells() == 1
    assert overlays.maskLinesNode.GetMesh().GetNumberOfCells() == 6
    assert overlays.cubesNode.GetMesh().GetNumberOfCells() == 6


def test_a_mask_changes_cells_and_moves_no_points(views: OffscreenViews, overlays: Overlays) -> None:
    views.jumpTo(overlays.centerOf(0))
    points = overlays.maskNode.GetMesh().GetPoints()
    before, changed = points.GetMTime(), []
    overlays.maskNode.AddObserver("ModifiedEvent", lambda *_: changed.append(True))
    overlays.setMask(MaskStrategy().sample_grid(GRID, seed=1))
    assert overlays.maskNode.GetMesh().GetPoints() is points
    assert points.GetMTime() == before
    assert len(changed) <= 1


def test_only_patches_that_a_slice_cuts_are_drawn_and_each_once(
    views: OffscreenViews, overlays: Overlays
) -> None:
    everything = np.ones(GRID.lattice_shape, dtype=np.uint8)
    overlays.setMask(Mask(everything))
    ijkToRas = matrixOf(spacing=(1.0, 2.0, 3.0), flips=(-1, 1, 1))
    for place in ((0, 0, 0), (1, 2, 4), (2, 3, 1)):
        views.jumpTo((ijkToRas @ [*np.multiply(place[::-1], 8) + 1, 1.0])[:3])
        mesh = overlays.maskNode.GetMesh()
        points = mesh.GetNumberOfPoints()
        cut = np.zeros(GRID.lattice_shape, dtype=bool)
        for axis in range(3):
            np.moveaxis(cut, axis, 0)[place[axis]] = True
        volumes = [np.prod(np.ptp(bounds, axis=1)) for bounds in boundsOf(mesh)]
        k, j, i = np.nonzero(cut)
        sizes = [
            np.minimum(8 * index + 8, size) - 8 * index for index, size in zip((k, j, i), SHAPE, strict=True)
        ]
        assert sum(volumes) == pytest.approx(np.prod(sizes, axis=0).sum() * 6.0)
        assert points < np.prod(np.add(GRID.lattice_shape, 1))


def boundsOf(mesh: slicer.vtkMRMLNode) -> list[np.ndarray]:
    """Of each cell of a mesh the ends along R, A, S, (3, 2)."""
    return [np.reshape(mesh.GetCell(index).GetBounds(), (3, 2)) for index in range(mesh.GetNumberOfCells())]


def test_a_slice_outside_the_volume_shows_no_mask_and_no_error(
    views: OffscreenViews, overlays: Overlays
) -> None:
    views.jumpTo((1000.0, 1000.0, 1000.0))
    assert overlays.maskNode.GetMesh().GetNumberOfCells() == 0
    for name in SLICES:
        views.pictureOf(name)


def test_superpatches_are_found_where_they_lie(overlays: Overlays) -> None:
    for index in range(len(GRID)):
        assert overlays.superpatchAt(overlays.centerOf(index)) == index
    ijkToRas = matrixOf(spacing=(1.0, 2.0, 3.0), flips=(-1, 1, 1))
    for ijk, expected in {
        (-0.4, -0.4, -0.4): 0,
        (15.4, 0, 0): 0,
        (15.6, 0, 0): 1,
        (34.4, 29.4, 20.4): len(GRID) - 1,
        (34.6, 0, 0): None,
        (-0.6, 0, 0): None,
    }.items():
        assert overlays.superpatchAt((ijkToRas @ [*ijk, 1.0])[:3]) == expected
    assert overlays.labelOf(1) == "1-0-0"
    assert overlays.labelOf(len(GRID) - 1) == "2-1-1"


def test_a_grid_with_overlap_is_shown_as_its_partition(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    overlays = Overlays(volumeNode.GetScene())
    overlays.show(volumeNode, SuperpatchGrid(SHAPE, superpatch_size=16, overlap=8))
    overlays.setHighlight(len(GRID) - 1)
    with pytest.raises(ConfigError, match=f"no superpatch {len(GRID)}"):
        overlays.setHighlight(len(GRID))


def test_what_does_not_fit_is_refused_and_what_was_shown_stays(
    overlays: Overlays, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> None:
    before = visible(overlays)
    cells = overlays.maskNode.GetMesh().GetNumberOfCells()
    with pytest.raises(ConfigError, match="but the grid that is shown"):
        overlays.setMask(Mask(np.ones((2, 2, 2), dtype=np.uint8)))
    with pytest.raises(ConfigError, match="made for"):
        overlays.show(volumeNode, SuperpatchGrid((8, 8, 8), superpatch_size=8))
    with pytest.raises(ConfigError, match="no superpatch 99"):
        overlays.setDisplay(OverlayDisplay(clip=99))
    warp = volumeNode.GetScene().AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    volumeNode.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(SceneError, match="not linear"):
        overlays.show(volumeNode, GRID)
    assert visible(overlays) == before
    assert overlays.maskNode.GetMesh().GetNumberOfCells() == cells


def test_a_volume_that_is_warped_while_it_is_shown_loses_its_labels_alone(
    views: OffscreenViews, overlays: Overlays, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> None:
    warp = volumeNode.GetScene().AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    volumeNode.SetAndObserveTransformNodeID(warp.GetID())
    views.jumpTo((3.0, 4.0, 5.0))
    lists = overlays.scene.GetNodesByClass("vtkMRMLMarkupsFiducialNode")
    assert sum(node.GetNumberOfControlPoints() for node in lists if node is not overlays.labelsNode) == 0
    assert overlays.maskNode.GetTransformNodeID() == warp.GetID()
    with pytest.raises(SceneError, match="not linear"):
        overlays.centerOf(0)


def test_a_chosen_superpatch_survives_a_change_of_the_mask_and_not_of_the_volume(
    overlays: Overlays, volumeNode: slicer.vtkMRMLScalarVolumeNode, makeVolume: MakeVolume
) -> None:
    overlays.setHighlight(1)
    overlays.setDisplay(OverlayDisplay(clip=1))
    overlays.setMask(MaskStrategy().sample_grid(GRID, seed=5))
    overlays.show(volumeNode, GRID)
    assert "highlightNode" in visible(overlays)
    overlays.show(makeVolume((8, 8, 8)), SuperpatchGrid((8, 8, 8), superpatch_size=8))
    assert "highlightNode" not in visible(overlays)


def test_many_superpatches_are_labelled_in_3d_only_when_chosen(makeVolume: MakeVolume) -> None:
    node = makeVolume((24, 24, 24))
    overlays = Overlays(node.GetScene())
    overlays.show(node, SuperpatchGrid((24, 24, 24), superpatch_size=8))
    assert overlays.labelsNode.GetNumberOfControlPoints() == 0
    overlays.setHighlight(5)
    overlays.setDisplay(OverlayDisplay(clip=7))
    labels = [overlays.labelsNode.GetNthControlPointLabel(index) for index in range(2)]
    assert labels == ["2-1-0", "1-2-0"]


def test_a_view_that_comes_later_gets_labels_as_well(overlays: Overlays) -> None:
    sliceNode = slicer.vtkMRMLSliceNode()
    sliceNode.SetLayoutName("MAESIL-Later")
    sliceNode.SetDimensions(400, 400, 1)
    sliceNode.SetFieldOfView(80.0, 80.0, 1.0)
    overlays.scene.AddNode(sliceNode)
    lists = overlays.scene.GetNodesByClass("vtkMRMLMarkupsFiducialNode")
    (own,) = [node for node in lists if sliceNode.GetID() in (node.GetDisplayNode().GetViewNodeIDs() or ())]
    assert own.GetNumberOfControlPoints() > 0
    overlays.remove()


def test_showing_a_grid_again_and_again_holds_on_to_no_slice(
    overlays: Overlays, views: OffscreenViews, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> None:
    sliceNode = views.sliceNode("Red")
    overlays.show(volumeNode, GRID)
    before = sliceNode.GetReferenceCount()
    for _ in range(3):
        overlays.show(volumeNode, GRID)
    assert sliceNode.GetReferenceCount() == before


def rolesIn(scene: slicer.vtkMRMLScene) -> list[str]:
    """The roles of the overlays' nodes, sorted."""
    roles = (node.GetAttribute(ROLE_ATTRIBUTE) or "" for node in scene.GetNodes())
    return sorted(role for role in roles if role.startswith("overlay."))


@pytest.mark.parametrize("isOld", [False, True], ids=["now", "before"])
def test_a_saved_scene_holds_no_overlays_and_those_of_earlier_ones_are_replaced(
    views: OffscreenViews, makeVolume: MakeVolume, tmp_path: Path, isOld: bool
) -> None:
    # Of a left-handed volume files turn an axis round.
    volumeNode = makeVolume(SHAPE, spacing=(1.0, 2.0, 3.0), flips=(-1, -1, 1))
    # First, since these views draw what they show last over the rest; Slicer's own have their image from the start.
    views.showVolume(volumeNode)
    scene, url = volumeNode.GetScene(), str(tmp_path / "scene.mrb")
    mask = MaskStrategy().sample_grid(GRID, seed=0)
    before = set(scene.GetNodes())
    overlays = Overlays(scene)
    overlays.show(volumeNode, GRID)
    overlays.setMask(mask)
    overlays.setHighlight(0)
    place, roles = overlays.centerOf(0), rolesIn(scene)
    views.jumpTo(place)
    picture = views.pictureOf(AXIAL)
    for node in set(scene.GetNodes()) - before:
        node.SetSaveWithScene(isOld)
    assert scene.WriteToMRB(url)
    with zipfile.ZipFile(url) as bundle:
        assert any(name.endswith(".vtk") for name in bundle.namelist()) == isOld
    overlays.remove()
    scene.Clear(False)
    assert scene.ReadFromMRB(url)
    assert rolesIn(scene) == (roles if isOld else [])
    again, loaded = scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode"), Overlays(scene)
    views.showVolume(again)
    loaded.show(again, GRID)
    loaded.setMask(mask)
    loaded.setHighlight(0)
    views.jumpTo(place)
    np.testing.assert_array_equal(views.pictureOf(AXIAL), picture)
    assert rolesIn(scene) == roles


def test_overlays_that_were_deleted_are_made_again(
    views: OffscreenViews, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> None:
    views.showVolume(volumeNode)
    scene = volumeNode.GetScene()
    before = set(scene.GetNodes())
    overlays = Overlays(scene)
    overlays.show(volumeNode, GRID)
    overlays.setMask(MaskStrategy().sample_grid(GRID, seed=0))
    overlays.setHighlight(0)
    views.jumpTo(overlays.centerOf(0))
    picture, roles = views.pictureOf(AXIAL), rolesIn(scene)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    before.add(transform)
    places = range(len(set(scene.GetNodes()) - before))
    for place in places:
        ours = [node for node in scene.GetNodes() if node not in before]
        scene.RemoveNode(ours[place])
        views.jumpTo(overlays.centerOf(1))
        overlays.setHighlight(0)
        views.jumpTo(overlays.centerOf(0))
        assert rolesIn(scene) == roles
        np.testing.assert_array_equal(views.pictureOf(AXIAL), picture)
    scene.RemoveNode(overlays.gridNode)
    volumeNode.SetAndObserveTransformNodeID(transform.GetID())
    assert rolesIn(scene) == roles
    overlays.remove()
    assert set(scene.GetNodes()) == before
