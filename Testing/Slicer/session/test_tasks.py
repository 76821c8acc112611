"""A kind of job that no product file mentions goes from task to scene, comparison and removal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import slicer
from toyresults import install_toy, start_toy

from MAESILCore.errors import ConfigError
from MAESILSlicerLib.results.comparison import Comparison, ComparisonError, layoutXml, viewsOf
from MAESILSlicerLib.results.resultset import allResults, removeResults
from MAESILSlicerLib.scene.nodes import removeNode
from MAESILSlicerLib.session.session import Session
from MAESILSlicerLib.session.tasks import Task
from volumes import MakeVolume

TIMEOUT_SECONDS = 120.0


@pytest.fixture
def session(
    scene: slicer.vtkMRMLScene, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Session]:
    install_toy(tmp_path / "packages", monkeypatch)
    session = Session(scene, jobsFolder=tmp_path / "jobs")
    yield session
    session.close()


def finish(task: Session | Task) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not task.isOver if isinstance(task, Task) else task.isRunning:
        task.poll()
        assert time.monotonic() < deadline, task.message
        time.sleep(0.02)


def nodeIds(scene: slicer.vtkMRMLScene) -> set[str]:
    return {node.GetID() for node in scene.GetNodes()}


def test_a_new_kind_of_result_reaches_the_scene_the_comparison_and_a_saved_file(
    session: Session, scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, tmp_path: Path
) -> None:
    volume = makeVolume(shape=(8, 12, 16), name="Chest")
    hierarchy = scene.GetSubjectHierarchyNode()
    hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume)
    session.change(volume=volume)
    before = nodeIds(scene)
    job = start_toy(tmp_path / "jobs" / "toy")
    session.follow(job, volume)
    with pytest.raises(ConfigError, match="A painting is already running"):
        session.follow(start_toy(tmp_path / "jobs" / "second"), volume)
    finish(session)
    assert (session.message, session.failed) == ("Painted.", False)
    assert not job.folder.path.exists()

    results = session.results
    assert results.kind.name == "painting"
    assert list(results.nodesByRole) == ["toy_colors", "outline", "numbers"]
    assert results.description == "Painted by a toy."
    assert [node.GetName() for node in results.nodes] == ["Chest colours", "Chest outline", "Chest numbers"]
    colors = results.toy_colors
    assert colors.IsA("vtkMRMLVectorVolumeNode")
    assert slicer.util.arrayFromVolume(colors).shape == (2, 3, 4, 3)
    assert slicer.util.arrayFromVolume(colors)[1, 2, 3].tolist() == [9, 80, 200]
    np.testing.assert_allclose(colors.GetSpacing(), 4 * np.array(volume.GetSpacing()))
    folders = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in results.nodes}
    assert [hierarchy.GetItemName(folder) for folder in folders] == ["Chest MAESIL"]

    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(scene)
    layoutNode = logic.GetLayoutNode()
    Comparison(scene).enter(layoutNode, results, volume)
    tags = [view.tag for view in viewsOf(results)]
    assert tags == ["MAESILOriginal", "MAESILToyColors", "MAESILOutline"]
    assert layoutNode.GetCurrentLayoutDescription() == layoutXml(viewsOf(results))
    composites = {
        node.GetLayoutName(): node.GetBackgroundVolumeID()
        for node in scene.GetNodes()
        if node.IsA("vtkMRMLSliceCompositeNode")
    }
    assert [composites[tag] for tag in tags] == [volume.GetID(), colors.GetID(), volume.GetID()]
    removeNode(results.outline)
    assert [view.tag for view in viewsOf(allResults(scene, volume)[0])] == tags[:2]
    with pytest.raises(ComparisonError, match="repeat the painting"):
        Comparison(scene).enter(layoutNode, results, volume)
    logic.SetMRMLScene(None)

    url = str(tmp_path / "scene.mrb")
    assert scene.WriteToMRB(url)
    (kept,) = allResults(scene, volume)
    removeResults(kept)
    assert {node.GetID() for node in scene.GetNodes() if node.GetAttribute("MAESIL.kind")} == set()
    assert before <= nodeIds(scene)
    scene.Clear(0)
    assert scene.ReadFromMRB(url)
    (again,) = allResults(scene)
    assert again.toy_colors.GetName() == "Chest colours"
    assert again.outline is None


def test_results_that_cannot_be_imported_leave_the_scene_as_it_was(
    session: Session, scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, tmp_path: Path
) -> None:
    volume = makeVolume(shape=(8, 12, 16))
    session.change(volume=volume)
    before = nodeIds(scene)
    session.follow(start_toy(tmp_path / "jobs" / "toy", numbers="no JSON"), volume)
    finish(session)
    assert session.failed
    assert "numbers.json is missing or damaged" in session.message
    assert nodeIds(scene) == before
    assert session.results is None


def test_a_task_needs_neither_a_session_nor_a_volume(
    scene: slicer.vtkMRMLScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_toy(tmp_path / "packages", monkeypatch)
    points = tmp_path / "packages" / "a_toy-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text().partition("[maesil.results]")[0])
    task = Task(scene, start_toy(tmp_path / "jobs" / "toy"))
    assert task.noun == "painting"
    finish(task)
    assert (task.message, task.failed, task.results) == ("Painted.", False, None)
