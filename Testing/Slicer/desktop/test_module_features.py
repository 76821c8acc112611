"""Section Features: compute, show over the slices, pick a point, and everything that is in the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk
from featurejob import a_feature_map, write_feature_job

from hosting import Host
from MAESILCore.errors import MaesilError
from MAESILCore.methods.abilities import Abilities
from MAESILCore.models.card import read_card
from MAESILSlicerLib.results.featureview import SURFACE
from MAESILSlicerLib.scene.nodes import findNodes
from MAESILSlicerLib.scene.volumes import geometryOf, voxelsOf
from modulehelp import FACTS, OpenModule, answerAtOnce

OBLIQUE = {"angles": (20.0, -15.0, 40.0), "spacing": (0.8, 1.2, 2.0), "flips": (-1, 1, -1)}


@pytest.fixture
def module(host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> OpenModule:
    answerAtOnce(monkeypatch, FACTS)
    return OpenModule(host, tiny_model)


def compute(module: OpenModule) -> None:
    module.host.click(module.ui.featureButton)
    assert module.session.isRunning, module.status
    assert module.ui.featureButton.text == "Cancel"
    assert "already running" in module.ui.volumeSelector.toolTip
    module.finish()
    assert not module.session.failed, module.status


def foregrounds(module: OpenModule) -> set[str | None]:
    """What lies over the volume in the user's views."""
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    return {
        node.GetForegroundVolumeID()
        for node in composites
        if node.GetLayoutName() in ("Red", "Green", "Yellow")
    }


def click(module: OpenModule, ras: np.ndarray) -> None:
    """Click at a point in the axial view."""
    scene = module.host.scene
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode") or scene.AddNewNodeByClass(
        "vtkMRMLCrosshairNode"
    )
    crosshair.SetCursorPositionRAS(list(map(float, ras[:3])))
    view = module.host.app.layoutManager().sliceWidget("Red").sliceView()
    view.interactor().InvokeEvent(vtk.vtkCommand.LeftButtonPressEvent)
    module.host.process()


@pytest.mark.process
def test_features_are_computed_shown_and_asked_at_a_voxel_of_an_oblique_scan(module: OpenModule) -> None:
    node = module.use(name="Chest", **OBLIQUE)
    ui = module.ui
    module.host.scrollTo(ui.featureButton)
    assert ui.featureModelComboBox.currentText == "As above (tiny)"
    assert ui.featureLevelComboBox.currentText == "2 of 2 (deepest): 48 values per 4 x 4 x 4 voxels"
    assert ui.featureInfoLabel.text == "This volume has no features yet."
    assert not ui.featurePickButton.isEnabled()
    compute(module)
    assert "Computed the features of tiny" in module.status
    results = module.session.made
    assert foregrounds(module) == {results.colours.GetID()}
    # They are no reconstruction.
    assert module.session.results is None
    assert not ui.compareButton.isEnabled()

    module.host.click(ui.featurePickButton)
    assert "Esc" in ui.featureInfoLabel.text
    voxel = np.array([27.0, 10.0, 13.0])  # i, j, k, not in the middle of a box
    ras = geometryOf(node) @ [*voxel, 1.0]
    click(module, ras)
    similarity = slicer.util.getNode("Chest similarity")
    assert module.parameters.featureLayer.name == "SIMILARITY"
    assert foregrounds(module) == {similarity.GetID()}
    i, j, k = np.rint(np.linalg.solve(geometryOf(similarity), ras)[:3]).astype(int)
    assert (i, j, k) == (6, 2, 3)
    assert voxelsOf(similarity)[k, j, i] == pytest.approx(1.0, abs=1e-4)
    (surface,) = findNodes(module.host.scene, SURFACE)
    point = slicer.util.getNode("Chest feature point")
    assert slicer.util.arrayFromMarkupsControlPoints(point, world=True)[0] == pytest.approx(ras[:3])
    # The box that was asked lies within the surface.
    bounds = np.array(surface.GetPolyData().GetBounds()).reshape(3, 2)
    centre = (geometryOf(similarity) @ [i, j, k, 1.0])[:3]
    assert (bounds[:, 0] < centre).all()
    assert (centre < bounds[:, 1]).all()

    # A point that is dragged is asked anew; one outside leaves all as it was.
    other = geometryOf(node) @ [3.0, 20.0, 3.0, 1.0]
    point.SetNthControlPointPositionWorld(0, vtk.vtkVector3d(*other[:3]))
    assert voxelsOf(similarity)[0, 5, 0] == pytest.approx(1.0, abs=1e-4)
    before = voxelsOf(similarity).copy()
    click(module, geometryOf(node) @ [-30.0, 0.0, 0.0, 1.0])
    assert "outside the volume" in module.status
    assert np.array_equal(voxelsOf(similarity), before)

    ui.featureThresholdSlider.value = 1.0
    module.host.process()
    assert similarity.GetDisplayNode().GetLowerThreshold() == 1.0
    module.window._features._escape.activated.emit()
    module.host.process()
    assert not ui.featurePickButton.checked
    click(module, ras)
    assert np.array_equal(voxelsOf(similarity), before)
    ui.featureLayerComboBox.setCurrentIndex(0)
    module.host.process()
    assert foregrounds(module) == {None}
    assert not findNodes(module.host.scene, SURFACE)
    assert not point.GetDisplayVisibility()


def test_features_leave_the_comparison_and_give_way_to_another_volume(
    module: OpenModule, tmp_path: Path
) -> None:
    from finishedjob import writeFinishedJob
    from MAESILSlicerLib.results.resultset import importResults

    node = module.use()
    importResults(module.host.scene, node, writeFinishedJob(tmp_path / "job", node))
    module.window.refresh()
    module.host.click(module.ui.compareButton)
    # As a job that has just ended.
    module.session.made = importResults(
        module.host.scene, node, write_feature_job(tmp_path / "features", a_feature_map(node))
    )
    module.window.refresh()
    assert not module.ui.compareButton.checked
    assert module.ui.compareButton.isEnabled()
    colours = module.session.made.colours.GetID()
    assert foregrounds(module) == {colours}
    other = module.use(name="Other")
    assert foregrounds(module) == {None}
    assert not module.ui.featureLayerComboBox.isEnabled()
    module.ui.volumeSelector.setCurrentNode(node)
    module.host.process()
    assert foregrounds(module) == {colours}
    module.host.scene.RemoveNode(other)
    module.host.scene.RemoveNode(slicer.mrmlScene.GetNodeByID(colours))
    module.host.process()
    assert foregrounds(module) == {None}
    assert module.ui.featureInfoLabel.text == "This volume has no features yet."


def test_features_and_their_point_come_back_with_the_scene(module: OpenModule, tmp_path: Path) -> None:
    from MAESILSlicerLib.results.resultset import importResults

    node = module.use(name="Chest", **OBLIQUE)
    importResults(module.host.scene, node, write_feature_job(tmp_path / "job", a_feature_map(node)))
    module.window.refresh()
    ras = geometryOf(node) @ [20.0, 12.0, 9.0, 1.0]
    module.host.click(module.ui.featurePickButton)
    click(module, ras)
    before = voxelsOf(slicer.util.getNode("Chest similarity")).copy()
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    module.host.closeScene()
    assert not module.ui.featurePickButton.checked
    assert module.ui.featureInfoLabel.text != "Click in a slice view; Esc ends it."
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    module.host.process()
    similarity = slicer.util.getNode("Chest similarity")
    assert foregrounds(module) == {similarity.GetID()}
    assert findNodes(module.host.scene, SURFACE)
    np.testing.assert_allclose(voxelsOf(similarity), before, atol=1e-4)
    # The vectors were saved, too.
    point = slicer.util.getNode("Chest feature point")
    other = geometryOf(module.session.volumeNode) @ [3.0, 3.0, 3.0, 1.0]
    point.SetNthControlPointPositionWorld(0, vtk.vtkVector3d(*other[:3]))
    assert voxelsOf(similarity)[0, 0, 0] == pytest.approx(1.0, abs=1e-4)


def test_models_without_features_are_told_and_those_without_voxels_are_taken(
    module: OpenModule, make_tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    module.use()
    blind = make_tiny_model(
        tmp_path / "blind.safetensors", abilities=Abilities(hides=True, reconstructs=True, levels=())
    )
    module.parameters.model = str(blind)
    module.host.process()
    sentence = "tiny gives no features: choose another model."
    assert module.ui.featureModelInfoLabel.text == sentence
    assert module.ui.featureButton.toolTip == sentence
    assert not module.ui.featureButton.isEnabled()
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing")
    module.host.dialogs.answers = (str(tmp_path / "damaged.safetensors"), str(module.model))
    module.host.click(module.ui.featureModelButton)
    assert "damaged.safetensors" in module.status
    assert module.parameters.featureModel == ""
    module.host.click(module.ui.featureModelButton)
    assert module.parameters.featureModel == str(module.model)
    assert module.ui.featureButton.isEnabled()
    # What a run without voxels leaves is used for features, and not to reconstruct.
    level = read_card(module.model).can.levels
    only = make_tiny_model(
        tmp_path / "only.safetensors", abilities=Abilities(hides=True, reconstructs=False, levels=level)
    )
    assert module.window.useModel(str(only))
    assert (module.parameters.featureModel, module.parameters.model) == (str(only), str(blind))
    assert not module.window.useModel(str(tmp_path / "damaged.safetensors"))
    module.ui.featureLevelComboBox.activated.emit(1)
    module.host.process()
    assert module.parameters.featureLevel == 0
    assert module.ui.featureLevelComboBox.currentText == "1 of 2: 48 values per 4 x 4 x 4 voxels"


# The console


def test_the_console_computes_features_and_asks_them(module: OpenModule) -> None:
    node = module.use(**OBLIQUE)
    logic, heard = slicer.util.getModuleLogic("MAESILSlicer"), list[float]()
    features = logic.computeFeatures(
        node,
        model=str(module.model),
        device="cpu",
        waitForCompletion=True,
        onProgress=lambda fraction, _sentence: heard.append(fraction),
    )
    assert heard
    vectors = slicer.util.arrayFromVolume(features.vectors)
    assert slicer.util.arrayFromVolume(features.colours).shape == (*vectors.shape[:3], 3)
    place = (1, 2, 3)
    point = (geometryOf(features.vectors) @ [*place[::-1], 1.0])[:3]
    similar = logic.showSimilarity(features, tuple(point))
    assert np.array_equal(geometryOf(similar), geometryOf(features.vectors))
    assert slicer.util.arrayFromVolume(similar)[place] == pytest.approx(1.0, abs=1e-3)
    other = (geometryOf(features.vectors) @ [0.0, 0.0, 0.0, 1.0])[:3]
    assert logic.showSimilarity(features, tuple(other)) is similar
    assert slicer.util.arrayFromVolume(similar)[0, 0, 0] == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(MaesilError, match="outside the volume"):
        logic.showSimilarity(features, (1e4, 0.0, 0.0))
    with pytest.raises(MaesilError, match="inputVolume"):
        logic.computeFeatures("Chest")
    module.host.closeScene()
    with pytest.raises(MaesilError, match="no longer in the scene"):
        logic.showSimilarity(features, tuple(point))


def test_the_console_refuses_results_that_are_no_features(module: OpenModule) -> None:
    node, model = module.use(), str(module.model)
    logic = slicer.util.getModuleLogic("MAESILSlicer")
    results = logic.reconstruct(
        node, model=model, coverage=0, device="cpu", scores=False, waitForCompletion=True
    )
    with pytest.raises(MaesilError, match="no features"):
        logic.showSimilarity(results, (0.0, 0.0, 0.0))
