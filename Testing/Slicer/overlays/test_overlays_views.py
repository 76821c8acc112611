"""Overlays as they are drawn: pixels held against voxels, for volumes that lie in space in every way."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import slicer

from MAESILCore.lattice import Mask, SuperpatchGrid
from MAESILCore.report.shading import STAGE_COLOURS, rgb
from MAESILSlicerLib.overlays.overlays import HIGHLIGHT_COLOR, OverlayDisplay, Overlays
from offscreen import AXIAL, SLICES, THREE_D, OffscreenViews
from volumes import MakeVolume, matrixOf

SHAPE = (21, 30, 35)
GEOMETRIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "anisotropic": {"spacing": (0.7, 0.9, 2.5)},
    "flipped": {"flips": (-1, -1, 1), "spacing": (1.0, 1.0, 1.5)},
    "mirrored": {"flips": (-1, 1, 1)},
    "oblique": {"angles": (20.0, -15.0, 40.0), "spacing": (1.0, 1.2, 2.0), "origin": (10.0, -200.0, 33.0)},
    "sheared": {"shear": 0.3, "flips": (-1, 1, -1)},
}
BARE = OverlayDisplay(grid=False, labels=False, mask3d=False, outline=False, opacity=1.0)

every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)


def shownVolume(
    views: OffscreenViews, makeVolume: MakeVolume, geometry: dict[str, Any]
) -> slicer.vtkMRMLScalarVolumeNode:
    """A volume of even grey, in all views."""
    node = makeVolume(voxels=np.zeros(SHAPE, dtype=np.int16), **geometry)
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(1000, 0)
    views.showVolume(node)
    zoomOut(views)
    return node


def zoomOut(views: OffscreenViews) -> None:
    """Make room around the volume, so that what lies outside it is seen as well."""
    for name in SLICES:
        views.view(name).zoom(-1.0)


def cutAlongTheBody(views: OffscreenViews) -> None:
    """Turn the slices to axial, coronal and sagittal, whatever the axes of the volume."""
    for name, orientation in zip(SLICES, ("Axial", "Coronal", "Sagittal"), strict=True):
        views.sliceNode(name).SetOrientation(orientation)


def maskOf(patches: dict[tuple[int, int, int], int]) -> Mask:
    """A mask that hides single patches, each with its stage."""
    stages = np.zeros(SuperpatchGrid(SHAPE, 16).lattice_shape, dtype=np.uint8)
    for place, stage in patches.items():
        stages[place] = stage
    return Mask(stages)


def bytesOf(color: tuple[float, float, float]) -> list[int]:
    return [round(255 * part) for part in color]


def isStage(color: tuple[int, int, int], stage: int) -> bool:
    return np.allclose(color, bytesOf(rgb(STAGE_COLOURS[stage])), atol=2)


def colorsAt(
    views: OffscreenViews, ijkToWorld: np.ndarray, voxelKji: tuple[int, ...]
) -> list[tuple[int, int, int]]:
    """The colours of a voxel's centre in the three slices through it."""
    centerRas = (ijkToWorld @ [*reversed(voxelKji), 1.0])[:3]
    views.jumpTo(centerRas)
    return [views.colorAt(name, centerRas) for name in SLICES]


def colorsOf(
    views: OffscreenViews, ijkToRas: np.ndarray, voxelKji: np.ndarray, others: list[np.ndarray]
) -> list[list[tuple[int, int, int]]]:
    """The colours of a voxel's centre in the slices through it, and of others as far as these slices show them."""
    centersRas = [(ijkToRas @ [*voxel[::-1], 1.0])[:3] for voxel in (voxelKji, *others)]
    views.jumpTo(centersRas[0])
    colors: list[list[tuple[int, int, int]]] = [[] for _ in centersRas]
    for name in SLICES:
        picture = views.pictureOf(name)
        rasToXy = np.linalg.inv(slicer.util.arrayFromVTKMatrix(views.sliceNode(name).GetXYToRAS()))
        for found, centerRas in zip(colors, centersRas, strict=True):
            if abs(rasToXy[2] @ [*centerRas, 1.0]) < 1e-3:
                found.append(tuple(picture[views.pixelOf(name, centerRas)].tolist()))
    return colors


@every_geometry
@pytest.mark.parametrize(("place", "stage"), [((1, 1, 2), 1), ((2, 3, 4), 2)], ids=["inner", "partial last"])
def test_a_hidden_patch_is_colored_to_its_corner_voxels_and_no_further(
    views: OffscreenViews,
    makeVolume: MakeVolume,
    geometry: dict[str, Any],
    place: tuple[int, int, int],
    stage: int,
) -> None:
    node = shownVolume(views, makeVolume, geometry)
    overlays = Overlays(node.GetScene())
    overlays.show(node, SuperpatchGrid(SHAPE, 16))
    overlays.setDisplay(BARE)
    overlays.setMask(maskOf({place: stage}))
    if "shear" in geometry:
        # Along sheared axes a slice cannot be moved to a point: JumpSlice takes its axes for perpendicular.
        cutAlongTheBody(views)
    ijkToRas = matrixOf(**geometry)
    ends = [(8 * p, min(8 * p + 8, n) - 1) for p, n in zip(place, SHAPE, strict=True)]
    for far in itertools.product((0, 1), repeat=3):
        corner = np.array([end[f] for end, f in zip(ends, far, strict=True)])
        outside = [corner + step for step in np.diag(np.multiply(2, far) - 1)]
        inView = colorsOf(views, ijkToRas, corner, outside)
        assert all(isStage(color, stage) for color in inView[0])
        for colors in inView[1:]:
            assert colors, "no slice shows the neighbour"
            assert not any(isStage(color, stage) for color in colors)


def test_slices_askew_to_the_volume_show_the_mask_where_its_voxels_are(
    views: OffscreenViews, makeVolume: MakeVolume
) -> None:
    geometry = GEOMETRIES["oblique"]
    node = shownVolume(views, makeVolume, geometry)
    cutAlongTheBody(views)
    overlays = Overlays(node.GetScene())
    overlays.show(node, SuperpatchGrid(SHAPE, 16))
    overlays.setDisplay(BARE)
    mask = maskOf({(1, 1, 2): 1, (1, 1, 3): 2, (0, 2, 2): 2})
    overlays.setMask(mask)
    stages = SuperpatchGrid(SHAPE, 16).expand(mask.stages)
    for voxel in itertools.product((4, 7, 8, 15, 16), (8, 11, 15, 16), (15, 16, 23, 24, 31)):
        for color in colorsAt(views, matrixOf(**geometry), voxel):
            shown = next((stage for stage in STAGE_COLOURS if isStage(color, stage)), 0)
            assert shown == stages[voxel]


def test_overlays_follow_the_parent_transform_of_their_volume(
    views: OffscreenViews, makeVolume: MakeVolume
) -> None:
    geometry = GEOMETRIES["flipped"]
    node = shownVolume(views, makeVolume, geometry)
    scene = node.GetScene()
    overlays = Overlays(scene)
    overlays.show(node, SuperpatchGrid(SHAPE, 16))
    overlays.setDisplay(BARE)
    overlays.setMask(maskOf({(1, 1, 2): 1}))
    transformNode = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetAndObserveTransformNodeID(transformNode.GetID())
    transform = matrixOf(angles=(10.0, 20.0, 30.0), origin=(7.0, 8.0, 9.0))
    transformNode.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(transform))
    views.showVolume(node)
    zoomOut(views)
    ijkToWorld = transform @ matrixOf(**geometry)
    assert all(isStage(color, 1) for color in colorsAt(views, ijkToWorld, (8, 8, 16)))
    assert not any(isStage(color, 1) for color in colorsAt(views, ijkToWorld, (7, 8, 16)))
    centerRas = overlays.centerOf(0)
    np.testing.assert_allclose(centerRas, (ijkToWorld @ (8, 8, 8, 1))[:3])
    assert overlays.superpatchAt(centerRas) == 0
    node.SetAndObserveTransformNodeID(None)
    views.showVolume(node)
    assert all(isStage(color, 1) for color in colorsAt(views, matrixOf(**geometry), (8, 8, 16)))


@pytest.mark.parametrize("opacity", [0.0, 0.35, 1.0])
def test_the_fill_lets_the_anatomy_through_as_chosen(
    views: OffscreenViews, makeVolume: MakeVolume, opacity: float
) -> None:
    node = shownVolume(views, makeVolume, {})
    overlays = Overlays(node.GetScene())
    overlays.show(node, SuperpatchGrid(SHAPE, 16))
    (anatomy, *_) = colorsAt(views, np.eye(4), (12, 12, 20))
    overlays.setDisplay(OverlayDisplay(grid=False, labels=False, outline=False, opacity=opacity))
    overlays.setMask(maskOf({(1, 1, 2): 2}))
    expected = opacity * np.array(bytesOf(rgb(STAGE_COLOURS[2]))) + (1 - opacity) * np.array(anatomy)
    for color in colorsAt(views, np.eye(4), (12, 12, 20)):
        np.testing.assert_allclose(color, expected, atol=2)


def test_the_stages_differ_by_more_than_color(views: OffscreenViews, makeVolume: MakeVolume) -> None:
    node = shownVolume(views, makeVolume, {})
    overlays = Overlays(node.GetScene())
    overlays.show(node, SuperpatchGrid(SHAPE, 16))
    overlays.setDisplay(OverlayDisplay(grid=False, labels=False, opacity=0.0))
    views.jumpTo((12, 12, 12))
    inside = {}
    for stage, place in ((1, (1, 1, 1)), (2, (1, 1, 2))):
        overlays.setMask(maskOf({place: stage}))
        picture = views.pictureOf(AXIAL)
        k, j, i = (8 * p for p in place)
        rows, columns = zip(*(views.pixelOf(AXIAL, (i + a, j + a, k + 4)) for a in (0.5, 6.5)), strict=True)
        part = picture[min(rows) : max(rows), min(columns) : max(columns)]
        inside[stage] = len(np.unique(part.reshape(-1, 3), axis=0))
        edge = views.pixelOf(AXIAL, (i - 0.5, j + 3, k + 4))
        around = picture[edge[0], edge[1] - 1 : edge[1] + 2]
        assert any(isStage(color, stage) for color in around.tolist()), "no outline"
    assert inside[1] == 1
    assert inside[2] > 1


@every_geometry
def test_grid_lines_run_where_superpatches_meet(
    views: OffscreenViews, makeVolume: MakeVolume, geometry: dict[str, Any]
) -> None:
    node = shownVolume(views, makeVolume, geometry)
    overlays = Overlays(node.GetScene())
    overlays.show(node, SuperpatchGrid(SHAPE, 16))
    overlays.setDisplay(OverlayDisplay(labels=False))
    ijkToRas = matrixOf(**geometry)
    views.jumpTo((ijkToRas @ (10, 10, 10, 1))[:3])
    for voxelIjk, name in (((15.5, 10, 10), AXIAL), ((10, 15.5, 10), AXIAL)):
        row, column = views.pixelOf(name, (ijkToRas @ [*voxelIjk, 1])[:3])
        near = views.pictureOf(name)[row - 1 : row + 2, column - 1 : column + 2]
        assert near.max() > 160
    row, column = views.pixelOf(AXIAL, (ijkToRas @ (10, 10, 10, 1))[:3])
    assert views.pictureOf(AXIAL)[row - 1 : row + 2, column - 1 : column + 2].max() < 140


def test_the_highlight_outlines_one_superpatch(views: OffscreenViews, makeVolume: MakeVolume) -> None:
    node = shownVolume(views, makeVolume, {})
    overlays = Overlays(node.GetScene())
    overlays.show(node, SuperpatchGrid(SHAPE, 16))
    overlays.setHighlight(1)
    views.jumpTo(overlays.centerOf(1))

    def yellowNear(ijk: tuple[float, float, float]) -> bool:
        row, column = views.pixelOf(AXIAL, ijk)
        near = views.pictureOf(AXIAL)[row - 2 : row + 3, column - 2 : column + 3].reshape(-1, 3)
        return bool((np.abs(near.astype(int) - bytesOf(HIGHLIGHT_COLOR)).max(axis=1) < 20).any())

    assert yellowNear((31.5, 8, 8))
    assert yellowNear((15.5, 8, 8))
    assert not yellowNear((0, 8, 8))
    overlays.setHighlight(None)
    assert not yellowNear((31.5, 8, 8))


def test_cubes_in_3d_have_both_colors_and_are_confined_to_a_superpatch(
    views: OffscreenViews, makeVolume: MakeVolume
) -> None:
    node = shownVolume(views, makeVolume, {})
    overlays = Overlays(node.GetScene())
    overlays.show(node, SuperpatchGrid(SHAPE, 16))
    overlays.setMask(maskOf({(0, 0, 0): 1, (2, 3, 4): 2, (0, 3, 4): 2}))
    bare = OverlayDisplay(grid=False, labels=False)
    overlays.setDisplay(bare)
    views.view(THREE_D).reset_view()

    def isSeen(stage: int) -> bool:
        picture = views.pictureOf(THREE_D).reshape(-1, 3).astype(int)
        red, _, blue = picture.T
        return bool(((blue - red) * (3 - 2 * stage) > 60).sum() > 20)

    assert isSeen(1)
    assert isSeen(2)
    overlays.setDisplay(OverlayDisplay(grid=False, labels=False, clip=0))
    assert isSeen(1)
    assert not isSeen(2)
    overlays.setDisplay(OverlayDisplay(grid=False, labels=False, mask3d=False))
    assert not isSeen(1)


@pytest.mark.parametrize("isVolumeMirrored", [False, True])
@pytest.mark.parametrize("isTransformMirrored", [False, True])
def test_cubes_are_seen_from_outside_also_where_space_is_mirrored(
    views: OffscreenViews, makeVolume: MakeVolume, isVolumeMirrored: bool, isTransformMirrored: bool
) -> None:
    node = shownVolume(views, makeVolume, GEOMETRIES["mirrored"] if isVolumeMirrored else {})
    transformNode = node.GetScene().AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform = np.diag([1.0, -1.0 if isTransformMirrored else 1.0, 1.0, 1.0])
    transformNode.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(transform))
    node.SetAndObserveTransformNodeID(transformNode.GetID())
    overlays = Overlays(node.GetScene())
    overlays.show(node, SuperpatchGrid(SHAPE, 16))
    overlays.setDisplay(OverlayDisplay(grid=False, labels=False))
    overlays.setMask(maskOf({(1, 1, 1): 1, (1, 1, 2): 2, (2, 3, 4): 2}))
    views.view(THREE_D).reset_view()
    views.view(THREE_D).renderer().GetActiveCamera().Azimuth(30)
    culled = views.pictureOf(THREE_D)
    display = overlays.cubesNode.GetDisplayNode()
    display.SetBackfaceCulling(False)
    display.SetFrontfaceCulling(False)
    # Not one pixel is allowed on a face; on an edge, which is as near, either colour is right.
    assert (culled != views.pictureOf(THREE_D)).any(axis=2).sum() < 10
    display.SetVisibility(False)
    assert (culled != views.pictureOf(THREE_D)).sum() > 1000


def test_labels_are_written_in_the_slices_where_there_is_room(
    views: OffscreenViews, makeVolume: MakeVolume
) -> None:
    node = shownVolume(views, makeVolume, {})
    overlays = Overlays(node.GetScene())
    overlays.show(node, SuperpatchGrid(SHAPE, 16))
    overlays.setDisplay(OverlayDisplay(grid=False))
    views.jumpTo((8, 8, 8))
    seen = views.pictureOf(AXIAL)
    overlays.setDisplay(OverlayDisplay(grid=False, labels=False))
    blank = views.pictureOf(AXIAL)
    row, column = views.pixelOf(AXIAL, (15.5, 15.5, 8))
    assert (seen != blank)[row : row + 40, column : column + 60].any()
    overlays.setDisplay(OverlayDisplay(grid=False))
    views.view(AXIAL).zoom(-9.0)
    crowded = views.pictureOf(AXIAL)
    overlays.setDisplay(OverlayDisplay(grid=False, labels=False))
    np.testing.assert_array_equal(crowded, views.pictureOf(AXIAL))
