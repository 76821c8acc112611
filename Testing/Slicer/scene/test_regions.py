"""A ROI or a segment hides exactly the patches with a voxel in it, wherever it and the volume lie."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import slicer
import vtk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from MAESILCore.lattice import FIRST_STAGE, Mask, SuperpatchGrid
from MAESILSlicerLib.scene.regions import maskFromRegion
from MAESILSlicerLib.scene.transforms import SceneError, geometryOf, linearTransformToWorld
from volumes import MakeVolume, addTestVolume, matrixOf, putUnder, putUnderBent

SHAPE = (22, 30, 37)
GRID = SuperpatchGrid(SHAPE, 16, 4)

GEOMETRIES = [
    {},
    {"spacing": (0.8, 0.8, 2.5), "flips": (-1, -1, 1), "origin": (20.0, 30.0, -10.0)},
    {"angles": (20.0, -15.0, 40.0), "spacing": (1.0, 1.2, 2.0), "origin": (10.0, -20.0, 3.0)},
    {"shear": 0.4, "angles": (0.0, 30.0, 0.0), "flips": (1, -1, 1)},
]
IDS = ["plain", "flipped", "oblique", "sheared"]


def addRoi(
    scene: slicer.vtkMRMLScene, size: tuple[float, float, float], boxToNode: np.ndarray, name: str = "R"
) -> slicer.vtkMRMLMarkupsROINode:
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", name)
    node.SetSize(size)
    node.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(boxToNode))
    return node


def addSegmentation(
    scene: slicer.vtkMRMLScene, label: np.ndarray, ijkToRas: np.ndarray
) -> slicer.vtkMRMLNode:
    """A segmentation with one segment for each value above 0, imported from a label map of its own geometry."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "S")
    labelNode = addTestVolume(scene, voxels=label, ijkToRas=ijkToRas, nodeClass="vtkMRMLLabelMapVolumeNode")
    slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(labelNode, node)
    scene.RemoveNode(labelNode)
    return node


def worldOfVoxels(volume: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """The centres of all voxels in world RAS, (4, N) homogeneous, row-major over (k, j, i)."""
    k, j, i = np.indices(volume.GetImageData().GetDimensions()[::-1]).reshape(3, -1)
    ijkToWorld = linearTransformToWorld(volume) @ geometryOf(volume)
    return ijkToWorld @ np.stack([i, j, k, np.ones_like(i)])


def hiddenByHand(inside: np.ndarray) -> np.ndarray:
    """Patch by patch: is one voxel of it inside?"""
    hidden = np.zeros(GRID.lattice_shape, dtype=bool)
    for place in np.ndindex(GRID.lattice_shape):
        hidden[place] = inside.reshape(SHAPE)[tuple(slice(4 * n, 4 * n + 4) for n in place)].any()
    return hidden


def assertHides(mask: Mask, inside: np.ndarray) -> None:
    expected = hiddenByHand(inside)
    assert 0 < expected.sum() < expected.size, "the example shows nothing"
    assert np.array_equal(mask.stages, np.where(expected, FIRST_STAGE, 0))


# Boxes


def insideBox(world: np.ndarray, boxToWorld: np.ndarray, size: tuple[float, float, float]) -> np.ndarray:
    place = np.linalg.solve(boxToWorld, world)[:3]
    return (np.abs(place) <= np.array(size)[:, None] / 2 + 1e-9).all(axis=0)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=IDS)
def test_a_turned_roi_hides_the_patches_with_a_voxel_in_it(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, geometry: dict
) -> None:
    volume = makeVolume(SHAPE, **geometry)
    centerRas = (geometryOf(volume) @ (18, 12, 9, 1))[:3]
    boxToWorld = matrixOf(angles=(35.0, 10.0, -50.0), origin=tuple(centerRas))
    roi = addRoi(scene, (9.0, 14.0, 20.0), boxToWorld)
    assertHides(maskFromRegion(GRID, volume, roi), insideBox(worldOfVoxels(volume), boxToWorld, (9, 14, 20)))


def test_roi_and_volume_are_each_taken_under_their_own_nested_transforms(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    volume = makeVolume(SHAPE, **GEOMETRIES[2])
    inner, outer = matrixOf(angles=(0, 0, 30), origin=(100, 0, 0)), matrixOf(angles=(50, 0, 0))
    putUnder(scene, volume, inner, outer)
    centerWorld = worldOfVoxels(volume).mean(axis=1)[:3]
    ofRoi = matrixOf(angles=(0, 70, 0), origin=(3, 2, 1))
    centerRas = np.linalg.solve(ofRoi, [*centerWorld, 1])[:3]
    boxToRas = matrixOf(angles=(15, 25, 35), origin=tuple(centerRas))
    roi = addRoi(scene, (12.0, 8.0, 22.0), boxToRas)
    putUnder(scene, roi, ofRoi)
    inside = insideBox(worldOfVoxels(volume), ofRoi @ boxToRas, (12, 8, 22))
    assertHides(maskFromRegion(GRID, volume, roi), inside)


def test_a_stretched_roi_hides_what_slicer_draws(scene: slicer.vtkMRMLScene, makeVolume: MakeVolume) -> None:
    # Stretched askew, a box is no box any more; Slicer draws the one in this matrix.
    volume = makeVolume(SHAPE)
    roi = addRoi(scene, (6.0, 9.0, 12.0), matrixOf(angles=(10, 20, 30), origin=(9, 12, 9)))
    putUnder(scene, roi, matrixOf(spacing=(2.0, 1.0, 1.0)))
    boxToWorld = slicer.util.arrayFromVTKMatrix(roi.GetObjectToWorldMatrix())
    assertHides(maskFromRegion(GRID, volume, roi), insideBox(worldOfVoxels(volume), boxToWorld, (6, 9, 12)))


def test_a_roi_that_follows_points_is_a_box_too(scene: slicer.vtkMRMLScene, makeVolume: MakeVolume) -> None:
    volume = makeVolume(SHAPE)
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.SetROIType(roi.ROITypeBoundingBox)
    for corner in ((5, 6, 7), (17, 14, 12)):
        roi.AddControlPoint(vtk.vtkVector3d(corner))
    stages = np.zeros(GRID.lattice_shape, dtype=np.uint8)
    stages[7 // 4 : 12 // 4 + 1, 6 // 4 : 14 // 4 + 1, 5 // 4 : 17 // 4 + 1] = FIRST_STAGE
    assert np.array_equal(maskFromRegion(GRID, volume, roi).stages, stages)


def test_a_roi_around_everything_hides_everything(scene: slicer.vtkMRMLScene, makeVolume: MakeVolume) -> None:
    roi = addRoi(scene, (500.0, 500.0, 500.0), np.eye(4))
    assert maskFromRegion(GRID, makeVolume(SHAPE), roi).hidden.all()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(*[st.floats(1.0, 40.0)] * 3),
    angles=st.tuples(*[st.floats(-180.0, 180.0)] * 3),
    center=st.tuples(st.floats(-5.0, 41.0), st.floats(-5.0, 34.0), st.floats(-5.0, 26.0)),
)
def test_any_roi_hides_what_a_look_at_each_voxel_says(
    scene: slicer.vtkMRMLScene,
    size: tuple[float, float, float],
    angles: tuple[float, float, float],
    center: tuple[float, float, float],
) -> None:
    volume = addTestVolume(scene, SHAPE)
    boxToWorld = matrixOf(angles=angles, origin=center)
    roi = addRoi(scene, size, boxToWorld)
    inside = insideBox(worldOfVoxels(volume), boxToWorld, size)
    if inside.any():
        assert np.array_equal(maskFromRegion(GRID, volume, roi).hidden, hiddenByHand(inside))
    else:
        with pytest.raises(SceneError, match="contains no voxel"):
            maskFromRegion(GRID, volume, roi)
    scene.RemoveNode(roi)
    scene.RemoveNode(volume)


@pytest.mark.parametrize("size", [(8.0, 8.0, 8.0), (0.2, 0.2, 0.2)], ids=["outside", "between voxels"])
def test_a_roi_without_a_voxel_is_refused_by_name(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, size: tuple[float, float, float]
) -> None:
    center = (-50.0, 0.0, 0.0) if size[0] > 1 else (5.5, 5.5, 5.5)
    roi = addRoi(scene, size, matrixOf(origin=center), name="here")
    with pytest.raises(SceneError) as caught:
        maskFromRegion(GRID, makeVolume(SHAPE, name="head"), roi)
    assert str(caught.value) == 'The ROI "here" contains no voxel of "head"; move it or make it larger.'


def test_a_roi_that_is_not_placed_yet_is_refused(scene: slicer.vtkMRMLScene, makeVolume: MakeVolume) -> None:
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "new")
    with pytest.raises(SceneError, match='The ROI "new" has no extent yet'):
        maskFromRegion(GRID, makeVolume(SHAPE), roi)


def test_a_roi_that_is_inside_out_is_refused(scene: slicer.vtkMRMLScene, makeVolume: MakeVolume) -> None:
    roi = addRoi(scene, (9.0, 9.0, 9.0), np.eye(4))
    roi.SetInsideOut(True)
    with pytest.raises(SceneError, match="inside out"):
        maskFromRegion(GRID, makeVolume(SHAPE), roi)


def test_another_node_in_the_place_of_a_roi_is_refused(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    line = scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", "length")
    with pytest.raises(SceneError, match='"length" is not a region'):
        maskFromRegion(GRID, makeVolume(SHAPE), line)


# Segments


def insideLabel(world: np.ndarray, label: np.ndarray, ijkToWorld: np.ndarray) -> np.ndarray:
    nearestKji = np.rint(np.linalg.solve(ijkToWorld, world)[2::-1]).astype(int)
    within = ((nearestKji >= 0) & (nearestKji < np.array(label.shape)[:, None])).all(axis=0)
    inside = np.zeros(world.shape[1], dtype=bool)
    inside[within] = label[tuple(nearestKji[:, within])] != 0
    return inside


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=IDS)
def test_a_segment_on_the_volumes_own_grid_hides_the_patches_that_it_touches(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, geometry: dict
) -> None:
    volume = makeVolume(SHAPE, **geometry)
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[3, 5, 7] = label[9:12, 20, 30:37] = label[21, 29, 36] = 1
    node = addSegmentation(scene, label, geometryOf(volume))
    mask = maskFromRegion(GRID, volume, node, node.GetSegmentation().GetNthSegmentID(0))
    assertHides(mask, label != 0)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=IDS)
def test_a_segment_of_another_geometry_under_other_transforms_hides_what_it_covers(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, geometry: dict
) -> None:
    volume = makeVolume(SHAPE, **geometry)
    putUnder(scene, volume, matrixOf(angles=(0, 0, 20), origin=(10, 0, 0)), matrixOf(angles=(25, 0, 0)))
    label = (np.random.default_rng(0).random((14, 15, 16)) < 0.02).astype(np.uint8)
    ofSegmentation = matrixOf(angles=(0, 40, 0), spacing=(1.0, 1.1, 1.0), origin=(-4, 5, 6))
    ijkToWorld = matrixOf(angles=(-20, 0, 15), spacing=(1.3, 1.1, 0.9))
    ijkToWorld[:3, 3] = worldOfVoxels(volume).mean(axis=1)[:3] - ijkToWorld[:3, :3] @ (8, 7, 7)
    node = addSegmentation(scene, label, np.linalg.solve(ofSegmentation, ijkToWorld))
    putUnder(scene, node, ofSegmentation)
    mask = maskFromRegion(GRID, volume, node, node.GetSegmentation().GetNthSegmentID(0))
    assertHides(mask, insideLabel(worldOfVoxels(volume), label, ijkToWorld))


def test_each_segment_of_a_shared_label_map_is_taken_alone(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    volume = makeVolume(SHAPE)
    label = np.zeros(SHAPE, dtype=np.uint8)
    for value, (start, stop) in enumerate(pairwise((0, 10, 20, 30)), 1):
        label[5, start:stop, 7] = value
    node = addSegmentation(scene, label, geometryOf(volume))
    for value in (1, 2, 3):
        mask = maskFromRegion(GRID, volume, node, node.GetSegmentation().GetNthSegmentID(value - 1))
        assertHides(mask, label == value)


def test_a_segment_that_is_a_surface_alone_is_used_and_stays_one(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    volume = makeVolume(SHAPE)
    ball = vtk.vtkSphereSource()
    ball.SetCenter(18, 15, 11)
    ball.SetRadius(6.3)
    ball.SetThetaResolution(60)
    ball.SetPhiResolution(60)
    ball.Update()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    segmentId = node.AddSegmentFromClosedSurfaceRepresentation(ball.GetOutput(), "ball")
    mask = maskFromRegion(GRID, volume, node, segmentId)
    distance = np.linalg.norm(worldOfVoxels(volume)[:3].T - (18, 15, 11), axis=1)
    # On its skin, which of the nearest voxels are inside is the converter's affair.
    assert (mask.hidden >= hiddenByHand(distance < 6.0)).all()
    assert (mask.hidden <= hiddenByHand(distance < 6.6)).all()
    assert not node.GetSegmentation().ContainsRepresentation("Binary labelmap")


def test_an_unknown_segment_is_refused(scene: slicer.vtkMRMLScene, makeVolume: MakeVolume) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    with pytest.raises(SceneError, match='"organs" has no segment "liver"'):
        maskFromRegion(GRID, makeVolume(SHAPE), node, "liver")


@pytest.mark.parametrize(
    ("size", "origin"),
    [(0, (0, 0, 0)), (1.0, (-90, 0, 0)), (0.1, (5.5, 5.5, 5.5))],
    ids=["empty", "elsewhere", "between voxels"],
)
def test_a_segment_without_a_voxel_of_the_volume_is_refused_by_name(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, size: float, origin: tuple[float, float, float]
) -> None:
    if size:
        geometry = matrixOf(spacing=(size,) * 3, origin=origin)
        node = addSegmentation(scene, np.ones((2, 2, 2), dtype=np.uint8), geometry)
        node.GetSegmentation().GetNthSegment(0).SetName("liver")
    else:
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
        node.GetSegmentation().AddEmptySegment("1", "liver")
    with pytest.raises(SceneError) as caught:
        maskFromRegion(GRID, makeVolume(SHAPE, name="head"), node, node.GetSegmentation().GetNthSegmentID(0))
    assert str(caught.value) == (
        'The segment "liver" is empty, or contains no voxel of "head"; choose another segment or make it larger.'
    )


def test_regions_under_a_bent_transform_are_refused(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    volume = makeVolume(SHAPE)
    label = np.ones((3, 3, 3), dtype=np.uint8)
    roi, segmentation = addRoi(scene, (9.0, 9.0, 9.0), np.eye(4)), addSegmentation(scene, label, np.eye(4))
    putUnderBent(scene, roi)
    putUnderBent(scene, segmentation)
    with pytest.raises(SceneError, match="not linear"):
        maskFromRegion(GRID, volume, roi)
    with pytest.raises(SceneError, match="not linear"):
        maskFromRegion(GRID, volume, segmentation, segmentation.GetSegmentation().GetNthSegmentID(0))
