"""The window and the scene: what is loaded, deleted or edited around it is followed by selector, views and results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import slicer

from hosting import Host
from modulehelp import FACTS, OpenModule, answerAtOnce
from offscreen import drawn

if TYPE_CHECKING:
    from MAESILSlicerLib.results.resultset import ResultSet


@pytest.fixture
def module(host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenModule]:
    answerAtOnce(monkeypatch, FACTS)
    return OpenModule(host, tiny_model)


def pictureOf(module: OpenModule, name: str) -> np.ndarray:
    """What a view shows now, (rows, columns, 3) uint8 RGB."""
    module.host.process()
    return drawn(module.host.app.layoutManager().sliceWidget(name)._view)


def addResults(module: OpenModule, node: slicer.vtkMRMLScalarVolumeNode, folder: Path) -> ResultSet:
    """Give a volume results, as of a job that has just ended."""
    from finishedjob import writeFinishedJob
    from MAESILSlicerLib.results.resultset import importResults

    results = importResults(module.host.scene, node, writeFinishedJob(folder, node))
    module.window.refresh()
    return results


def compare(module: OpenModule) -> None:
    module.ui.resultsSection.collapsed = False
    module.host.click(module.ui.compareButton)
    assert module.ui.compareButton.checked


def compared(module: OpenModule) -> list[str]:
    """The names of the volumes in the comparison's views."""
    from MAESILSlicerLib.results.comparison import usualViews

    composites = {
        node.GetLayoutName(): node for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    }
    shown = (composites[view.tag].GetBackgroundVolumeID() for view in usualViews())
    return [module.host.scene.GetNodeByID(identity).GetName() for identity in shown]


def test_the_comparison_follows_the_chosen_volume(module: OpenModule, tmp_path: Path) -> None:
    nodes = [module.use(name=name) for name in ("A", "B", "C")]
    for node in nodes[:2]:
        addResults(module, node, tmp_path / "job")
    module.ui.volumeSelector.setCurrentNode(nodes[0])
    module.host.process()
    compare(module)
    for node in (nodes[1], nodes[0]):
        module.ui.volumeSelector.setCurrentNode(node)
        module.host.process()
        name = node.GetName()
        assert compared(module) == [
            name,
            f"{name} masked (mask 1 of 4)",
            f"{name} reconstruction",
            f"{name} error",
        ]
        assert name + "," in module.ui.resultsLabel.text
        assert module.ui.compareButton.checked
    module.ui.volumeSelector.setCurrentNode(nodes[2])
    module.host.process()
    assert not module.ui.compareButton.checked
    assert compared(module)[0] == "A"
    red = module.host.scene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    assert red.GetBackgroundVolumeID() == nodes[2].GetID()


def test_the_3d_view_shows_the_chosen_volume_however_far_the_others_reach(module: OpenModule) -> None:
    from volumes import addTestVolume

    addTestVolume(module.host.scene, (20, 20, 20), spacing=(40.0, 40.0, 40.0), name="Whole body")
    node = module.use(origin=(500.0, 0.0, 0.0), name="Chest")
    module.host.process()
    view = module.host.app.layoutManager().threeDWidget(0).threeDView()
    camera = view.renderWindow().GetRenderers().GetFirstRenderer().GetActiveCamera()
    boundsRas = [0.0] * 6
    node.GetRASBounds(boundsRas)
    center, size = np.reshape(boundsRas, (3, 2)).mean(axis=1), np.ptp(np.reshape(boundsRas, (3, 2)), axis=1)
    np.testing.assert_allclose(camera.GetFocalPoint(), center, atol=1e-3)
    assert size.max() < camera.GetDistance() < 5 * size.max()


def test_a_deleted_result_is_not_shown_any_more(module: OpenModule, tmp_path: Path) -> None:
    node = module.use(name="A")
    older, newer = (addResults(module, node, tmp_path / "job") for _ in range(2))
    compare(module)
    module.host.scene.RemoveNode(newer.error)
    module.host.process()
    assert module.status.startswith('"A error 2" was deleted')
    assert compared(module)[1:] == [n.GetName() for n in (older.masked, older.reconstruction, older.error)]
    assert module.ui.metricsTable.mrmlTableNode() is older.metrics
    module.host.scene.RemoveNode(older.metrics)
    module.host.process()
    assert not module.ui.metricsTable.isVisibleTo(module.host.window)
    assert module.ui.compareButton.checked
    module.host.scene.RemoveNode(older.masked)
    module.host.process()
    assert not module.ui.compareButton.checked
    assert not module.ui.compareButton.isEnabled()
    assert not module.ui.plotButton.isEnabled()
    assert "No reconstruction" in module.ui.resultsLabel.text


def test_a_loaded_scene_is_shown_as_it_was(module: OpenModule, tmp_path: Path) -> None:
    node = module.use(name="Chest")
    before = pictureOf(module, "Red")
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    module.host.closeScene()
    slicer.util.loadScene(str(path))
    module.host.process()
    again = module.ui.volumeSelector.currentNode()
    assert again is module.session.volumeNode
    assert (again.GetName(), again is node) == ("Chest", False)
    # Voxels, fill, outlines and labels.
    np.testing.assert_array_equal(pictureOf(module, "Red"), before)
