"""Segmentation nodes become labels on the grid of a volume, and labels become segmentation nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk

from MAESILCore import Segment, Segmentation, Volume, read_segmentation, write_segmentation
from MAESILSlicerLib.scene.segmentations import addSegmentation, segmentationOf, updateSegmentation
from MAESILSlicerLib.scene.transforms import SceneError, geometryOf, linearTransformToWorld
from volumes import MakeVolume, matrixOf, putUnder, putUnderBent

SHAPE = (12, 14, 16)
LIVER = "Segmentation category and type~SCT^85756007^Tissue~SCT^10200004^Liver~^^~Anatomic codes~^^~^^"
SEGMENTS = (
    Segment(1, "Leber ä", (0.25, 0.5, 1.0), LIVER),
    Segment(4, "gone", (1.0, 0.0, 0.0)),
    Segment(9, "c"),
)

GEOMETRIES = [
    {"spacing": (0.8, 0.8, 2.5), "flips": (-1, -1, 1), "origin": (20.0, 30.0, -10.0)},
    {"angles": (20.0, -15.0, 40.0), "spacing": (1.0, 1.2, 2.0), "origin": (10.0, -20.0, 3.0)},
    {"shear": 0.4, "angles": (0.0, 30.0, 0.0), "flips": (1, -1, 1)},
]
IDS = ["flipped", "oblique", "sheared"]


def labelsOf(values: tuple[int, ...] = (0, 0, 1, 9)) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:11, 1:12, 3:15] = np.random.default_rng(2).choice(values, (9, 11, 12))
    return labels


def on(volume: slicer.vtkMRMLScalarVolumeNode, labels: np.ndarray) -> Segmentation:
    return Segmentation(labels, geometryOf(volume), SEGMENTS)


def segmentsOf(node: slicer.vtkMRMLSegmentationNode) -> list[slicer.vtkSegment]:
    own = node.GetSegmentation()
    return [own.GetNthSegment(index) for index in range(own.GetNumberOfSegments())]


def masksOf(node: slicer.vtkMRMLSegmentationNode, volume: slicer.vtkMRMLScalarVolumeNode) -> list[np.ndarray]:
    """What Slicer itself says about the voxels of each segment."""
    masks = []
    for segmentId in node.GetSegmentation().GetSegmentIDs():
        exported = volume.GetScene().AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
        slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToLabelmapNode(
            node, [segmentId], exported, volume
        )
        masks.append(slicer.util.arrayFromVolume(exported) > 0)
        volume.GetScene().RemoveNode(exported)
    return masks


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=IDS)
def test_labels_go_into_the_scene_and_come_back(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, geometry: dict
) -> None:
    volume = makeVolume(SHAPE, **geometry)
    putUnder(scene, volume, matrixOf(angles=(0, 0, 20), origin=(10, 0, 0)), matrixOf(angles=(25, 0, 0)))
    labels = labelsOf()
    node = addSegmentation(scene, on(volume, labels), "S", volume)
    assert node.GetTransformNodeID() == volume.GetTransformNodeID()
    for mask, segment in zip(masksOf(node, volume), SEGMENTS, strict=True):
        np.testing.assert_array_equal(mask, labels == segment.value)
    found = segmentationOf(node, volume)
    np.testing.assert_array_equal(found.labels, np.select([labels == 1, labels == 9], [1, 3]))
    np.testing.assert_array_equal(found.ijk_to_ras, geometryOf(volume))
    assert [one.name for one in found.segments] == [one.name for one in SEGMENTS]
    assert found.segments[0].color == SEGMENTS[0].color
    assert found.segments[0].terminology == LIVER
    assert found.notes == ()


def test_a_segmentation_is_a_neighbour_of_its_volume_with_its_geometry(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    volume = makeVolume(SHAPE, **GEOMETRIES[1])
    node = addSegmentation(scene, on(volume, labelsOf()), "S", volume)
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume
    assert node.GetDisplayNode() is not None
    hierarchy = scene.GetSubjectHierarchyNode()
    parents = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(one)) for one in (node, volume)}
    assert len(parents) == 1
    assert node.GetSegmentation().GetNumberOfLayers() == 1


def test_no_label_and_no_colour_are_fine(scene: slicer.vtkMRMLScene, makeVolume: MakeVolume) -> None:
    volume = makeVolume(SHAPE)
    node = addSegmentation(scene, on(volume, np.zeros(SHAPE, np.uint8)), "S", volume)
    assert len(segmentsOf(node)) == 3
    assert segmentsOf(node)[2].GetColor() != segmentsOf(node)[1].GetColor()
    found = segmentationOf(node, volume)
    assert not found.labels.any()
    assert found.notes == ("No voxel has a label.",)


def test_a_segmentation_of_other_geometry_and_transforms_is_resampled(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    drawnOn = makeVolume(SHAPE, **GEOMETRIES[1])
    node = addSegmentation(scene, on(drawnOn, labelsOf((1, 9))), "S", drawnOn)
    putUnder(scene, node, matrixOf(angles=(0, 40, 0), origin=(-4, 5, 6)))
    toWorld = matrixOf(angles=(0, 30, 10), origin=(-4, 5, 6))
    middle = np.linalg.solve(toWorld, linearTransformToWorld(node) @ geometryOf(drawnOn) @ (8, 7, 6, 1))[:3]
    volume = makeVolume((20, 21, 22), spacing=(0.9, 1.0, 1.1), origin=tuple(middle - 10))
    putUnder(scene, volume, toWorld)
    found = segmentationOf(node, volume)
    k, j, i = np.indices(found.labels.shape).reshape(3, -1)
    world = linearTransformToWorld(volume) @ geometryOf(volume) @ np.stack([i, j, k, np.ones_like(i)])
    places = np.linalg.solve(linearTransformToWorld(node) @ geometryOf(drawnOn), world)[2::-1]
    nearest = np.floor(places + 0.5).astype(int)
    inside = ((nearest >= 0) & (nearest < np.array(SHAPE)[:, None])).all(axis=0)
    labels = np.select([labelsOf((1, 9)) == 1, labelsOf((1, 9)) == 9], [1, 3])
    expected = np.where(inside, labels[tuple(np.where(inside, nearest, 0))], 0)
    assert expected.any()
    np.testing.assert_array_equal(found.labels.ravel(), expected)
    assert sum("resampled" in note for note in found.notes) == 1
    np.testing.assert_array_equal(found.ijk_to_ras, geometryOf(volume))


def test_overlapping_and_chosen_segments(scene: slicer.vtkMRMLScene, makeVolume: MakeVolume) -> None:
    volume = makeVolume(SHAPE)
    node = addSegmentation(scene, on(volume, labelsOf()), "S", volume)
    over = np.zeros(SHAPE, np.uint8)
    over[4:6, 4:6, 4:6] = 1
    box = slicer.vtkOrientedImageData()
    box.SetExtent(4, 5, 4, 5, 4, 5)
    box.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    box.GetPointData().GetScalars().Fill(1)
    segmentId = node.AddSegmentFromBinaryLabelmapRepresentation(box, "over")
    found = segmentationOf(node, volume)
    assert (found.labels[over > 0] == 4).all()
    assert any(note.startswith("Segments overlap in ") for note in found.notes)
    np.testing.assert_array_equal(segmentationOf(node, volume, [segmentId]).labels, over)


def test_what_nobody_has_labelled_covers_no_structure(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    volume = makeVolume(SHAPE)
    node = addSegmentation(scene, on(volume, labelsOf()), "S", volume)
    box = slicer.vtkOrientedImageData()
    box.SetExtent(0, 15, 0, 13, 4, 5)
    box.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    box.GetPointData().GetScalars().Fill(1)
    node.AddSegmentFromBinaryLabelmapRepresentation(box, "unlabelled")
    found = segmentationOf(node, volume)
    inside = labelsOf()[4:6]
    np.testing.assert_array_equal(found.labels[4:6], np.select([inside == 1, inside == 9], [1, 3], default=4))
    assert found.notes == ()


def test_a_surface_is_converted_and_stays_one(scene: slicer.vtkMRMLScene, makeVolume: MakeVolume) -> None:
    volume = makeVolume(SHAPE)
    ball = vtk.vtkSphereSource()
    ball.SetCenter(8, 7, 6)
    ball.SetRadius(4.3)
    ball.SetThetaResolution(60)
    ball.SetPhiResolution(60)
    ball.Update()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    node.AddSegmentFromClosedSurfaceRepresentation(ball.GetOutput(), "ball")
    found = segmentationOf(node, volume)
    distance = np.linalg.norm(np.moveaxis(np.indices(SHAPE), 0, -1) - (6, 7, 8), axis=-1)
    assert found.labels[distance < 4.0].all()
    assert not found.labels[distance > 4.6].any()
    assert not node.GetSegmentation().ContainsRepresentation("Binary labelmap")


def test_what_cannot_be_labels_of_a_volume_is_one_sentence(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    volume = makeVolume(SHAPE, name="head")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    with pytest.raises(SceneError, match=r'^"organs" has no segments; outline a structure'):
        segmentationOf(node, volume)
    node = addSegmentation(scene, on(volume, labelsOf()), "organs", volume)
    with pytest.raises(SceneError, match='"organs" has no segment "x"'):
        segmentationOf(node, volume, ["x"])
    far = makeVolume(SHAPE, origin=(500.0, 0.0, 0.0), name="far")
    with pytest.raises(SceneError, match='All segments of "organs" are outside of "far"'):
        segmentationOf(node, far)
    nodes = scene.GetNumberOfNodes()
    with pytest.raises(SceneError, match='another grid than "far"'):
        addSegmentation(scene, on(volume, labelsOf()), "more", far)
    assert scene.GetNumberOfNodes() == nodes
    putUnderBent(scene, node)
    with pytest.raises(SceneError, match="not linear"):
        segmentationOf(node, volume)
    with pytest.raises(SceneError, match="not linear"):
        updateSegmentation(node, on(volume, labelsOf()), volume)


def test_an_update_replaces_segments_of_the_same_names_and_can_be_undone(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    volume = makeVolume(SHAPE, **GEOMETRIES[1])
    before = labelsOf()
    node = addSegmentation(scene, on(volume, before), "S", volume)
    putUnder(scene, node, matrixOf(angles=(0, 0, 20)))
    putUnder(scene, volume, matrixOf(angles=(0, 0, 20)))
    ids = node.GetSegmentation().GetSegmentIDs()
    node.GetDisplayNode().SetSegmentVisibility(ids[0], False)
    after = np.where(before == 9, 0, np.roll(before, 2, axis=2))
    update = Segmentation(after, geometryOf(volume), (SEGMENTS[0], Segment(2, "new", (0.0, 0.0, 1.0))))
    step = updateSegmentation(node, update, volume)
    masks = masksOf(node, volume)
    np.testing.assert_array_equal(masks[0], after == 1)
    assert not masks[1].any()
    np.testing.assert_array_equal(masks[2], before == 9)
    np.testing.assert_array_equal(masks[3], after == 2)
    assert node.GetSegmentation().GetSegmentIDs()[:3] == ids
    assert not node.GetDisplayNode().GetSegmentVisibility(ids[0])
    assert step.undo()
    assert node.GetSegmentation().GetSegmentIDs() == ids
    for mask, segment in zip(masksOf(node, volume), SEGMENTS, strict=True):
        np.testing.assert_array_equal(mask, before == segment.value)
    assert not step.undo()


def test_an_update_shows_in_surfaces_too(scene: slicer.vtkMRMLScene, makeVolume: MakeVolume) -> None:
    volume = makeVolume(SHAPE)
    first, second = np.zeros((2, *SHAPE), np.uint8)
    first[2:6, 2:6, 2:6] = 1
    second[6:10, 6:10, 8:14] = 1
    node = addSegmentation(scene, on(volume, first), "S", volume)
    node.CreateClosedSurfaceRepresentation()
    updateSegmentation(node, on(volume, second), volume)
    surface = vtk.vtkPolyData()
    node.GetClosedSurfaceRepresentation(node.GetSegmentation().GetNthSegmentID(0), surface)
    assert surface.GetBounds()[0] > 7


def test_slicer_opens_what_we_write_and_we_read_what_slicer_writes(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, tmp_path: Path
) -> None:
    volume = makeVolume(SHAPE, **GEOMETRIES[2])
    labels = labelsOf()
    write_segmentation(on(volume, labels), tmp_path / "ours.seg.nrrd")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(tmp_path / "ours.seg.nrrd"))
    assert storage.ReadData(node)
    assert [one.GetName() for one in segmentsOf(node)] == [one.name for one in SEGMENTS]
    assert segmentsOf(node)[0].GetColor() == SEGMENTS[0].color
    tag = vtk.reference("")
    assert segmentsOf(node)[0].GetTag("TerminologyEntry", tag)
    assert str(tag) == LIVER
    for mask, segment in zip(masksOf(node, volume), SEGMENTS, strict=True):
        np.testing.assert_array_equal(mask, labels == segment.value)
    storage.SetFileName(str(tmp_path / "slicers.seg.nrrd"))
    assert storage.WriteData(node)
    found = read_segmentation(
        tmp_path / "slicers.seg.nrrd", Volume(np.zeros(SHAPE, np.int16), geometryOf(volume))
    )
    np.testing.assert_array_equal(found.labels, labels)
    assert found.segments[0] == SEGMENTS[0]
    assert [one.name for one in found.segments] == [one.name for one in SEGMENTS]
