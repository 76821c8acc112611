"""Features go from the session to the scene, the comparison and the similarity, for a model without voxels, too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import slicer
import torch

from MAESILCore.errors import ConfigError
from MAESILCore.methods import create
from MAESILCore.models.card import Card
from MAESILCore.models.checkpoint import save_checkpoint
from MAESILSlicerLib.results.comparison import Comparison, viewsOf
from MAESILSlicerLib.results.features import Likeness
from MAESILSlicerLib.scene.volumes import geometryOf, voxelsOf
from MAESILSlicerLib.session.session import Session
from volumes import MakeVolume


@pytest.fixture
def session(scene: slicer.vtkMRMLScene, tiny_model: Path, tmp_path: Path) -> Iterator[Session]:
    session = Session(scene, jobsFolder=tmp_path / "jobs")
    session.change(model=tiny_model)
    yield session
    session.close()


@pytest.fixture
def aJepa(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    method = create("jepa-vcr", {"superpatch_size": (16, 16, 16), "patch_size": (4, 4, 4)}, "tiny")
    card = Card(
        name="a-jepa",
        method="jepa-vcr",
        config=method.config.model_dump(mode="json"),
        window=(-1000.0, 1000.0),
        mask={},
        step=1,
        abilities=method.abilities,
    )
    weights = {f"model.{name}": tensor for name, tensor in method.state_dict().items()}
    save_checkpoint(tmp_path / "jepa.safetensors", weights, card)
    return tmp_path / "jepa.safetensors"


def finish(session: Session) -> None:
    deadline = time.monotonic() + 120.0
    while session.isRunning:
        session.poll()
        assert time.monotonic() < deadline, session.message
        time.sleep(0.02)


@pytest.mark.process
def test_features_of_a_model_without_voxels_are_compared_and_asked(
    session: Session, scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, aJepa: Path
) -> None:
    with pytest.raises(ConfigError):
        session.startFeatures(str(aJepa))
    volume = makeVolume(shape=(13, 20, 30), spacing=(0.8, 0.8, 2.0), name="Chest")
    session.change(volume=volume)
    session.startFeatures(str(aJepa), device="cpu")
    with pytest.raises(ConfigError, match="computation of features is already running"):
        session.startFeatures(device="cpu")
    finish(session)
    assert session.message.startswith("Computed the features of a-jepa on")
    assert session.results is None  # It is what the section of results shows.
    results = session.made
    assert [node.GetName() for node in results.nodes] == ["Chest feature colours", "Chest features"]
    assert results.colours.GetImageData().GetDimensions() == (8, 5, 4)
    np.testing.assert_allclose(results.colours.GetSpacing(), 4 * np.array(volume.GetSpacing()))

    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(scene)
    Comparison(scene).enter(logic.GetLayoutNode(), results, volume)
    assert [view.tag for view in viewsOf(results)] == ["MAESILOriginal", "MAESILColours"]

    middle = geometryOf(volume) @ [14.0, 9.0, 6.0, 1.0]
    asked = Likeness(results).show((float(middle[0]), float(middle[1]), float(middle[2])))
    assert asked is not None
    assert voxelsOf(asked.similarity)[1, 2, 3] == pytest.approx(1.0, abs=1e-4)
    assert [view.tag for view in viewsOf(asked)][-1] == "MAESILSimilarity"


@pytest.mark.process
def test_a_level_that_is_not_there_is_told(session: Session, makeVolume: MakeVolume) -> None:
    session.change(volume=makeVolume(shape=(13, 20, 30)))
    session.startFeatures(level=40, device="cpu")
    finish(session)
    assert session.failed
    assert "has no feature level 40" in session.message
