"""Features in a scene: on their lattice, beside their input, and asked for similarity to one place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import slicer
from featurejob import a_feature_map, write_feature_job

from MAESILCore.lattice import similarity
from MAESILSlicerLib.results.features import Likeness
from MAESILSlicerLib.results.jobfiles import ResultsError
from MAESILSlicerLib.results.resultset import ResultSet, allResults, importResults, removeResults
from MAESILSlicerLib.scene.volumes import geometryOf, voxelsOf

if TYPE_CHECKING:
    from volumes import MakeVolume

OBLIQUE = {
    "angles": (20.0, -15.0, 40.0),
    "spacing": (0.8, 1.2, 2.0),
    "flips": (-1, 1, -1),
    "origin": (9.0, -70.0, 3.0),
}
SHEARED = {"shear": 0.3, "flips": (-1, -1, 1), "spacing": (0.7, 0.7, 3.0)}


@pytest.fixture(params=[{}, OBLIQUE, SHEARED], ids=["straight", "oblique", "sheared"])
def aNode(request: pytest.FixtureRequest, makeVolume: MakeVolume) -> slicer.vtkMRMLScalarVolumeNode:
    geometry: dict[str, Any] = request.param
    return makeVolume(shape=(24, 30, 40), **geometry)


def imported(scene: slicer.vtkMRMLScene, node: slicer.vtkMRMLScalarVolumeNode, folder: Path) -> ResultSet:
    results = importResults(scene, node, write_feature_job(folder, a_feature_map(node)))
    assert results is not None
    return results


def test_features_lie_on_the_lattice_of_their_input(
    scene: slicer.vtkMRMLScene, aNode: slicer.vtkMRMLScalarVolumeNode, tmp_path: Path
) -> None:
    results, expected = imported(scene, aNode, tmp_path / "job"), a_feature_map(aNode)
    assert list(results.nodesByRole) == ["colours", "vectors"]
    for node in results.nodes:
        np.testing.assert_allclose(geometryOf(node), expected.lattice_to_ras, atol=1e-9)
    assert results.colours.GetImageData().GetNumberOfScalarComponents() == 3
    found = Likeness(results).map
    assert np.array_equal(found.vectors, expected.vectors)
    assert np.array_equal(found.body, expected.body)
    assert found.stride == expected.stride
    assert "a-jepa" in results.description
    assert "Made up." in results.description


def test_a_point_is_answered_with_the_similarity_to_its_box(
    scene: slicer.vtkMRMLScene, aNode: slicer.vtkMRMLScalarVolumeNode, tmp_path: Path
) -> None:
    turned = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    toWorld = np.array([[0.0, -1, 0, 7], [1, 0, 0, -3], [0, 0, 1, 2], [0, 0, 0, 1]])
    turned.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(toWorld))
    aNode.SetAndObserveTransformNodeID(turned.GetID())
    likeness, features = Likeness(imported(scene, aNode, tmp_path / "job")), a_feature_map(aNode)
    before = scene.GetNumberOfNodes()

    def pointIn(k: int, j: int, i: int) -> tuple[float, float, float]:
        corner = np.array([i + 0.4, j - 0.4, k + 0.4, 1.0])  # not the middle of the box
        r, a, s = (toWorld @ features.lattice_to_ras @ corner)[:3].tolist()
        return r, a, s

    shown = []
    for place in ((1, 2, 3), (0, 0, 1)):
        results = likeness.show(pointIn(*place))
        assert results is not None
        shown.append(results.similarity)
        np.testing.assert_allclose(voxelsOf(results.similarity), similarity(features, place), atol=1e-5)
        assert voxelsOf(results.similarity)[place] == pytest.approx(1.0, abs=1e-4)
    assert shown[0] is shown[1]
    assert geometryOf(shown[0]) == pytest.approx(features.lattice_to_ras)
    assert shown[0].GetParentTransformNode() is turned
    assert likeness.show(pointIn(0, 0, -2)) is None
    assert [each.nodesByRole for each in allResults(scene, aNode)] == [likeness.results.nodesByRole]
    display = shown[0].GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 1.0)
    assert scene.GetNumberOfNodes() > before
    # A place that is chosen after a deletion makes the node anew.
    scene.RemoveNode(shown[0])
    again = Likeness(allResults(scene, aNode)[0]).show(pointIn(1, 2, 3))
    assert again is not None
    assert again.similarity.GetScene() is scene
    removeResults(again)
    assert not allResults(scene, aNode)


def test_a_damaged_job_leaves_the_scene_as_it_was(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, tmp_path: Path
) -> None:
    node = makeVolume()
    folder = write_feature_job(tmp_path / "job", a_feature_map(node))
    (folder / "vectors.npy").unlink()
    before = scene.GetNumberOfNodes()
    with pytest.raises(ResultsError, match=r"vectors\.npy is missing or damaged"):
        importResults(scene, node, folder)
    assert scene.GetNumberOfNodes() == before
