"""Pressing Reconstruct: progress, results, cancelling, and everything that may happen to a job on its way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import slicer
from toyresults import install_toy, start_toy

from hosting import MODULE, Host
from MAESILCore.errors import Cancelled, MaesilError
from modulehelp import FACTS, OpenModule, answerAtOnce
from volumes import putUnderBent

RESULT_ROLES = {"masked", "reconstruction", "mosaic", "error"}


@pytest.fixture
def module(host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> OpenModule:
    answerAtOnce(monkeypatch, FACTS)
    return OpenModule(host, tiny_model)


def layoutOf(module: OpenModule) -> int:
    return module.host.scene.GetFirstNodeByClass("vtkMRMLLayoutNode").GetViewArrangement()


def assertNothingIsLeft(module: OpenModule, volumes: list[str]) -> None:
    assert module.namesOf("vtkMRMLScalarVolumeNode") == volumes
    assert module.namesOf("vtkMRMLTableNode") == []
    assert module.leftovers() == []
    assert not module.session.isRunning
    assert not module.ui.progressBar.isVisibleTo(module.host.window)
    assert module.ui.reconstructButton.text == "&Reconstruct"


def hasBegun(module: OpenModule) -> Callable[[], bool]:
    return lambda: module.session.job is None or module.session.job.fraction > 0


def test_a_reconstruction_ends_side_by_side_with_scores(module: OpenModule) -> None:
    from MAESILSlicerLib.results.comparison import LAYOUT_ID

    node = module.use(name="Chest")
    layout = layoutOf(module)
    module.ui.advancedGroup.collapsed = False
    module.host.click(module.ui.exportCheckBox)
    module.start()
    assert module.ui.reconstructButton.text == "&Cancel"
    assert module.ui.progressBar.isVisibleTo(module.host.window)
    for widget in (module.ui.volumeSelector, module.ui.modelComboBox, module.ui.modelButton):
        assert not widget.isEnabled()
        assert "running" in widget.toolTip
    module.ui.planeRatioSlider.value = 0.25  # The job has its mask already.
    module.finish()
    assert "Reconstructed with tiny" in module.status

    results = module.session.results
    assert results.reconstruction.GetName() == "Chest reconstruction"
    hidden = slicer.util.arrayFromVolume(results.mosaic) != slicer.util.arrayFromVolume(node)
    assert 0.7 < hidden.mean() <= 0.75
    assert layoutOf(module) == LAYOUT_ID
    assert module.ui.compareButton.checked
    assert not module.ui.mask2dCheckBox.checked  # It would cover what was filled in.
    assert not module.ui.resultsSection.collapsed
    assert module.ui.metricsTable.mrmlTableNode() is results.metrics
    assert "Research use only" in module.ui.resultsLabel.text

    table = module.ui.superpatchTable
    table.selectRow(5)
    module.host.process()
    assert module.ui.superpatchSpinBox.value == 5
    place = table.model().index(5, 0).data()
    assert module.ui.superpatchSpinBox.text == f"5 ({place})"
    assert f"Superpatch {place} (i-j-k)" in module.ui.superpatchInfoLabel.text
    assert not table.verticalHeader().isVisibleTo(table)  # It would count from 1.
    assert module.ui.saveFilesButton.isEnabled()

    module.host.click(module.ui.compareButton)
    assert layoutOf(module) == layout
    assert module.ui.mask2dCheckBox.checked
    module.host.click(module.ui.plotButton)
    plots = slicer.util.getNodesByClass("vtkMRMLPlotViewNode")
    assert plots
    assert {view.GetPlotChartNodeID() for view in plots} == {results.chart.GetID()}
    module.host.click(module.ui.compareButton)
    assert layoutOf(module) == LAYOUT_ID
    assert not module.ui.plotButton.checked
    module.host.widget.exit()
    assert layoutOf(module) == layout
    assert module.leftovers() == []


def test_as_many_masks_take_turns_as_are_chosen_and_scores_are_left_out(module: OpenModule) -> None:
    module.use(shape=(16, 16, 16))
    assert module.ui.maskCountSpinBox.value == 4
    module.ui.maskCountSpinBox.value = 2
    module.ui.advancedGroup.collapsed = False
    module.host.click(module.ui.scoresCheckBox)
    module.host.click(module.ui.reconstructButton)
    kind, request = module.session.job.folder.description()
    assert (kind, request["coverage"], request["scores"]) == ("reconstruction", 2, False)
    module.finish()
    assert module.session.results.uncertainty is not None
    assert not module.ui.metricsTable.isVisibleTo(module.host.window)
    assert module.ui.superpatchTable.isVisibleTo(module.host.window)  # They are scored in any case.
    module.ui.predictionComboBox.setCurrentIndex(1)
    module.host.process()
    assert not module.ui.maskCountSpinBox.isVisibleTo(module.host.window)


def addResults(module: OpenModule, folder: Path) -> None:
    """Give the chosen volume results, as of a job that has just ended."""
    from finishedjob import writeFinishedJob
    from MAESILSlicerLib.results.resultset import importResults

    node = module.session.volumeNode
    importResults(module.host.scene, node, writeFinishedJob(folder, node))
    module.window.refresh()


def test_another_layout_that_the_user_chooses_stays(module: OpenModule, tmp_path: Path) -> None:
    module.use()
    addResults(module, tmp_path / "job")
    module.host.click(module.ui.resultsSection)
    module.host.click(module.ui.compareButton)
    assert module.ui.compareButton.checked
    oneUp = slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    module.host.scene.GetFirstNodeByClass("vtkMRMLLayoutNode").SetViewArrangement(oneUp)
    module.host.process()
    assert not module.ui.compareButton.checked
    assert module.ui.mask2dCheckBox.checked
    module.host.widget.exit()
    assert layoutOf(module) == oneUp


@pytest.mark.parametrize("isReloaded", [True, False], ids=["reloaded", "closed"])
def test_a_module_that_ends_while_it_compares_leaves_the_mask_shown(
    module: OpenModule, tmp_path: Path, isReloaded: bool
) -> None:
    module.use()
    layout, parameters = layoutOf(module), module.parameters
    addResults(module, tmp_path / "job")
    module.host.click(module.ui.resultsSection)
    module.host.click(module.ui.compareButton)
    assert not parameters.showMask2d
    if isReloaded:
        module.host.reload()
    else:
        module.host.app.moduleAboutToBeUnloaded.emit("MAESILSlicer")
    assert parameters.showMask2d
    assert layoutOf(module) == layout


def test_results_of_a_bent_volume_are_not_compared(module: OpenModule, tmp_path: Path) -> None:
    node = module.use()
    addResults(module, tmp_path / "job")
    layout = layoutOf(module)
    module.host.click(module.ui.resultsSection)
    module.host.click(module.ui.compareButton)
    assert module.ui.compareButton.checked
    transform = putUnderBent(module.host.scene, node)
    module.host.click(module.ui.compareButton)
    assert layoutOf(module) == layout
    module.host.click(module.ui.compareButton)
    assert "not linear" in module.status
    assert layoutOf(module) == layout
    assert not module.ui.compareButton.checked
    node.SetAndObserveTransformNodeID(None)
    module.ui.compareButton.click()
    node.SetAndObserveTransformNodeID(transform.GetID())  # Before the views have been laid out.
    module.host.process()


def test_a_scene_that_was_saved_while_comparing_is_shown_so_before_the_module_is_opened(host: Host) -> None:
    from MAESILSlicerLib.results.comparison import LAYOUT_ID, usualViews

    layoutNode = host.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    layoutNode.SetViewArrangement(LAYOUT_ID)
    host.app.loadModule(MODULE)
    host.app.startupCompleted.emit()
    assert {view.tag for view in usualViews()} <= set(host.app.layoutManager().sliceViewNames())


def test_results_come_back_with_the_scene(module: OpenModule, tmp_path: Path) -> None:
    module.use(name="Chest")
    addResults(module, tmp_path / "job")
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    module.host.closeScene()
    assert "No reconstruction" in module.ui.resultsLabel.text
    assert not module.ui.compareButton.isEnabled()
    slicer.util.loadScene(str(path))
    module.host.process()
    assert "filled in by maesil-small-ct" in module.ui.resultsLabel.text
    assert module.ui.superpatchTable.mrmlTableNode().GetName() == "Chest superpatches"
    module.host.click(module.ui.resultsSection)
    module.host.click(module.ui.compareButton)
    assert module.ui.compareButton.checked


def test_a_cancelled_reconstruction_leaves_nothing(module: OpenModule) -> None:
    module.use(name="Chest", shape=(160, 160, 160))
    module.start()
    module.finish(until=hasBegun(module))
    assert 0 < module.ui.progressBar.value < 1000
    # Held, so that it does not end before the button was looked at.
    worker = module.host.logic.session.job._process.pid
    os.kill(worker, signal.SIGSTOP)
    module.host.click(module.ui.reconstructButton)
    assert module.ui.reconstructButton.text == "Cancelling ..."
    assert not module.ui.reconstructButton.isEnabled()
    os.kill(worker, signal.SIGCONT)
    module.finish()
    assert "Cancelled" in module.status
    assertNothingIsLeft(module, ["Chest"])
    assert module.ui.reconstructButton.isEnabled()


def test_deleting_the_volume_stops_its_reconstruction(module: OpenModule) -> None:
    node = module.use()
    module.start()
    module.host.scene.RemoveNode(node)
    module.host.process()
    assert "deleted" in module.status
    assertNothingIsLeft(module, [])
    assert "Choose a volume" in module.ui.reconstructButton.toolTip


def test_closing_the_scene_stops_the_reconstruction(module: OpenModule) -> None:
    module.use()
    module.start()
    module.host.closeScene()
    assertNothingIsLeft(module, [])
    module.use(name="Next")
    assert module.ui.reconstructButton.isEnabled()


def test_a_killed_worker_is_told_in_a_sentence(module: OpenModule) -> None:
    module.use(name="Chest", shape=(160, 160, 160))
    module.start()
    module.finish(until=hasBegun(module))
    processes = module.session.job._process
    os.kill(getattr(processes, "pid", None) or processes._process.pid, signal.SIGKILL)
    module.finish()
    assert module.status
    assert "Traceback" not in module.status
    assert module.ui.statusIcon.accessibleName == "Warning"
    assertNothingIsLeft(module, ["Chest"])


def test_a_checkpoint_that_vanishes_before_the_start_is_told_in_a_sentence(
    module: OpenModule, tmp_path: Path
) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(module.model.read_bytes())
    module.use(name="Chest")
    module.parameters.model = str(path)
    module.host.process()
    path.unlink()
    module.start()
    module.finish()
    assert "mine.safetensors" in module.status
    assertNothingIsLeft(module, ["Chest"])


def test_a_full_disk_is_told_before_anything_is_started(
    module: OpenModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", ("total", "used", "free"))
    module.use(name="Chest")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**9, 10**9, 1000))
    module.host.click(module.ui.reconstructButton)
    assert "disk" in module.status
    assertNothingIsLeft(module, ["Chest"])


def test_leaving_the_module_lets_the_job_go_on_and_the_views_alone(module: OpenModule) -> None:
    module.use()
    layout = layoutOf(module)
    module.start()
    module.host.widget.exit()
    module.finish()
    assert module.session.results is not None
    assert layoutOf(module) == layout
    module.host.widget.enter()
    module.host.process()
    assert module.ui.compareButton.isEnabled()


# The console


def test_the_console_waits_for_results_and_hears_of_progress(module: OpenModule) -> None:
    node = module.use(name="Chest")
    logic = slicer.util.getModuleLogic("MAESILSlicer")
    heard: list[tuple[float, str]] = []
    results = logic.reconstruct(
        node,
        mode="random",
        ratio=0.5,
        seed=3,
        coverage=0,
        model=str(module.model),
        device="cpu",
        scores=False,
        waitForCompletion=True,
        onProgress=lambda fraction, sentence: heard.append((fraction, sentence)),
    )
    assert results.reconstruction.GetName() == "Chest reconstruction"
    assert results.metrics is None
    assert heard
    assert [fraction for fraction, _ in heard] == sorted(fraction for fraction, _ in heard)
    module.host.process()
    assert module.ui.ratioSlider.value == 0.5
    assert module.ui.modeComboBox.currentText == "Single patches at random"


def test_state_and_status_change_together_for_whoever_looks(module: OpenModule) -> None:
    node = module.use(name="Chest")
    session, seen = module.session, []
    running = None

    def look(*_: object) -> None:
        if running is not None:
            states = (session.isRunning, running.isRunning)
            seen.append((*states, session.message, running.message, module.ui.statusLabel.text))

    # The window is told first, then this one, and the handle last; nodes are told while results are made.
    session.changed.connect(look)
    observation = module.host.scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, look)
    running = module.logic.reconstruct(node, model=str(module.model), coverage=0, device="cpu")
    while running.isRunning:
        module.host.app.processEvents()
        look()
    # No turn of the event loop later.
    assert running.message == session.message == module.ui.statusLabel.text
    assert running.message.startswith("Reconstructed with tiny")
    assert module.ui.reconstructButton.text == "&Reconstruct"
    assert running.results is session.results is not None
    module.host.scene.RemoveObserver(observation)
    session.changed.disconnect(look)
    assert {isRunning for isRunning, *_ in seen} == {True, False}
    for isRunning, handleIsRunning, *sentences in seen:
        assert isRunning == handleIsRunning
        for sentence in sentences:
            assert sentence.startswith("Reconstructed with") == (not isRunning), seen


def test_the_one_who_waited_sees_the_result_at_once(module: OpenModule) -> None:
    node = module.use()
    running = module.logic.reconstruct(node, model=str(module.model), coverage=0, device="cpu")
    results = running.wait()
    assert running.results is results
    assert not module.session.isRunning
    assert module.session.message == running.message == module.status
    assert module.status.startswith("Reconstructed with tiny")


def test_an_error_while_results_are_shown_ends_the_job_with_a_sentence(
    module: OpenModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILSlicerLib.session import tasks

    def fail(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(tasks, "importResults", fail)
    node = module.use()
    running = module.logic.reconstruct(node, model=str(module.model), coverage=0, device="cpu")
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        running.wait()
    assert not running.isRunning
    assert "error in MAESIL" in module.status
    assert module.leftovers() == []


def test_the_console_starts_one_job_at_a_time_and_cancels_it(module: OpenModule) -> None:
    node = module.use()
    running = module.logic.reconstruct(node, model=str(module.model), device="cpu")
    assert running.isRunning
    with pytest.raises(MaesilError, match="already running"):
        module.logic.reconstruct(node, model=str(module.model))
    module.logic.cancel()
    with pytest.raises(Cancelled):
        running.wait()
    assert module.leftovers() == []


def test_the_console_gets_the_results_also_where_another_volume_is_shown_by_then(module: OpenModule) -> None:
    node = module.use(name="Chest")
    model = str(module.model)
    running = module.logic.reconstruct(node, model=model, coverage=0, device="cpu", scores=False)
    module.use(name="Head", shape=(16, 16, 16))
    results = running.wait()
    assert results.reconstruction.GetName() == "Chest reconstruction"
    assert module.session.results is None


@pytest.mark.parametrize(
    ("end", "kind", "told"),
    [
        (lambda module, node: module.host.scene.RemoveNode(node), MaesilError, "deleted"),
        (lambda module, node: node.SetOrigin(1.0, 2.0, 3.0), MaesilError, "moved"),
        (lambda module, node: module.host.closeScene(), Cancelled, "was stopped"),
        (lambda module, node: module.session.close(), Cancelled, "was stopped"),
    ],
)
def test_the_console_hears_why_there_are_no_results(
    module: OpenModule,
    end: Callable[[OpenModule, slicer.vtkMRMLNode], None],
    kind: type[MaesilError],
    told: str,
) -> None:
    node = module.use()
    running = module.logic.reconstruct(node, model=str(module.model), device="cpu")
    end(module, node)
    with pytest.raises(kind, match=told) as raised:
        running.wait()
    assert raised.type is kind
    assert module.leftovers() == []


def test_the_console_needs_no_views(module: OpenModule, monkeypatch: pytest.MonkeyPatch) -> None:
    node = module.use()
    module.host.widget.exit()
    monkeypatch.setattr(type(module.host.app), "layoutManager", lambda app: None)
    running = module.logic.reconstruct(node, model=str(module.model), coverage=0, device="cpu", scores=False)
    running.cancel()
    with pytest.raises(Cancelled):
        running.wait()
    assert module.leftovers() == []


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ({"mode": "checkerboard"}, "Unknown mask mode 'checkerboard'"),
        ({"ratio": 2.0}, "ratio"),
        ({"seed": -1}, "seed"),
        ({"mode": "roi"}, "ROI"),
        ({"model": "nowhere.safetensors"}, "nowhere"),
        ({"planeRatio": 0.0, "axisRatio": 0.0}, "both 0"),
        ({"coverage": -1}, "coverage must be"),
        ({"coverage": 2.5}, "coverage must be"),
        ({"coverage": True}, "coverage must be"),
        ({"batchSize": 0}, "batch size must be"),
        ({"overlap": 3}, "overlap must be"),
        ({"overlap": "wide"}, "overlap must be"),
        ({"device": "gpu"}, "no device 'gpu'"),
        ({"mode": "roi", "roi": 3}, r"^3 cannot be used for roi, which must be a vtkMRMLMarkupsROINode\.$"),
        ({"seed": "some"}, r"^'some' cannot be used for seed, which must be a whole number\.$"),
    ],
)
def test_the_console_refuses_in_a_sentence(module: OpenModule, choices: dict[str, object], told: str) -> None:
    node = module.use()
    with pytest.raises(MaesilError, match=told):
        module.logic.reconstruct(node, **{"model": str(module.model), **choices})
    assert not module.session.isRunning
    assert module.leftovers() == []


def test_the_console_refuses_what_is_no_volume(module: OpenModule) -> None:
    with pytest.raises(MaesilError, match="Choose a volume"):
        module.logic.showMask(None)
    segmentation = module.host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Organs")
    with pytest.raises(
        MaesilError, match=r'^"Organs" cannot be used for inputVolume, which must be a vtkMRML'
    ):
        module.logic.showMask(segmentation)


def test_a_script_gets_the_mask_that_is_shown(module: OpenModule) -> None:
    node = module.use()
    mask = module.logic.showMask(node, mode="axis", ratio=0.5, model=str(module.model))
    assert mask is module.session.mask
    assert np.ptp(mask.stages, axis=0).max() == 1  # Superpatches differ along k,
    assert (mask.stages[:4] == mask.stages[0]).all()  # but each hides whole columns.


def test_a_kind_of_result_of_another_package_is_shown(
    module: OpenModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_toy(tmp_path / "packages", monkeypatch)
    node = module.use(name="Chest")
    module.session.follow(start_toy(tmp_path / "jobs" / "toy"), node)
    assert module.ui.reconstructButton.text == "&Cancel"
    module.host.wait(lambda: not module.session.isRunning, 120)
    assert module.status == "Painted."
    assert module.ui.resultsLabel.text == "Painted by a toy."
    assert module.ui.metricsTable.mrmlTableNode().GetName() == "Chest numbers"
    assert module.ui.metricsLabel.text == "Numbers:"
    assert not module.ui.superpatchTable.isVisibleTo(module.host.window)
    assert not module.ui.plotButton.enabled
    assert module.ui.compareButton.checked
    assert {"MAESILOriginal", "MAESILToyColors", "MAESILOutline"} <= set(
        module.host.app.layoutManager().sliceViewNames()
    )
