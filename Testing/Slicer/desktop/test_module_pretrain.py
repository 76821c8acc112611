"""The section "Pre-train": runs of this window and of other programs, their curves, previews and models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import slicer
from runfolders import add_preview, add_run, add_step, at_work

from modulehelp import FACTS, FACTS_WITHOUT_TORCH, OpenModule, answerAtOnce

if TYPE_CHECKING:
    from hosting import Host

#: Two lines per column.
CELLS = ("name", "model", "state", "left", "step", "total", "loss", "psnr")


class Runs(OpenModule):
    """The module with a folder of runs, as tests use it.

    Attributes:
        root: the folder of runs.
    """

    def __init__(self, host: Host, model: Path, root: Path) -> None:
        super().__init__(host, model)
        self.root = root

    @property
    def panel(self) -> Any:  # noqa: ANN401 - PretrainPanel
        return self.window._pretrain

    @property
    def rows(self) -> list[dict[str, str]]:
        """The texts of the table."""
        table = self.ui.runsTable
        texts = [
            "\n".join(table.item(row, column).text() for column in range(table.columnCount))
            for row in range(table.rowCount)
        ]
        return [dict(zip(CELLS, text.split("\n"), strict=True)) for text in texts]

    def openSection(self) -> None:
        self.ui.pretrainSection.collapsed = False
        self.host.process()

    def look(self) -> None:
        """What the timer does once a second."""
        self.panel._timer.timeout.emit()
        self.host.process()

    def choose(self, name: str) -> None:
        """Choose a run as a person does, by its row."""
        row = next(row for row, cells in enumerate(self.rows) if cells["name"] == name)
        self.ui.runsTable.setCurrentCell(row, 0)
        self.host.process()

    def enabled(self) -> set[str]:
        """The actions that the chosen run allows."""
        names = ("stop", "resume", "useModel", "duplicate", "openFolder", "deleteRun")
        return {name for name in names if getattr(self.ui, f"{name}Button").isEnabled()}

    def plotted(self) -> list[slicer.vtkMRMLPlotChartNode]:
        return list(slicer.util.getNodesByClass("vtkMRMLPlotChartNode"))


@pytest.fixture
def module(host: Host, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """The module, open in the host, with an empty folder of runs."""
    answerAtOnce(monkeypatch, FACTS)
    monkeypatch.setenv("MAESIL_RUNS", str(tmp_path / "runs"))
    return Runs(host, tiny_model, tmp_path / "runs")


def test_the_disk_is_read_only_while_the_section_is_open_in_the_open_module(
    module: Runs, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILCore.jobs.runsfolder import RunsFolder

    add_run(module.root, "first", steps=3)
    read, refresh = [], RunsFolder.refresh
    monkeypatch.setattr(RunsFolder, "refresh", lambda folder: read.append(1) or refresh(folder))
    host.widget.exit()
    host.widget.enter()
    host.process()
    assert not read
    assert not module.panel.isFollowing
    module.openSection()
    assert module.panel.isFollowing
    assert [row["name"] for row in module.rows] == ["first"]
    host.widget.exit()
    assert not module.panel.isFollowing
    host.widget.enter()
    assert module.panel.isFollowing
    module.ui.pretrainSection.collapsed = True
    host.process()
    assert not module.panel.isFollowing


def test_runs_of_other_programs_are_listed_with_their_figures_the_newest_first(module: Runs) -> None:
    add_run(module.root, "old", steps=40, end="finished", message="Trained.", started=100.0)
    add_run(module.root, "killed", steps=12, started=200.0)
    endless = add_run(module.root, "endless", steps=5, total=1_000_000, started=300.0)
    with at_work(endless):
        module.openSection()
        assert [(row["name"], row["state"], row["step"], row["total"]) for row in module.rows] == [
            ("endless", "Running", "5", ""),
            ("killed", "Broke off", "12", "of 40"),
            ("old", "Finished", "40", "of 40"),
        ]
        assert module.rows[0]["left"] == ""
        assert module.rows[2] | {"loss": "0.025", "psnr": "24.0 dB", "model": "maesil tiny"} == module.rows[2]
        assert all(not module.ui.runsTable.item(row, 1).icon().isNull() for row in range(3))


def test_the_table_needs_no_scrolling_in_a_narrow_panel(module: Runs, host: Host) -> None:
    folder = add_run(
        module.root, "a rather long name of a run on scans of the chest", steps=12, total=900_000
    )
    with at_work(folder):
        module.openSection()
        table, header = module.ui.runsTable, module.ui.runsTable.horizontalHeader()
        table.setMinimumWidth(0)
        for width in (320, 420):
            table.setMaximumWidth(width)
            host.process()
            assert table.horizontalScrollBar().maximum == 0
            assert all(table.columnWidth(column) >= table.sizeHintForColumn(column) for column in (1, 2, 3))
            assert header.sectionSize(0) >= 60
        assert table.rowHeight(0) >= table.sizeHintForRow(0)


def test_the_chosen_run_stays_chosen_while_runs_come_and_go(
    module: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = add_run(module.root, "first", steps=3, started=100.0)
    module.openSection()
    module.choose("first")
    with at_work(first):
        add_run(module.root, "second", steps=1, started=200.0)
        add_step(first, 4)
        module.look()
        assert module.ui.runsTable.currentRow() == 1
        assert (module.rows[1]["step"], module.rows[1]["left"]) == ("4", "60 min left")
        # Columns that change their width every second are hard to read.
        with monkeypatch.context() as patch:
            patch.setattr(module.panel._table, "_fit", lambda: pytest.fail("nothing needs more width"))
            add_step(first, 5)
            module.look()
        assert (module.rows[1]["step"], module.rows[1]["left"]) == ("5", "58 min left")
        assert module.enabled() == {"stop", "duplicate", "openFolder"}
        assert module.ui.deleteRunButton.toolTip == "The run is running; stop it first."
    module.look()
    assert module.status == "The run first broke off; it can be resumed from its newest checkpoint."
    assert module.enabled() == {"resume", "duplicate", "openFolder", "deleteRun"}


def test_a_run_is_started_with_the_inputs_and_the_next_one_gets_another_name(
    module: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from MAESILCore.jobs.client import JobProcess
    from MAESILCore.jobs.pretraining import PretrainingRequest

    monkeypatch.setattr(JobProcess, "start", lambda job: None)
    ui = module.ui
    module.openSection()
    assert ui.startButton.toolTip == "Choose a folder of scans, or a store, first."
    ui.scansEdit.setText(str(tmp_path / "nowhere"))
    assert "does not exist" in ui.startButton.toolTip
    scans = tmp_path / "CT scans"
    scans.mkdir()
    # As a file manager drops a folder.
    ui.scansEdit.setText(scans.as_uri())
    ui.presetComboBox.setCurrentIndex(ui.presetComboBox.findData("tiny"))
    assert ui.runNameEdit.text == "maesil-tiny"
    ui.stepsSpinBox.setValue(70)
    module.host.click(ui.startButton)
    assert module.status == "The run maesil-tiny has started. It goes on when 3D Slicer is closed."
    assert module.rows[0]["name"] == "maesil-tiny"
    assert ui.runNameEdit.text == "maesil-tiny-2"
    request = PretrainingRequest.read(module.root / "maesil-tiny")
    assert request == PretrainingRequest(
        scans=(str(scans),), name="maesil-tiny", method="maesil", preset="tiny", steps=70, config={}
    )
    ui.runNameEdit.setText("Nachtlauf")
    ui.untilStoppedCheckBox.setChecked(True)
    assert not ui.stepsSpinBox.isEnabled()
    module.host.click(ui.startButton)
    request = PretrainingRequest.read(module.root / "Nachtlauf")
    assert (request.steps, request.config) == (1_000_000, {"cooldown": 0.0})
    assert ui.runNameEdit.text == "maesil-tiny-2"


def test_the_choices_of_a_run_are_copied_and_its_further_settings_are_kept(
    module: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILCore.jobs.client import JobProcess
    from MAESILCore.jobs.pretraining import PretrainingRequest

    monkeypatch.setattr(JobProcess, "start", lambda job: None)
    overrides = {"batch_size": 3, "cooldown": 0.0, "hold_out": ["s1*", "s2"]}
    add_run(module.root, "night", steps=3, total=1_000_000, preset="base", overrides=overrides, processes=2)
    ui = module.ui
    module.openSection()
    module.choose("night")
    module.host.click(ui.duplicateButton)
    assert ui.presetComboBox.currentText == "base"
    assert ui.runNameEdit.text == ui.runNameEdit.selectedText == "night-2"
    assert ui.untilStoppedCheckBox.checked
    assert ui.scansEdit.text == str(module.root.parent / "scans")
    assert ui.holdOutEdit.text == "s1*; s2"
    ui.holdOutEdit.setText(" s2 ;")
    assert ui.copiedLabel.text == "All other settings are those of night."
    ui.untilStoppedCheckBox.setChecked(False)
    ui.stepsSpinBox.setValue(50)
    module.host.click(ui.startButton)
    request = PretrainingRequest.read(module.root / "night-2")
    config = {"batch_size": 3, "hold_out": ["s2"]}
    assert (request.preset, request.steps, request.processes, request.config) == ("base", 50, 2, config)
    module.host.click(ui.forgetCopiedButton)
    ui.runNameEdit.setText("base-run")
    assert not ui.copiedLabel.isVisibleTo(module.host.window)
    module.host.click(ui.startButton)
    request = PretrainingRequest.read(module.root / "base-run")
    assert (request.preset, request.processes, request.config) == ("base", 1, {"hold_out": ["s2"]})


def test_a_run_is_deleted_after_a_question(module: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answer = False
    monkeypatch.setattr(
        slicer.util, "confirmOkCancelDisplay", lambda text, **_: asked.append(text) or answer, raising=False
    )
    folder = add_run(module.root, "old", steps=3)
    module.openSection()
    module.choose("old")
    module.host.click(module.ui.deleteRunButton)
    assert str(folder) in asked[0]
    assert folder.exists()
    answer = True
    module.host.click(module.ui.deleteRunButton)
    assert not folder.exists()
    assert module.rows == []
    assert module.status == "The run old was deleted."
    assert module.ui.runLabel.text == "There are no runs in this folder yet."
    assert module.enabled() == set()
    assert module.ui.stopButton.toolTip == "Choose a run first."


def test_a_run_is_stopped_by_its_folder_and_its_folder_is_opened(module: Runs) -> None:
    folder = add_run(module.root, "night", steps=3)
    with at_work(folder):
        module.openSection()
        module.choose("night")
        module.host.click(module.ui.stopButton)
        assert (folder / "cancel").exists()
        assert module.status.startswith("The run night stops after its current step")
    module.host.click(module.ui.openFolderButton)
    assert module.host.dialogs.asked == (folder.as_uri(),)


def test_a_run_is_resumed_up_to_a_later_step(module: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    from MAESILCore.jobs.client import JobProcess
    from MAESILCore.jobs.pretraining import PretrainingRequest

    monkeypatch.setattr(JobProcess, "start", lambda job: None)
    done = add_run(
        module.root, "done", steps=40, end="finished", message="Trained for 40 steps.", started=300.0
    )
    (done / "model.safetensors").write_bytes(b"")
    stopped = add_run(module.root, "stopped", steps=12, end="cancelled", started=200.0)
    last = add_run(module.root, "last", steps=40, started=100.0)
    ui = module.ui
    module.openSection()
    assert ui.resumeStepsSpinBox.toolTip == "Choose a run first."
    module.choose("done")
    assert ui.runLabel.text == "Trained for 40 steps."
    assert ui.resumeStepsSpinBox.value == 40
    tooFew = "The run has taken 40 steps already; give a larger number to go on."
    assert ui.resumeButton.toolTip == tooFew
    ui.resumeStepsSpinBox.setValue(60)
    module.host.click(ui.resumeButton)
    assert PretrainingRequest.read(done).steps == 60
    assert module.status == "The run done goes on."
    # The number of another run is its own, and may be any that is not taken yet.
    module.choose("stopped")
    assert ui.resumeStepsSpinBox.value == 40
    ui.resumeStepsSpinBox.setValue(12)
    assert not ui.resumeButton.isEnabled()
    module.look()
    ui.resumeStepsSpinBox.setValue(20)
    module.host.click(ui.resumeButton)
    assert PretrainingRequest.read(stopped).steps == 20
    # Its process was killed before the model was written.
    module.choose("last")
    module.host.click(ui.resumeButton)
    assert PretrainingRequest.read(last).steps == 40
    assert module.status == "The run last goes on."


def test_the_curve_is_plotted_follows_the_run_and_leaves_nothing_behind(
    module: Runs, host: Host, tmp_path: Path
) -> None:
    folder = add_run(module.root, "night", steps=12)
    ui, before = module.ui, host.app.layoutManager().layout
    module.openSection()
    assert ui.curveButton.toolTip == "Choose a run first."
    module.choose("night")
    titles = [ui.curveComboBox.itemText(index) for index in range(ui.curveComboBox.count)]
    assert titles == ["Loss", "PSNR of hidden voxels (dB)", "Validation: ssim_hidden", "Learning rate"]
    host.click(ui.curveButton)
    (chart,) = module.plotted()
    assert chart.GetYAxisLogScale()
    table = chart.GetNthPlotSeriesNode(0).GetTableNode()
    assert table.GetNumberOfRows() == 12
    assert float(table.GetCellText(3, 1)) == pytest.approx(0.25)
    view = ui.curveComboBox.view()
    view.setCurrentIndex(ui.curveComboBox.model().index(2, 0))
    with at_work(folder):
        add_step(folder, 13)
        module.look()
    assert table.GetNumberOfRows() == 13
    # What a person points at in the opened list.
    assert view.currentIndex().row() == 2
    ui.curveComboBox.setCurrentIndex(1)
    ui.curveComboBox.activated.emit(1)
    assert (chart.GetYAxisTitle(), chart.GetYAxisLogScale()) == ("PSNR of hidden voxels (dB)", False)
    assert table.GetNumberOfRows() == 1
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    # Another module.
    host.widget.exit()
    assert host.app.layoutManager().layout == before
    assert module.plotted() == []
    host.widget.enter()
    host.process()
    host.click(ui.curveButton)
    # The plot outlives the scene.
    host.closeScene()
    module.look()
    assert len(module.plotted()) == 1
    host.click(ui.curveButton)
    assert host.app.layoutManager().layout == before
    host.closeScene()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert module.plotted() == []


def test_a_preview_is_shown_beside_its_scan_in_place_of_the_one_before(module: Runs, host: Host) -> None:
    folder = add_run(module.root, "night", steps=12)
    ui, before = module.ui, host.app.layoutManager().layout
    module.use(name="Chest")
    module.openSection()
    module.choose("night")
    assert ui.previewButton.toolTip == "The run has no previews yet."
    add_preview(folder, 5)
    add_preview(folder, 10)
    module.look()
    assert [ui.previewComboBox.itemText(index) for index in range(2)] == ["Step 10", "Step 5"]
    host.click(ui.previewButton)
    assert module.status.startswith("night, step 10: the scan")
    names = ["Chest", "night step 10 scan", "night step 10 input", "night step 10 prediction"]
    assert module.namesOf("vtkMRMLScalarVolumeNode") == names
    shown = {
        node.GetLayoutName(): slicer.mrmlScene.GetNodeByID(node.GetBackgroundVolumeID()).GetName()
        for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
        if node.GetLayoutName().startswith("MAESIL")
    }
    assert list(shown.values()) == names[1:]
    assert ui.previewButton.checked
    assert not ui.compareButton.checked
    # The list names the preview in the views, also when there is a newer one.
    add_preview(folder, 15)
    module.look()
    assert (ui.previewComboBox.count, ui.previewComboBox.currentText) == (3, "Step 10")
    # The volume's own mask would cover the preview.
    assert not module.parameters.showMask2d
    ui.previewComboBox.setCurrentIndex(2)
    ui.previewComboBox.activated.emit(2)
    host.process()
    assert len(module.namesOf("vtkMRMLScalarVolumeNode")) == 4
    assert "night step 5 scan" in module.namesOf("vtkMRMLScalarVolumeNode")
    host.click(ui.previewButton)
    assert host.app.layoutManager().layout == before
    assert module.parameters.showMask2d
    # A closed scene takes the volumes along, and empty views are of no use.
    host.click(ui.previewButton)
    host.closeScene()
    module.look()
    assert host.app.layoutManager().layout == before
    assert not ui.previewButton.checked
    (folder / "previews" / "truth.nii.gz").unlink()
    module.look()
    host.click(ui.previewButton)
    assert module.status == "The preview of step 5 is incomplete; choose another one."
    assert host.app.layoutManager().layout == before


def test_a_preview_does_not_become_the_input_of_the_study(module: Runs, host: Host) -> None:
    add_preview(add_run(module.root, "night", steps=12), 10)
    module.openSection()
    module.choose("night")
    host.click(module.ui.previewButton)
    host.widget.exit()
    host.widget.enter()
    assert "night step 10 scan" in module.namesOf("vtkMRMLScalarVolumeNode")
    assert module.parameters.inputVolume is None


def test_the_model_of_a_run_is_used_for_reconstructions(
    module: Runs, make_tiny_model: Callable[..., Path]
) -> None:
    folder = add_run(module.root, "night", steps=12)
    module.openSection()
    module.choose("night")
    assert module.ui.useModelButton.toolTip == "The run has no checkpoint yet."
    model = make_tiny_model(folder / "model.safetensors")
    module.look()
    module.host.click(module.ui.useModelButton)
    assert module.parameters.model == str(model)
    assert module.status == "Reconstructions now use the model of the run night."
    # The files of all runs have the same name.
    assert module.ui.modelComboBox.currentText == module.session.model.name != model.name


def test_the_folder_of_runs_is_chosen_once(module: Runs, host: Host, tmp_path: Path) -> None:
    from MAESILSlicerLib.desktop import settings

    add_run(tmp_path / "server" / "runs", "elsewhere", steps=3)
    module.openSection()
    assert module.ui.runsFolderEdit.text == str(module.root)
    host.dialogs.answers = (str(tmp_path / "server" / "runs"),)
    host.click(module.ui.runsFolderButton)
    assert [row["name"] for row in module.rows] == ["elsewhere"]
    host.reload()
    host.ui.pretrainSection.collapsed = False
    host.process()
    assert settings.runsFolder() == tmp_path / "server" / "runs"
    assert host.ui.runsFolderEdit.text == str(tmp_path / "server" / "runs")


class FakeTrial:
    """A measurement that ends at the second look."""

    started: ClassVar[list[tuple[object, ...]]] = []

    def __init__(self, *choice: object) -> None:
        from MAESILCore.jobs.trial import TrainingEstimate

        self.started.append(choice)
        self._looks = 0
        self.result, self.problem = TrainingEstimate(2.0, 3 * 2**30, "CPU"), ""

    def poll(self) -> bool:
        self._looks += 1
        return self._looks > 1

    def close(self) -> None:
        self._looks = 0


def test_the_cost_is_measured_and_follows_the_steps(module: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    from MAESILCore.jobs import trial

    monkeypatch.setattr(trial, "Trial", FakeTrial)
    monkeypatch.setattr(FakeTrial, "started", [])
    ui = module.ui
    module.openSection()
    assert not ui.costLabel.isVisibleTo(module.host.window)
    ui.stepsSpinBox.setValue(1800)
    module.host.click(ui.costButton)
    assert FakeTrial.started[0][:3] == ("maesil", "small", "auto")
    assert ui.costLabel.text.startswith("Measuring")
    assert not ui.costButton.isEnabled()
    module.look()
    module.look()
    assert "about 60 min" in ui.costLabel.text
    assert "3.0 G" in ui.costLabel.text
    assert ui.costButton.isEnabled()
    ui.stepsSpinBox.setValue(3600)
    assert "about 2.0 h" in ui.costLabel.text
    # Another model costs something else.
    ui.presetComboBox.setCurrentIndex(ui.presetComboBox.findData("tiny"))
    assert not ui.costLabel.isVisibleTo(module.host.window)


def test_missing_packages_are_installed_with_the_same_button(
    module: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from packaging.requirements import Requirement

    from MAESILSlicerLib.desktop.installation import Installation
    from MAESILSlicerLib.system import requirements

    ran = []
    monkeypatch.setattr(requirements, "unmetForTraining", lambda: (Requirement("zarr>=3.1"),))
    monkeypatch.setattr(Installation, "run", lambda _installation, report: ran.append(report.missing))
    module.openSection()
    assert module.ui.startButton.text == "Install packages for pre-training..."
    module.host.click(module.ui.startButton)
    ((need,),) = ran
    assert need.name == "zarr"


def test_before_pytorch_is_installed_runs_are_listed_and_none_is_started(
    host: Host, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerAtOnce(monkeypatch, FACTS_WITHOUT_TORCH)
    monkeypatch.setenv("MAESIL_RUNS", str(tmp_path / "runs"))
    add_run(tmp_path / "runs", "from the server", steps=3)
    module = Runs(host, tiny_model, tmp_path / "runs")
    module.ui.scansEdit.setText(str(tmp_path))
    module.openSection()
    assert [row["name"] for row in module.rows] == ["from the server"]
    assert module.ui.startButton.toolTip == module.ui.installLabel.text
    assert not module.ui.startButton.isEnabled()
