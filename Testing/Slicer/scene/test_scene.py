"""A volume of the scene is looked at before it is used, read as it is, and what is made of it lies upon it."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from MAESILCore.data.volume import Volume
from MAESILSlicerLib.scene.nodes import removeNode
from MAESILSlicerLib.scene.transforms import SceneError, geometryOf
from MAESILSlicerLib.scene.volumes import VolumeCheck, addVolume, checkVolume, modalityOf, readVolume
from offscreen import SLICES, OffscreenViews
from volumes import MakeVolume, matrixOf, putUnder, putUnderBent


def makeDicom(scene: slicer.vtkMRMLScene, node: slicer.vtkMRMLScalarVolumeNode, modality: str) -> int:
    """Put a volume under a patient and a study, as the DICOM import does; the study's item."""
    hierarchy = scene.GetSubjectHierarchyNode()
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "patient")
    study = hierarchy.CreateStudyItem(patient, "study")
    hierarchy.SetItemAttribute(hierarchy.CreateItem(study, node), "DICOM.Modality", modality)
    return study


# Checks


def test_a_ct_is_usable_and_needs_no_warning(makeVolume: MakeVolume) -> None:
    check = checkVolume(makeVolume())
    assert check == VolumeCheck(None, ())
    assert check.usable


def test_no_volume_and_a_deleted_one_ask_for_a_volume(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    deleted = makeVolume()
    scene.RemoveNode(deleted)
    for node in (None, deleted):
        assert checkVolume(node) == VolumeCheck("Choose a volume.")
        assert not checkVolume(node).usable
        with pytest.raises(SceneError, match="Choose a volume"):
            readVolume(node)


@pytest.mark.parametrize("dimensions", [None, (0, 0, 0), (4, 0, 3)])
def test_a_volume_without_voxels_is_refused(
    scene: slicer.vtkMRMLScene, dimensions: tuple[int, int, int] | None
) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    if dimensions is not None:
        image = vtk.vtkImageData()
        image.SetDimensions(dimensions)
        node.SetAndObserveImageData(image)
    assert (
        checkVolume(node).problem == '"empty" has no voxels; load an image into it, or choose another volume.'
    )


def test_an_image_that_is_not_counted_from_0_is_refused(scene: slicer.vtkMRMLScene) -> None:
    image = vtk.vtkImageData()
    image.SetExtent(2, 6, 0, 4, 0, 4)
    image.AllocateScalars(vtk.VTK_SHORT, 1)
    image.GetPointData().GetScalars().Fill(0)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "cut")
    node.SetAndObserveImageData(image)
    assert "not counted from 0" in checkVolume(node).problem


@pytest.mark.parametrize(
    ("nodeClass", "word"),
    [
        ("vtkMRMLLabelMapVolumeNode", "label map"),
        ("vtkMRMLVectorVolumeNode", "colours"),
        ("vtkMRMLDiffusionTensorVolumeNode", "one number per voxel"),
        ("vtkMRMLModelNode", "one number per voxel"),
        ("vtkMRMLSequenceNode", "4D sequence"),
    ],
)
def test_other_kinds_of_nodes_are_refused_by_name(
    scene: slicer.vtkMRMLScene, nodeClass: str, word: str
) -> None:
    problem = checkVolume(scene.AddNewNodeByClass(nodeClass, "other")).problem
    assert problem.startswith('"other" is') or problem.startswith('"other" has')
    assert word in problem
    assert problem.count(".") == 1


def test_a_scalar_volume_with_colours_is_refused(scene: slicer.vtkMRMLScene) -> None:
    image = vtk.vtkImageData()
    image.SetDimensions(6, 5, 4)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "photo")
    node.SetAndObserveImageData(image)
    assert checkVolume(node).problem.startswith('"photo" has colours')
    with pytest.raises(SceneError, match="colours"):
        readVolume(node)


@pytest.mark.parametrize("frames", [1, 2])
def test_a_frame_is_refused_while_a_sequence_of_several_plays_through_it(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, frames: int
) -> None:
    frame, bystander = makeVolume(), makeVolume(name="still")
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode")
    for index in range(frames):
        sequence.SetDataNodeAtValue(frame, str(index))
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.AddSynchronizedSequenceNode(sequence)
    browser.AddProxyNode(frame, sequence, False)
    assert checkVolume(frame).usable is (frames == 1)
    assert checkVolume(bystander).usable
    if frames > 1:
        assert "clone" in checkVolume(frame).problem


def test_a_degenerate_geometry_is_refused(makeVolume: MakeVolume) -> None:
    flat = np.eye(4)
    flat[:3, 2] = flat[:3, 1]
    assert "degenerate" in checkVolume(makeVolume(ijkToRas=flat)).problem


def test_an_mr_image_is_warned_about_and_usable(scene: slicer.vtkMRMLScene, makeVolume: MakeVolume) -> None:
    node = makeVolume(voxels=np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    makeDicom(scene, node, "MR")
    (warning,) = checkVolume(node).warnings
    assert warning == "The modality is MR, and the model has seen CT only: expect poor results."
    assert checkVolume(node).usable
    assert modalityOf(node) == "MR"


def test_a_ct_from_dicom_needs_no_warning(scene: slicer.vtkMRMLScene, makeVolume: MakeVolume) -> None:
    node = makeVolume()
    assert modalityOf(node) is None
    makeDicom(scene, node, "CT")
    assert modalityOf(node) == "CT"
    assert checkVolume(node).warnings == ()


@pytest.mark.parametrize(
    ("low", "high", "dtype", "warned"),
    [
        (0, 255, np.uint8, "8-bit values from 0 to 255"),
        (-128, 127, np.int8, "8-bit values from -128 to 127"),
        (0, 4095, np.int16, "The values from 0 to 4095"),
        (-150, 250, np.float32, "The values from -150 to 250"),
        (-1024, 3071, np.int16, None),
        (-1000.5, 2000.25, np.float64, None),
    ],
)
def test_values_that_are_not_hu_are_warned_about(
    makeVolume: MakeVolume, low: float, high: float, dtype: type, warned: str | None
) -> None:
    voxels = np.linspace(low, high, 60).reshape(3, 4, 5).astype(dtype)
    check = checkVolume(makeVolume(voxels=voxels))
    assert check.usable
    assert len(check.warnings) == (0 if warned is None else 1)
    assert all(warned in warning for warning in check.warnings)


def test_a_tilted_gantry_gives_a_warning(makeVolume: MakeVolume) -> None:
    (warning,) = checkVolume(makeVolume(shear=np.tan(np.radians(18.5)))).warnings
    assert "18.5 degrees" in warning


@pytest.mark.parametrize("isNested", [False, True])
def test_a_volume_under_a_bent_transform_is_refused(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, isNested: bool
) -> None:
    node = makeVolume(name="liver")
    putUnderBent(scene, putUnder(scene, node, np.eye(4)) if isNested else node)
    assert checkVolume(node).problem.startswith('"liver" lies under a transform that is not linear ("')
    with pytest.raises(SceneError, match="not linear"):
        readVolume(node)


def test_a_changed_volume_is_checked_again(makeVolume: MakeVolume) -> None:
    node = makeVolume()
    assert checkVolume(node).warnings == ()
    slicer.util.arrayFromVolume(node)[:] = 7
    slicer.util.arrayFromVolumeModified(node)
    assert "from 7 to 7" in checkVolume(node).warnings[0]


# Reading


def test_a_volume_is_read_with_its_own_geometry_under_a_transform(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    geometry = {"angles": (5, 10, 15), "spacing": (0.7, 0.8, 2.5), "flips": (-1, -1, 1), "origin": (9, -8, 7)}
    node = makeVolume(name="head", **geometry)
    putUnder(scene, node, matrixOf(angles=(0, 0, 90)))
    volume = readVolume(node)
    assert volume.name == "head"
    assert np.allclose(volume.ijk_to_ras, matrixOf(**geometry), atol=1e-12)
    assert np.array_equal(volume.voxels, slicer.util.arrayFromVolume(node))
    assert volume.voxels.dtype == np.int16
    assert volume.notes == ()


def test_what_was_read_does_not_change_with_the_node(makeVolume: MakeVolume) -> None:
    node = makeVolume()
    volume = readVolume(node)
    before = volume.voxels.copy()
    slicer.util.arrayFromVolume(node)[:] = 0
    assert np.array_equal(volume.voxels, before)


def test_voxels_that_are_no_number_are_filled_and_noted_and_the_node_is_left_alone(
    makeVolume: MakeVolume,
) -> None:
    voxels = np.linspace(-1000, 1000, 60, dtype=np.float32).reshape(3, 4, 5)
    voxels[0, 0, :2] = np.nan, np.inf
    node = makeVolume(voxels=voxels)
    assert checkVolume(node) == VolumeCheck(None, ())
    volume = readVolume(node)
    lowest = voxels[np.isfinite(voxels)].min()
    assert volume.voxels[0, 0, :2].tolist() == [lowest, lowest]
    assert "2 voxels are NaN" in volume.notes[0]
    assert np.isnan(slicer.util.arrayFromVolume(node)[0, 0, 0])


def test_a_volume_without_a_single_number_is_refused(makeVolume: MakeVolume) -> None:
    node = makeVolume(voxels=np.full((3, 4, 5), np.nan, dtype=np.float32))
    assert "no voxel with a finite number" in checkVolume(node).problem


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 1, 1), (1, 1, 1)])
def test_a_single_slice_is_a_volume_too(makeVolume: MakeVolume, shape: tuple[int, int, int]) -> None:
    assert readVolume(makeVolume(shape)).shape == shape


# Adding


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    spacing=st.tuples(*[st.floats(0.1, 10.0)] * 3),
    angles=st.tuples(*[st.floats(-180.0, 180.0)] * 3),
    flips=st.tuples(*[st.sampled_from((-1, 1))] * 3),
    shear=st.floats(-0.8, 0.8),
    origin=st.tuples(*[st.floats(-2000.0, 2000.0)] * 3),
    dtype=st.sampled_from(["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"]),
)
def test_any_volume_comes_back_from_the_scene_as_it_went_in(
    scene: slicer.vtkMRMLScene,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    angles: tuple[float, float, float],
    flips: tuple[int, int, int],
    shear: float,
    origin: tuple[float, float, float],
    dtype: str,
) -> None:
    voxels = np.random.default_rng(0).integers(0, 100, size=shape).astype(dtype)
    volume = Volume(voxels, matrixOf(spacing, angles, flips, shear, origin))
    node = addVolume(scene, volume, "any")
    again = readVolume(node)
    assert np.array_equal(again.voxels, voxels)
    assert again.voxels.dtype == voxels.dtype
    # MRML keeps spacing and unit vectors apart, which costs the last bit.
    assert np.allclose(again.ijk_to_ras, volume.ijk_to_ras, rtol=1e-14, atol=1e-14)
    scene.RemoveNode(node)


@pytest.mark.parametrize(
    ("dtype", "stored"), [("bool", "uint8"), ("float16", "float32"), ("int64", "int16"), ("uint64", "int16")]
)
def test_types_that_a_scene_does_not_know_are_stored_exactly_in_one_that_it_knows(
    scene: slicer.vtkMRMLScene, dtype: str, stored: str
) -> None:
    voxels = np.array([[[0, 1, 1, 0]]]).astype(dtype)
    again = readVolume(addVolume(scene, Volume(voxels, np.eye(4)), "any"))
    assert again.voxels.dtype == stored
    assert np.array_equal(again.voxels, voxels)


def test_a_result_moves_with_its_input_and_lies_beside_it_in_the_hierarchy(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    node = makeVolume(name="chest")
    study = makeDicom(scene, node, "CT")
    transform = putUnder(scene, node, matrixOf(origin=(50, 0, 0)))
    result = addVolume(scene, readVolume(node), "chest reconstruction", like=node)
    hierarchy = scene.GetSubjectHierarchyNode()
    assert result.GetName() == "chest reconstruction"
    assert result.GetParentTransformNode() is transform
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(result)) == study
    bounds = [0.0] * 6, [0.0] * 6
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrixOf(angles=(0, 0, 30))))
    node.GetRASBounds(bounds[0])
    result.GetRASBounds(bounds[1])
    assert bounds[0] == bounds[1]


def test_a_result_whose_item_the_application_made_is_moved_not_doubled(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    node = makeVolume()
    study = makeDicom(scene, node, "CT")
    hierarchy = scene.GetSubjectHierarchyNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def makeItem(_caller: object, _event: str, added: slicer.vtkMRMLNode) -> None:
        if added.IsA("vtkMRMLVolumeNode"):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), added)

    scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, makeItem)
    result = addVolume(scene, readVolume(node), "result", like=node)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(result)) == study
    children = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), children, False)
    assert [hierarchy.GetItemDataNode(children.GetId(n)) for n in range(children.GetNumberOfIds())] == [None]


def test_a_result_is_shown_as_its_input_when_asked(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    node = makeVolume()
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(350, 40)
    display.SetInterpolate(False)
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeInvertedGrey")
    volume = readVolume(node)
    alike = addVolume(scene, volume, "alike", like=node, sameDisplay=True).GetDisplayNode()
    assert (alike.GetWindow(), alike.GetLevel(), alike.GetAutoWindowLevel()) == (350, 40, False)
    assert alike.GetColorNodeID() == "vtkMRMLColorTableNodeInvertedGrey"
    assert not alike.GetInterpolate()
    other = addVolume(scene, volume, "other", like=node).GetDisplayNode()
    assert other.GetAutoWindowLevel()


def test_a_display_cannot_be_copied_from_a_volume_that_is_not_shown(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    node = makeVolume()
    scene.RemoveNode(node.GetDisplayNode())
    added = addVolume(scene, readVolume(node), "alike", like=node, sameDisplay=True)
    assert added.GetDisplayNode().GetAutoWindowLevel()


def test_observers_of_the_scene_see_the_new_volume_complete(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    volume = readVolume(makeVolume())
    seen = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def look(_caller: object, _event: str, node: slicer.vtkMRMLNode) -> None:
        if node.IsA("vtkMRMLVolumeNode"):
            seen.append((node.GetName(), checkVolume(node).problem, geometryOf(node).tolist()))

    scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, look)
    addVolume(scene, volume, "new")
    assert seen == [("new", None, volume.ijk_to_ras.tolist())]


def test_a_result_that_is_deleted_gives_its_memory_back(scene: slicer.vtkMRMLScene) -> None:
    freed = []
    node = addVolume(scene, Volume(np.zeros((2, 2, 2)), np.eye(4)), "passing")
    node.GetImageData().AddObserver("DeleteEvent", lambda *_: freed.append(True))
    removeNode(node)
    del node
    assert freed == [True]


def test_nothing_is_left_in_the_scene_when_memory_runs_out(
    scene: slicer.vtkMRMLScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(slicer.util, "updateVolumeFromArray", fail)
    before = scene.GetNumberOfNodes()
    with pytest.raises(SceneError, match='not enough memory to add "large"'):
        addVolume(scene, Volume(np.zeros((2, 2, 2)), np.eye(4)), "large")
    assert scene.GetNumberOfNodes() == before


@pytest.mark.parametrize(
    "geometry",
    [
        {"angles": (20, -15, 40), "spacing": (1.0, 1.5, 2.0)},
        {"flips": (-1, -1, 1), "spacing": (0.8, 0.8, 3.0)},
        {"flips": (1, -1, 1), "shear": 0.3},
    ],
    ids=["oblique", "flipped", "sheared"],
)
def test_a_result_covers_its_input_to_the_pixel_under_a_transform(
    scene: slicer.vtkMRMLScene,
    makeVolume: MakeVolume,
    views: OffscreenViews,
    geometry: dict[str, tuple[float, float, float]],
) -> None:
    node = makeVolume(**geometry)
    putUnder(scene, node, matrixOf(angles=(0, 25, 0), origin=(30, 0, 0)))
    result = addVolume(scene, readVolume(node), "result", like=node, sameDisplay=True)
    views.showVolume(node)
    pictures = {name: views.pictureOf(name) for name in SLICES}
    for name in SLICES:
        assert pictures[name].max() > 100
        views.view(name).set_background_volume_id(result.GetID())
        assert np.array_equal(views.pictureOf(name), pictures[name])
