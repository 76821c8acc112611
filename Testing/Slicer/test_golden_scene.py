"""Scenes that MAESIL 0.1.0 saved still open, with the choices, the mask and the results that they were saved with."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

from hosting import Host
from modulehelp import FACTS, OpenModule, answerAtOnce, stagesOf

SCENES = Path(__file__).resolve().parents[1] / "Golden" / "files" / "scenes"


@pytest.fixture
def module(host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenModule]:
    answerAtOnce(monkeypatch, FACTS)
    # As Slicer's module Colors does at its start.
    host.scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    return OpenModule(host, tiny_model)


def opened(module: OpenModule, name: str) -> dict[str, Any]:
    """Open an old scene; what was noted when it was saved."""
    slicer.util.loadScene(str(SCENES / f"{name}.mrb"))
    module.host.process()
    return json.loads((SCENES / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["blocks", "region"])
def test_an_old_scene_opens_with_its_choices_and_its_mask(module: OpenModule, name: str) -> None:
    saved = opened(module, name)
    values = {field: getattr(module.parameters, field) for field in saved["choices"]}
    assert {field: getattr(value, "name", value) for field, value in values.items()} == saved["choices"]
    assert module.parameters.inputVolume.GetName() == "Chest"
    assert module.parameters.roi.GetName() == "Region"
    assert module.session.volumeNode is module.parameters.inputVolume
    assert module.ui.seedSpinBox.value == saved["choices"]["seed"]
    assert module.ui.volumeSelector.currentNode() is module.session.volumeNode
    rows = ["".join(map(str, row)) for row in stagesOf(module)[0]]
    assert rows == saved["mask"]


def test_an_old_scene_opens_with_its_results(module: OpenModule) -> None:
    saved = opened(module, "blocks")
    nodes = {
        node.GetName(): node for node in module.host.scene.GetNodes() if node.GetAttribute("MAESIL.role")
    }
    assert {f"{node.GetAttribute('MAESIL.role')}: {name}" for name, node in nodes.items()} >= set(
        saved["nodes"]
    )
    original, error, mosaic = (
        slicer.util.arrayFromVolume(slicer.util.getNode(name)).astype(np.int64)
        for name in ("Chest", "Chest error", "Chest mosaic (mask 1 of 4)")
    )
    hidden = error != 0
    assert 0.3 < hidden.mean() < 0.9
    np.testing.assert_allclose((mosaic - original)[hidden], error[hidden], atol=1)
    assert "Chest," in module.ui.resultsLabel.text
    assert module.ui.metricsTable.mrmlTableNode() is nodes["Chest scores"]
    module.ui.resultsSection.collapsed = False
    module.host.click(module.ui.compareButton)
    assert module.ui.compareButton.checked


def test_no_old_scene_tells_where_it_was_made() -> None:
    for path in SCENES.glob("*.mrb"):
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as bundle:
            for name in bundle.namelist():
                content = bundle.read(name)
                assert not any(place in content for place in (b"/tmp/", b"/work/", b"/home/", b"/root/")), (
                    name
                )
