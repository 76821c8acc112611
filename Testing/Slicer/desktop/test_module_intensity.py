"""Windows to choose from, and models of scans without HU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slicer

from hosting import Host
from MAESILCore.jobs.reconstruction import ReconstructionRequest
from MAESILCore.methods.presets import preset_names
from MAESILCore.methods.wording import SUMMARIES
from MAESILCore.models.card import read_card
from MAESILCore.models.checkpoint import load_tensors, save_checkpoint
from modulehelp import FACTS, OpenModule, answerAtOnce


@pytest.fixture
def module(host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> OpenModule:
    answerAtOnce(monkeypatch, FACTS)
    return OpenModule(host, tiny_model)


@pytest.fixture
def of_two_windows(tiny_model: Path, tmp_path: Path) -> Path:
    card = replace(read_card(tiny_model), name="two windows", more_windows=((-175.0, 250.0),))
    save_checkpoint(tmp_path / "two.safetensors", load_tensors(tiny_model, ""), card)
    return tmp_path / "two.safetensors"


@pytest.fixture
def of_mri(tiny_model: Path, tmp_path: Path) -> Path:
    rule = {"rule": "percentiles", "percentiles": [1.0, 99.0]}
    save_checkpoint(
        tmp_path / "mri.safetensors",
        load_tensors(tiny_model, ""),
        replace(read_card(tiny_model), name="mri", intensity=rule),
    )
    return tmp_path / "mri.safetensors"


def titlesOf(module: OpenModule) -> list[str]:
    combo = module.ui.windowComboBox
    return [combo.itemText(number) for number in range(combo.count)]


def requestOf(module: OpenModule) -> ReconstructionRequest:
    return ReconstructionRequest.read(module.session.job.folder.path)


def test_a_model_of_one_window_leaves_no_choice(module: OpenModule) -> None:
    module.use()
    assert not module.ui.windowComboBox.isVisibleTo(module.host.window)


def test_the_chosen_window_is_that_of_the_reconstruction(module: OpenModule, of_two_windows: Path) -> None:
    module.use()
    module.parameters.model = str(of_two_windows)
    module.host.process()
    assert module.ui.windowComboBox.isVisibleTo(module.host.window)
    assert titlesOf(module) == ["-1000 to 1000 HU, the model's own", "-175 to 250 HU (soft tissue)"]
    assert "window -1000 to 1000 HU and 1 more" in module.ui.modelInfoLabel.text
    module.ui.windowComboBox.activated.emit(1)
    module.host.process()
    assert module.ui.windowComboBox.currentIndex == 1
    module.start()
    assert requestOf(module).window == (-175.0, 250.0)
    module.finish()
    results = module.session.results
    hidden = slicer.util.arrayFromVolume(results.masked) == -175
    assert hidden.any()
    filled = slicer.util.arrayFromVolume(results.mosaic)[hidden]
    assert filled.min() >= -175
    assert filled.max() <= 250


def test_a_model_of_mri_is_not_warned_of_mri(module: OpenModule, of_mri: Path) -> None:
    module.use(voxels=np.random.default_rng(0).integers(0, 900, (24, 32, 40), np.int16))
    assert any("are not HU" in warning for warning in module.session.check.warnings)
    module.parameters.model = str(of_mri)
    module.host.process()
    assert module.session.check.warnings == ()
    assert "percentiles 1 to 99 of each scan" in module.ui.modelInfoLabel.text
    assert not module.ui.windowComboBox.isVisibleTo(module.host.window)
    module.start()
    assert requestOf(module).window is None
    module.finish()
    results = module.session.results
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(results.error)
    assert legend.GetTitleText() == "Error"
    columns = results.superpatches
    titles = [columns.GetColumnTitle(columns.GetColumnName(number)) for number in range(4)]
    assert "Error" in titles
    table = results.metrics.GetTable()
    texts = {
        table.GetValue(row, column).ToString() for row in range(table.GetNumberOfRows()) for column in (1, 2)
    }
    assert not any("HU" in text for text in texts)


def test_the_values_of_the_scans_are_in_the_recipe(
    module: OpenModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = module.window._pretrain._inputs
    monkeypatch.setenv("MAESIL_RUNS", str(tmp_path / "runs"))
    module.ui.pretrainSection.collapsed = False
    module.host.process()
    assert module.ui.methodComboBox.currentText == "maesil"
    assert "intensity" not in inputs.arguments["overrides"]
    for method in ("ae", "maesil"):
        module.ui.methodComboBox.setCurrentIndex(module.ui.methodComboBox.findData(method))
        assert module.ui.methodComboBox.toolTip == SUMMARIES[method]
        presets = [module.ui.presetComboBox.itemData(row) for row in range(module.ui.presetComboBox.count)]
        assert presets == list(preset_names(method))
        assert module.ui.presetComboBox.currentData == "small"
    module.ui.intensityComboBox.setCurrentIndex(1)
    assert inputs.arguments["overrides"] == {"intensity": "percentiles"}
    copied = {"method": "maesil", "preset": "tiny", "scans": [], "steps": 5, "initial": None, "processes": 1}
    inputs.copy("run", copied | {"overrides": {"intensity": "z-score"}})
    assert module.ui.intensityComboBox.currentIndex == 2
    inputs.copy("run", copied | {"overrides": {}})
    assert module.ui.intensityComboBox.currentIndex == 0
