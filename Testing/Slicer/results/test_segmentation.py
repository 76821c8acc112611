"""The results of a segmentation in a scene: on the exact grid, in place of earlier ones, and removed again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import slicer
from segmentjob import write_segmentation_job

from MAESILSlicerLib.results.jobfiles import ResultsError
from MAESILSlicerLib.results.resultset import allResults, importResults
from MAESILSlicerLib.results.segmentation import segmentationsOf, undoNewest
from MAESILSlicerLib.scene.segmentations import segmentationOf
from MAESILSlicerLib.scene.volumes import geometryOf, voxelsOf

if TYPE_CHECKING:
    from volumes import MakeVolume

OBLIQUE = {"angles": (20.0, -15.0, 40.0), "spacing": (0.8, 1.2, 2.0), "flips": (-1, 1, -1), "shear": 0.2}
SHAPE = (10, 12, 14)


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:7, 3:9, 4:11] = 1
    return labels


def test_labels_and_uncertainty_lie_on_the_grid_of_the_volume(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, labels: np.ndarray, tmp_path: Path
) -> None:
    volume = makeVolume(SHAPE, **OBLIQUE)
    results = importResults(scene, volume, write_segmentation_job(tmp_path / "job", labels))
    assert results is not None
    found = segmentationOf(results.segmentation, volume)
    np.testing.assert_array_equal(found.labels, labels)
    assert [one.name for one in found.segments] == ["Leber", "gone"]
    assert found.segments[0].color == (1.0, 0.0, 0.5)
    np.testing.assert_array_equal(geometryOf(results.uncertainty), geometryOf(volume))
    np.testing.assert_array_equal(voxelsOf(results.uncertainty), labels * np.float32(0.25))
    assert results.segmentation.GetName() == "CT segmentation"
    assert results.description.startswith("Segmentation of CT by balls. Made up.")
    assert results.kind.hasOwnSection


def test_a_new_segmentation_hides_the_earlier_one_until_it_is_undone(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, labels: np.ndarray, tmp_path: Path
) -> None:
    volume = makeVolume(SHAPE)
    assert not undoNewest(volume)
    nodes = scene.GetNumberOfNodes()
    for name in ("first", "second"):
        importResults(scene, volume, write_segmentation_job(tmp_path / name, labels))
    first, second = segmentationsOf(volume)
    assert (first.main.GetDisplayVisibility(), second.main.GetDisplayVisibility()) == (0, 1)
    assert undoNewest(volume)
    assert [one.main for one in segmentationsOf(volume)] == [first.main]
    assert first.main.GetDisplayVisibility()
    assert undoNewest(volume)
    assert not allResults(scene)
    # The colour table of the uncertainty stays, for the next one.
    left = [node.GetName() for node in scene.GetNodes()][nodes:]
    assert all("MAESIL" in name or "olor" in name for name in left), left


def test_labels_of_another_size_are_refused_and_nothing_is_left(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, labels: np.ndarray, tmp_path: Path
) -> None:
    volume = makeVolume((9, 9, 9), name="head")
    folder = write_segmentation_job(tmp_path / "job", labels)
    nodes = scene.GetNumberOfNodes()
    with pytest.raises(ResultsError, match='The size of "head" has changed'):
        importResults(scene, volume, folder)
    assert scene.GetNumberOfNodes() == nodes
