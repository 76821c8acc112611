"""Section Features: similar places are listed with pictures, and a click goes there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer
from featurejob import a_feature_map, marked, write_feature_job, write_index

from hosting import Host
from MAESILCore.data.volume import Volume, write_volume
from MAESILSlicerLib.results.featureview import FOUND
from MAESILSlicerLib.results.resultset import importResults
from MAESILSlicerLib.scene.nodes import findNodes
from MAESILSlicerLib.scene.volumes import geometryOf, voxelsOf
from modulehelp import FACTS, OpenModule, answerAtOnce

SHAPE, PLACE, THERE = (48, 64, 80), (1, 1, 9), (1, 6, 4)


@pytest.fixture
def module(host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> OpenModule:
    answerAtOnce(monkeypatch, FACTS)
    return OpenModule(host, tiny_model)


def withFeatures(
    module: OpenModule, folder: Path, name: str, place: tuple[int, int, int]
) -> slicer.vtkMRMLScalarVolumeNode:
    node = module.use(shape=SHAPE, name=name)
    job = write_feature_job(folder / name, marked(a_feature_map(node), place))
    importResults(module.host.scene, node, job)
    module.window.refresh()
    return node


def centreOf(node: slicer.vtkMRMLScalarVolumeNode, place: tuple[int, int, int]) -> np.ndarray:
    """RAS of the middle of the pooled box of a place."""
    return (geometryOf(node) @ [*(16.0 * (n // 2) + 7.5 for n in place[::-1]), 1.0])[:3]


def marks(module: OpenModule) -> list[np.ndarray]:
    found = findNodes(module.host.scene, FOUND)
    return [slicer.util.arrayFromMarkupsControlPoints(node, world=True)[0] for node in found]


def test_a_click_in_the_list_goes_to_another_volume(module: OpenModule, tmp_path: Path) -> None:
    other = withFeatures(module, tmp_path, "Other", THERE)
    node = withFeatures(module, tmp_path, "Chest", PLACE)
    ui = module.ui
    module.host.scrollTo(ui.similarButton)
    assert not ui.similarButton.isEnabled()
    assert ui.similarButton.toolTip.startswith("Pick a point first")
    assert not ui.similarTable.visible
    module.window._features._pickAt(tuple(centreOf(node, PLACE)))
    module.host.process()
    assert ui.similarButton.isEnabled()
    module.host.click(ui.similarButton)
    module.host.wait(lambda: ui.similarInfoLabel.text.startswith("Choose a place to go there"))
    table = ui.similarTable
    assert table.rowCount == len(module.window._features._similar._places.places) > 1
    assert table.item(0, 1).text() == "1.000\nOther"
    assert all(not table.item(row, 0).icon().isNull() for row in range(table.rowCount))
    table.cellClicked.emit(0, 1)
    module.host.process()
    assert module.session.volumeNode is other
    assert ui.volumeSelector.currentNode() is other
    (mark,) = marks(module)
    np.testing.assert_allclose(mark, centreOf(other, THERE), atol=1e-3)
    axial = slicer.util.getNode("vtkMRMLSliceNodeRed")
    assert abs(axial.GetSliceOffset() - mark[2]) < 1e-3
    # The list stays while one looks at its places.
    assert table.rowCount > 1
    module.host.scene.RemoveNode(other)
    module.host.process()
    table.cellClicked.emit(0, 1)
    module.host.process()
    assert "The volume Other is no longer in the scene" in module.status


def test_a_scan_of_an_index_is_loaded_if_the_user_agrees(
    module: OpenModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = withFeatures(module, tmp_path, "Chest", PLACE)
    write_volume(Volume(voxelsOf(node).copy(), geometryOf(node)), tmp_path / "there.nrrd")
    write_index(tmp_path / "index", node, marked(a_feature_map(node), THERE), ["there.nrrd"])
    ui, asked, agrees = module.ui, list[str](), [False, True]
    monkeypatch.setattr(
        slicer.util,
        "confirmOkCancelDisplay",
        lambda text, **_: asked.append(text) or agrees.pop(0),
        raising=False,
    )
    module.host.dialogs.answers = (str(tmp_path), str(tmp_path / "index"))
    module.host.click(ui.similarIndexButton)
    assert "is no index" in module.status
    assert ui.similarIndexButton.text == "None: loaded volumes alone"
    module.host.click(ui.similarIndexButton)
    assert ui.similarIndexButton.text == "index"
    module.window._features._pickAt(tuple(centreOf(node, PLACE)))
    module.host.process()
    module.host.click(ui.similarButton)
    module.host.wait(lambda: ui.similarInfoLabel.text.startswith("Choose a place to go there"))
    assert ui.similarTable.item(0, 1).text().endswith("\nthere.nrrd")
    ui.similarTable.cellClicked.emit(0, 0)
    module.host.process()
    assert asked == ["there.nrrd is not loaded. Load it?"]
    assert module.session.volumeNode is node
    assert not marks(module)
    ui.similarTable.cellClicked.emit(0, 0)
    module.host.process()
    loaded = module.session.volumeNode
    assert loaded.GetName() == "there"
    np.testing.assert_allclose(marks(module)[0], centreOf(node, THERE), atol=1e-3)
    # It is asked once, and loaded once.
    ui.similarTable.cellClicked.emit(0, 0)
    module.host.process()
    assert len(asked) == 2
    assert module.session.volumeNode is loaded
