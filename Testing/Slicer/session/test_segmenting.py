"""Outlined volumes of a scene become the cases of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import slicer
from segmentjob import write_segmentation_job

from MAESILCore import Segment, Segmentation, VolumeError, read_segmentation, read_volume
from MAESILCore.errors import ConfigError, MaesilError
from MAESILCore.jobs.runrequests import read_request
from MAESILSlicerLib.results.resultset import importResults
from MAESILSlicerLib.scene.segmentations import addSegmentation
from MAESILSlicerLib.scene.volumes import geometryOf, voxelsOf
from MAESILSlicerLib.session import segmenting
from MAESILSlicerLib.session.board import Board
from MAESILSlicerLib.session.segmenting import casesOf, learn, learnedRuns
from volumes import matrixOf, putUnder

if TYPE_CHECKING:
    from volumes import MakeVolume

OBLIQUE = {"angles": (20.0, -15.0, 40.0), "spacing": (0.8, 1.2, 2.0), "flips": (-1, 1, -1)}
SHAPE = (10, 12, 14)


def outline(volume: slicer.vtkMRMLScalarVolumeNode, *names: str) -> slicer.vtkMRMLSegmentationNode:
    """A box for each name, one behind the other."""
    labels = np.zeros(SHAPE, np.uint8)
    for value in range(1, len(names) + 1):
        labels[2:7, 3:9, 3 * value : 3 * value + 2] = value
    segments = tuple(Segment(value, name) for value, name in enumerate(names, 1))
    segmentation = Segmentation(labels, geometryOf(volume), segments)
    return addSegmentation(volume.GetScene(), segmentation, "Outline", volume)


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """A board that starts no process."""
    board = Board()
    monkeypatch.setattr(board, "resume", lambda folder: None)
    board.open(tmp_path / "runs")
    return board


def test_each_volume_has_the_segmentation_that_was_drawn_on_it(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, tmp_path: Path
) -> None:
    first, second, third = (makeVolume(SHAPE, name=name) for name in ("a", "b", "c"))
    byHand = outline(first, "liver")
    importResults(scene, first, write_segmentation_job(tmp_path / "one", np.ones(SHAPE)))
    made = importResults(scene, second, write_segmentation_job(tmp_path / "two", np.ones(SHAPE)))
    scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
    cases = casesOf(scene)
    # The uncertainty is a result and no scan.
    assert [case.volumeNode for case in cases] == [first, second, third]
    assert [case.segmentationNode for case in cases] == [byHand, made.segmentation, None]
    assert [case.isByHand for case in cases] == [True, False, False]
    assert [case.text for case in cases] == [
        "Outline: liver",
        "b segmentation: 2 segments",
        "not outlined yet",
    ]
    # A corrected result takes the place of the outline that was hidden.
    byHand.SetDisplayVisibility(False)
    assert casesOf(scene)[0].text == "a segmentation: 2 segments"
    assert not casesOf(scene)[0].isByHand


def test_a_loaded_segmentation_belongs_to_the_volume_with_its_voxels_or_its_name(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    first, second = (
        makeVolume(SHAPE, name="a", **OBLIQUE),
        makeVolume(SHAPE, name="b", origin=(0.3, 0.0, 0.0)),
    )
    node = outline(first, "liver")
    node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), None)
    putUnder(scene, first, matrixOf(angles=(0, 0, 20)))
    assert [case.segmentationNode for case in casesOf(scene)] == [None, None]
    node.SetAndObserveTransformNodeID(first.GetTransformNodeID())
    assert [case.segmentationNode for case in casesOf(scene)] == [node, None]
    # Of several volumes with the same voxels, and of none, the name decides.
    makeVolume(SHAPE, name="a later", **OBLIQUE).SetAndObserveTransformNodeID(first.GetTransformNodeID())
    node.SetName("a later outline")
    assert [case.segmentationNode for case in casesOf(scene)] == [None, None, node]
    node.SetAndObserveTransformNodeID(None)
    node.SetName("b outline")
    assert [case.volumeNode for case in casesOf(scene) if case.segmentationNode is node] == [second]


def test_a_run_keeps_the_exact_scans_and_labels_that_it_learns_from(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, board: Board
) -> None:
    volumes = [makeVolume(SHAPE, name="Dr. Müller/1", **OBLIQUE), makeVolume(SHAPE, name="?")]
    for volume in volumes:
        putUnder(scene, volume, matrixOf(angles=(0, 0, 20)))
        outline(volume, "liver", "spleen")
    folder = learn(board, casesOf(scene), name="Organs", steps=5, device="cpu")
    request = read_request(folder)
    assert (request.name, request.steps, request.encoder) == ("Organs", 5, None)
    assert [Path(case.scan).name for case in request.cases] == ["01-Dr-Müller-1.nii", "02.nii"]
    for case, volume in zip(request.cases, volumes, strict=True):
        assert Path(case.scan).parent == folder / "cases"
        scan = read_volume(case.scan)
        np.testing.assert_array_equal(scan.voxels, voxelsOf(volume))
        np.testing.assert_allclose(scan.ijk_to_ras, geometryOf(volume), atol=1e-4)
        labels = read_segmentation(case.labels, scan)
        assert [one.name for one in labels.segments] == ["liver", "spleen"]
        assert set(np.unique(labels.labels)) == {0, 1, 2}
        assert not any("grid" in note for note in labels.notes)
    assert sorted(path.name for path in board.root.iterdir()) == [folder.name]
    board.refresh()
    assert [run.name for run in learnedRuns(board)] == ["Organs"]


def test_what_cannot_be_learned_leaves_no_files(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    makeVolume(SHAPE)
    with pytest.raises(ConfigError, match="Outline a structure in the Segment Editor"):
        learn(board, casesOf(scene))
    outline(casesOf(scene)[0].volumeNode, "liver")
    with pytest.raises(ConfigError, match="at least 1"):
        learn(board, casesOf(scene), steps=0)
    assert not list(board.root.iterdir())

    def full(*_arguments: object) -> None:
        raise VolumeError("The disk is full.")

    monkeypatch.setattr(segmenting, "write_segmentation", full)
    with pytest.raises(MaesilError, match="full"):
        learn(board, casesOf(scene))
    assert not list(board.root.iterdir())
