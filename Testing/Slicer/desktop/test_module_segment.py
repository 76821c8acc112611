"""The section "Segment": outline, learn, apply, correct and learn again."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import slicer
from segmentjob import QuickJob, write_segmentation_job

from hosting import Host
from MAESILCore import MaesilError, Segment, Segmentation
from MAESILCore.jobs.runrequests import read_request
from MAESILSlicerLib.results.resultset import importResults
from MAESILSlicerLib.results.segmentation import segmentationsOf
from MAESILSlicerLib.scene.segmentations import addSegmentation, segmentationOf
from MAESILSlicerLib.scene.volumes import geometryOf, voxelsOf
from MAESILSlicerLib.session import applying
from MAESILSlicerLib.session.board import Board
from modulehelp import FACTS, OpenModule, answerAtOnce

SHAPE = (16, 18, 20)
SMALL = {
    "preset": "tiny",
    "model": {"superpatch_size": [16, 16, 16], "patch_size": [4, 4, 4]},
    "width": 4,
    "batch_size": 1,
}


class Segmenting(OpenModule):
    """The module with its section Segment open."""

    @property
    def rows(self) -> list[tuple[bool, str, str]]:
        """Tick, scan and segmentation of each row."""
        from PySide6.QtCore import Qt

        table = self.ui.caseTable
        return [
            (
                table.item(row, 0).checkState() == Qt.CheckState.Checked,
                table.item(row, 0).text(),
                table.item(row, 1).text(),
            )
            for row in range(table.rowCount)
        ]

    def tick(self, row: int, isTicked: bool) -> None:
        """Click the tick of a row."""
        from PySide6.QtCore import Qt

        self.ui.caseTable.item(row, 0).setCheckState(
            Qt.CheckState.Checked if isTicked else Qt.CheckState.Unchecked
        )
        self.host.process()

    def look(self) -> None:
        """What the timer does once a second."""
        self.window._segment._timer.timeout.emit()
        self.host.process()

    def outline(self, volume: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLSegmentationNode:
        labels = (voxelsOf(volume) > 300).astype(np.uint8)
        segmentation = Segmentation(labels, geometryOf(volume), (Segment(1, "bright", (1.0, 0.0, 0.0)),))
        return addSegmentation(self.host.scene, segmentation, "Outline", volume)


@pytest.fixture
def module(host: Host, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Segmenting:
    answerAtOnce(monkeypatch, FACTS)
    monkeypatch.setenv("MAESIL_RUNS", str(tmp_path / "runs"))
    module = Segmenting(host, tiny_model)
    module.ui.segmentSection.collapsed = False
    host.process()
    return module


def voxels(seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(40, 20, SHAPE).astype(np.int16)
    values[4:10, 5:11, 6:12] = 800
    return values


@pytest.mark.process
def test_a_structure_is_outlined_learned_and_applied_to_the_other_scans(
    module: Segmenting, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILSlicerLib.desktop import segmentpanel

    ui, host = module.ui, module.host
    # A network that learns within seconds.
    monkeypatch.setattr(segmentpanel, "learn", partial(segmentpanel.learn, overrides=SMALL))
    first = module.use(voxels=voxels(1), name="first", angles=(10.0, 20.0, 30.0))
    assert module.rows == [(False, "first", "not outlined yet")]
    assert "Outline a structure in the Segment Editor" in ui.learnButton.toolTip
    assert "no learned model" in ui.applyButton.toolTip
    module.outline(first)
    second = module.use(voxels=voxels(2), name="second")
    module.look()
    assert module.rows == [(True, "first", "Outline: bright"), (False, "second", "not outlined yet")]
    ui.segmentStartComboBox.setCurrentIndex(ui.segmentStartComboBox.findText("Nothing (not pre-trained)"))
    ui.segmentStepsSpinBox.setValue(2)
    host.click(ui.learnButton)
    assert "has started" in module.status
    board = module.window.study.board
    host.wait(lambda: (module.look(), board.runs[0].state == "finished")[1], 120)
    assert ui.segmentModelComboBox.currentText == board.runs[0].name
    assert board.runs[0].step == 2
    host.click(ui.applyAllButton)
    assert module.session.isRunning, module.status
    assert ui.applyButton.text == "Cancel"
    module.finish()
    assert not module.session.failed, module.status
    assert not segmentationsOf(first)
    (found,) = segmentationsOf(second)
    assert found.main.GetName() == "second segmentation"
    assert [one.name for one in segmentationOf(found.main, second).segments] == ["bright"]
    # That of a model is not ticked before a person says that it is correct.
    assert module.rows[1] == (False, "second", "second segmentation: bright")
    module.tick(1, True)
    assert [tick for tick, *_texts in module.rows] == [True, True]
    assert ui.applyAllButton.toolTip == "All scans of the scene are ticked."

    # Correct and learn again.
    ui.segmentStartComboBox.setCurrentIndex(ui.segmentStartComboBox.findText("The chosen model below"))
    started: list[Path] = []
    board.resume = lambda folder, **_choices: started.append(folder)
    host.click(ui.learnButton)
    request = read_request(started[0])
    assert request.initial == str(board.runs[-1].folder)
    assert [Path(case.scan).name for case in request.cases] == ["01-first.nii", "02-second.nii"]


def test_scripts_learn_from_what_was_outlined_by_hand_or_from_given_volumes(
    module: Segmenting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (module.use(voxels=voxels(seed), name=f"scan{seed}") for seed in range(2))
    module.outline(first)
    importResults(module.host.scene, second, write_segmentation_job(tmp_path / "job", np.ones(SHAPE)))
    monkeypatch.setattr(module.logic.board, "resume", lambda folder: None)
    run = module.logic.learnSegmentation(name="Balls", steps=3, device="cpu")
    assert [Path(case.scan).name for case in read_request(run).cases] == ["01-scan0.nii"]
    run = module.logic.learnSegmentation([second], initial=run)
    request = read_request(run)
    assert [Path(case.scan).name for case in request.cases] == ["01-scan1.nii"]
    assert Path(request.initial).name == "Balls"
    with pytest.raises(MaesilError, match="Choose a volume"):
        module.logic.segment(None, run)


def test_all_other_scans_are_segmented_one_after_the_other_and_undone(
    module: Segmenting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "JobProcess", QuickJob)
    monkeypatch.setattr(QuickJob, "started", [], raising=False)
    nodes = [module.use(voxels=voxels(seed), name=f"scan{seed}") for seed in range(3)]
    module.parameters.segmentModel = str(module.model)
    module.outline(nodes[0])
    module.window.refresh()
    module.look()
    module.host.click(module.ui.applyAllButton)
    assert module.status == "Scan 1 of 2, scan1: Segmented 1 of 4 tiles."
    assert module.ui.applyButton.text == "Cancel"
    module.finish()
    assert module.status == "Segmented 2 of 2 scans."
    assert QuickJob.started == [("scan1", str(module.model)), ("scan2", str(module.model))]
    # The mask would cover what was found in the shown scan.
    assert not module.parameters.showMask2d
    assert module.session.volumeNode is nodes[2]
    answers = iter((False, True))
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_text, **_title: next(answers))
    module.host.click(module.ui.segmentUndoButton)
    assert len(segmentationsOf(nodes[2])) == 1
    module.host.click(module.ui.segmentUndoButton)
    assert not segmentationsOf(nodes[2])
    assert "was removed" in module.status
    assert not module.ui.segmentUndoButton.isEnabled()
    assert len(segmentationsOf(nodes[1])) == 1


def test_the_disk_is_read_only_while_the_section_is_open(
    module: Segmenting, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    refresh = Board.refresh
    monkeypatch.setattr(Board, "refresh", lambda board: looked.append(1) or refresh(board))
    module.ui.segmentSection.collapsed = True
    assert not module.window._segment._timer.active
    assert not looked
    module.ui.segmentSection.collapsed = False
    assert module.window._segment._timer.active
    assert looked
    module.host.widget.exit()
    assert not module.window._segment._timer.active
