"""The window and the scene: what is loaded, deleted or edited around it is followed by selector, views and results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import slicer

from hosting import Host
from modulehelp import FACTS, OpenModule, answerAtOnce
from offscreen import drawn


@pytest.fixture
def module(host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenModule]:
    answerAtOnce(monkeypatch, FACTS)
    return OpenModule(host, tiny_model)


def pictureOf(module: OpenModule, name: str) -> np.ndarray:
    """What a view shows now, (rows, columns, 3) uint8 RGB."""
    module.host.process()
    return drawn(module.host.app.layoutManager().sliceWidget(name)._view)


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
