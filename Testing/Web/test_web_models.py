"""The list of models without a browser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pagestate import Run, reconstruct, show

if TYPE_CHECKING:
    from MAESILSlicerLib.web.application import Application


pytestmark = pytest.mark.slow


def test_a_model_of_a_named_folder_is_chosen_and_another_file_is_not(
    an_application: Application, run: Run, make_tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    from MAESILCore.methods.abilities import Abilities
    from MAESILSlicerLib.web.panels.models import ModelPanel

    folder = tmp_path / "models"
    (folder / "run" / "checkpoints").mkdir(parents=True)
    make_tiny_model(folder / "run" / "model.safetensors", superpatch=8)
    make_tiny_model(folder / "run" / "checkpoints" / "last.safetensors")
    (folder / "broken.safetensors").write_bytes(b"no weights")
    state, session = an_application.state, an_application.session
    features = Abilities(hides=True, reconstructs=False, levels=())
    make_tiny_model(folder / "features.safetensors", abilities=features)
    make_tiny_model(folder / "going" / "checkpoints" / "step-00000004.safetensors")
    later = make_tiny_model(folder / "later.safetensors")
    sees = Abilities(hides=False, reconstructs=True, levels=())
    make_tiny_model(folder / "sees.safetensors", abilities=sees)
    panel = ModelPanel(an_application.models._page, [folder], an_application._onModel)
    first = state.chosen_model
    assert state.models[first] == "tiny"
    assert state.models[-3:] == ["later", "run/model", "sees"]
    broken, features = state.models_left_out
    assert broken.startswith("broken is not offered: broken.safetensors is not a readable safetensors file")
    assert features == (
        "features is not offered: tiny gives features, not voxels, and cannot reconstruct: "
        "choose a model that reconstructs."
    )
    later.write_bytes(b"no weights")

    async def choose(value: object) -> None:
        state.chosen_model = value
        panel._choose()
        await asyncio.sleep(0.05)

    async def work() -> None:
        await show(an_application, "first.nii")
        assert len(session.grid) == 4
        await choose(state.models.index("run/model"))
        assert session.model.superpatchSize == (8, 8, 8)
        assert len(session.grid) == len(state.superpatches) == 32
        assert state.model_facts.startswith(f"{session.model.name} ({session.model.card.method})")
        assert "Superpatch 8 x 8 x 8" in state.model_facts
        await reconstruct(an_application)
        assert state.has_results
        chosen = state.chosen_model
        await choose(state.models.index("later"))
        assert state.chosen_model == chosen
        assert "later.safetensors is not a readable safetensors file" in state.notice
        assert state.notice_kind == "error"
        for wrong in (-1, len(state.models), str(tmp_path), None):
            await choose(wrong)
            assert state.chosen_model == chosen
        assert state.has_results
        # Its rows would be superpatches of another grid.
        await choose(first)
        assert not state.has_results
        # The sentence about the broken one is settled by a model that can be used.
        assert state.notice == ""
        assert state.no_mask == ""
        await choose(state.models.index("sees"))
        assert state.no_mask == "The model tiny sees all patches, so there is no mask."
        assert not session.mask.hidden.any()
        # It can be reconstructed, and its controls and coverage are left out.
        await reconstruct(an_application)
        assert state.has_results
        await choose(first)
        assert state.no_mask == ""

    run(work())


def test_the_chosen_window_is_that_of_the_reconstruction(
    an_application: Application, run: Run, make_tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    from MAESILSlicerLib.web.panels.models import ModelPanel

    state = an_application.state
    make_tiny_model(tmp_path / "two.safetensors", more_windows=((-175.0, 250.0),))
    panel = an_application.models = ModelPanel(
        an_application.models._page, [tmp_path], an_application._onModel
    )
    assert state.windows == []
    assert panel.window is None

    async def work() -> None:
        await show(an_application, "first.nii")
        state.chosen_model = state.models.index("two")
        panel._choose()
        assert state.windows == ["-1000 to 1000 HU, the model's own", "-175 to 250 HU (soft tissue)"]
        assert panel.window is None
        for wrong in (2, -1, "1", None):
            state.chosen_window = wrong
            assert panel.window is None
        state.chosen_window = 1
        await reconstruct(an_application)
        (group,) = state.score_groups
        assert group["window"] == "\N{MINUS SIGN}175 to 250 HU"
        # Another model starts with its own window.
        state.chosen_model = 0
        panel._choose()
        assert (state.chosen_window, state.windows) == (0, [])

    run(work())
