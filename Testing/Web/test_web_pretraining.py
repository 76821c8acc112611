"""The section "Pre-train" of the page: runs of one folder, data of the command line, and no paths from the page."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pagestate import Run, count_of, reconstruct, show
from runfolders import add_preview, add_run, at_work

if TYPE_CHECKING:
    from serving import OpenPage

    from MAESILSlicerLib.web.application import Application
    from MAESILSlicerLib.web.panels.pretraining import PretrainPanel

pytestmark = pytest.mark.slow


def panel_of(application: Application, root: Path, data: Path | None = None) -> PretrainPanel:
    """The section, as with `--runs ROOT --data DATA`."""
    from MAESILSlicerLib.web.panels.pretraining import PretrainPanel

    page = application.models._page
    data_folders = [] if data is None else [data]
    panel = PretrainPanel(page, data_folders, root, application.results.showPreview, application._useModel)
    panel._look()
    return panel


async def press(application: Application, name: str) -> None:
    """What the page does when a button of the section is pressed."""
    application.server.controller.trigger_fn(name)()
    await asyncio.sleep(0.05)


def test_runs_are_chosen_by_name_and_never_by_path(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    state, root = an_application.state, tmp_path / "runs"
    add_run(root, "done", steps=40, end="finished", message="Trained.", started=100.0)
    night = add_run(root, "night", steps=20, started=200.0)
    outside = add_run(tmp_path / "others", "secret", steps=3)

    async def work() -> None:
        with at_work(night):
            panel = panel_of(an_application, root)
            assert [(row["name"], row["lines"][1][0], row["lines"][3][1]) for row in state.run_rows] == [
                ("night", "Running", "22.0 dB"),
                ("done", "Finished", "24.0 dB"),
            ]
            state.run_chosen = "night"
            panel._look()
            assert state.run_obstacles["delete"] == "The run is running; stop it first."
            assert '<polyline class="curve"' in state.run_plot
            await press(an_application, "run_stop")
            assert (night / "cancel").exists()
        for name in (str(outside), "../others/secret", "", None):
            state.run_chosen = name
            for action in ("run_stop", "run_delete", "run_delete", "run_use", "run_preview"):
                await press(an_application, action)
                assert state.notice == "Choose a run first."
        assert outside.is_dir()
        panel.close()

    run(work())


def test_a_run_is_deleted_at_the_second_press(an_application: Application, run: Run, tmp_path: Path) -> None:
    state, root = an_application.state, tmp_path / "runs"
    first, second = (add_run(root, name, steps=3) for name in ("first", "second"))

    async def work() -> None:
        panel = panel_of(an_application, root)
        state.run_chosen = "first"
        await press(an_application, "run_delete")
        # Another row takes the question back.
        state.run_chosen = "second"
        panel._look()
        await press(an_application, "run_delete")
        assert first.is_dir()
        assert second.is_dir()
        await press(an_application, "run_delete")
        assert not second.exists()
        assert [row["name"] for row in state.run_rows] == ["first"]
        panel.close()

    run(work())


def test_a_run_is_started_on_data_of_the_command_line_only(
    an_application: Application, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILCore.jobs.client import JobProcess
    from MAESILCore.jobs.pretraining import PretrainingRequest

    monkeypatch.setattr(JobProcess, "start", lambda job: None)
    state, root = an_application.state, tmp_path / "runs"
    data = tmp_path / "CT of the clinic"
    data.mkdir()

    async def work() -> None:
        panel = panel_of(an_application, root, data)
        assert state.pretrain_data == ["CT of the clinic"]
        state.pretrain_preset = "tiny"
        panel._look()
        state.pretrain_steps = 50
        for wrong in (1, -1, str(tmp_path), None):
            state.pretrain_place = wrong
            await press(an_application, "run_start")
            assert state.notice == "Choose the scans first."
        state.pretrain_place = 0
        state.pretrain_steps = "many"
        await press(an_application, "run_start")
        assert state.notice == "Give the number of steps as a whole number."
        assert state.run_rows == []
        state.pretrain_steps = 50
        await press(an_application, "run_start")
        assert state.notice.startswith("The run maesil-tiny has started.")
        request = PretrainingRequest.read(root / "maesil-tiny")
        assert request.scans == (str(data),)
        assert (request.method, request.preset, request.steps) == ("maesil", "tiny", 50)
        assert state.run_chosen == "maesil-tiny"
        assert state.pretrain_name == "maesil-tiny-2"
        panel.close()

    run(work())


def test_the_choices_of_a_run_are_copied_and_the_new_run_differs(
    an_application: Application, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILCore.jobs.client import JobProcess
    from MAESILCore.jobs.pretraining import PretrainingRequest

    monkeypatch.setattr(JobProcess, "start", lambda job: None)
    state, root = an_application.state, tmp_path / "runs"
    overrides = {"batch_size": 3, "cooldown": 0.0, "hold_out": ["s1*", "s2"]}
    add_run(root, "night", steps=3, total=1_000_000, preset="base", overrides=overrides, processes=2)
    data = tmp_path / "CT of the clinic"
    data.mkdir()

    async def work() -> None:
        panel = panel_of(an_application, root, data)
        state.run_chosen = "night"
        await press(an_application, "run_duplicate")
        assert (state.pretrain_preset, state.pretrain_name, state.pretrain_endless) == (
            "base",
            "night-2",
            True,
        )
        assert state.pretrain_hold_out == "s1*; s2"
        assert state.pretrain_copied == "All other settings are those of night."
        # A method that lacks the chosen size gets the usual one.
        for preset, expected in (("paper", "small"), ("wide", "wide")):
            state.pretrain_preset, state.pretrain_method = preset, "ae"
            panel._new._onModel()
            assert state.pretrain_preset == expected
        assert next(one for one in state.pretrain_methods if one["name"] == "ae")["summary"]
        state.pretrain_preset, state.pretrain_method = "base", "maesil"
        panel._new._onModel()
        # Its scans are none of the command line's.
        assert (state.pretrain_data, state.pretrain_place) == (["CT of the clinic", "The scans of night"], 1)
        state.pretrain_endless, state.pretrain_steps, state.pretrain_hold_out = False, 50, "s2"
        await press(an_application, "run_start")
        config = {"batch_size": 3, "hold_out": ["s2"]}
        assert PretrainingRequest.read(root / "night-2") == PretrainingRequest(
            (str(tmp_path / "scans"),), "night-2", "maesil", "base", 50, "cpu", processes=2, config=config
        )
        await press(an_application, "run_forget")
        assert (state.pretrain_data, state.pretrain_place, state.pretrain_copied) == (
            ["CT of the clinic"],
            0,
            "",
        )
        state.pretrain_name, state.pretrain_intensity = "plain", "z-score"
        await press(an_application, "run_start")
        request = PretrainingRequest.read(root / "plain")
        config = {"hold_out": ["s2"], "intensity": "z-score"}
        assert (request.scans, request.processes, request.config) == ((str(data),), 1, config)
        state.pretrain_intensity = "window"
        # The scans of the command line are named once.
        state.run_chosen = "plain"
        await press(an_application, "run_duplicate")
        assert state.pretrain_intensity == "z-score"
        assert (state.pretrain_data, state.pretrain_place, state.pretrain_copied) == (
            ["CT of the clinic"],
            0,
            "",
        )
        panel.close()

    run(work())


def test_a_finished_run_goes_on_up_to_a_later_step(
    an_application: Application, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILCore.jobs.client import JobProcess
    from MAESILCore.jobs.pretraining import PretrainingRequest

    monkeypatch.setattr(JobProcess, "start", lambda job: None)
    state, root = an_application.state, tmp_path / "runs"
    folder = add_run(root, "done", steps=40, end="finished")
    (folder / "model.safetensors").write_bytes(b"")

    async def work() -> None:
        panel = panel_of(an_application, root)
        state.run_chosen = "done"
        panel._look()
        assert state.run_steps == 40
        too_few = "The run has taken 40 steps already; give a larger number to go on."
        assert state.run_obstacles["resume"] == too_few
        state.run_steps = "many"
        panel._look()
        assert state.run_obstacles["resume"] == too_few
        state.run_steps = 60
        panel._look()
        assert state.run_obstacles["resume"] == ""
        await press(an_application, "run_resume")
        assert state.notice == "The run done goes on."
        assert PretrainingRequest.read(folder).steps == 60
        panel.close()

    run(work())


def test_the_cost_of_a_training_is_measured_for_the_choice_that_is_shown(
    an_application: Application, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILCore.jobs import trial

    result = trial.TrainingEstimate(2.0, 3 * 2**30, "CPU")
    over = SimpleNamespace(poll=lambda: True, result=result, problem="", close=lambda: None)
    monkeypatch.setattr(trial, "Trial", lambda *_: over)
    state = an_application.state

    async def work() -> None:
        panel = panel_of(an_application, tmp_path / "runs", tmp_path)
        state.pretrain_steps = 1800
        await press(an_application, "run_estimate")
        assert "about 60 min" in state.pretrain_cost
        state.pretrain_endless = True
        panel._look()
        assert state.pretrain_cost == "About 2 s per step on CPU, and 3.0 GiB of memory."
        # Nobody has measured this size.
        state.pretrain_preset = "tiny"
        panel._look()
        assert state.pretrain_cost == ""
        panel.close()

    run(work())


def test_a_preview_is_compared_and_leaves_with_its_layout(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    state, root = an_application.state, tmp_path / "runs"
    add_preview(add_run(root, "night", steps=12), 10)

    async def work() -> None:
        await show(an_application, "first.nii")
        volumes = count_of(an_application, "ScalarVolume")
        panel = panel_of(an_application, root)
        state.run_chosen = "night"
        panel._look()
        await press(an_application, "run_preview")
        assert state.notice == "night, step 10: the scan, the model's input and its reconstruction."
        assert state.layout == "comparison"
        assert list(state.compared_titles.values()) == ["Original", "Masked", "Reconstruction"]
        assert len(an_application.views.shown) == 3
        # The list names the preview in the views.
        add_preview(root / "night", 20)
        panel._look()
        assert (state.run_previews, state.run_preview) == ([20, 10], 10)
        state.layout, state.run_preview = "four-up", 20
        add_preview(root / "night", 30)
        panel._look()
        assert state.run_preview == 30
        state.run_preview = 10
        panel._look()
        assert state.run_preview == 10
        an_application.results._arrange()
        assert count_of(an_application, "ScalarVolume") == volumes
        # Results of a reconstruction take the place of a preview.
        await press(an_application, "run_preview")
        await reconstruct(an_application)
        assert len(an_application.views.shown) == 4
        assert "Error" in str(state.compared_titles)
        # A method that sees everything has no picture of what was hidden.
        (root / "night" / "previews" / "hidden.nii.gz").unlink()
        panel._look()
        await press(an_application, "run_preview")
        assert state.notice == "night, step 10: the scan, of which the model sees all, and its copy."
        assert list(state.compared_titles.values()) == ["Original", "Reconstruction"]
        panel.close()

    run(work())


def test_the_model_of_a_run_is_offered_and_chosen(
    an_application: Application, run: Run, tmp_path: Path, make_tiny_model: Callable[..., Path]
) -> None:
    from MAESILCore.methods.abilities import Abilities, FeatureLevel

    state, root = an_application.state, tmp_path / "runs"
    folder = add_run(root, "night", steps=12)

    async def work() -> None:
        await show(an_application, "first.nii")
        panel = panel_of(an_application, root)
        state.run_chosen = "night"
        await press(an_application, "run_use")
        assert state.notice == "The run has no checkpoint yet."
        make_tiny_model(folder / "model.safetensors", superpatch=8)
        for _ in range(2):
            await press(an_application, "run_use")
            assert state.models[state.chosen_model] == "night"
            assert state.models.count("night") == 1
        assert an_application.session.model.superpatchSize == (8, 8, 8)
        assert state.notice == "Reconstructions now use the model of the run night."
        level = FeatureLevel((4, 4, 4), 48)
        only = Abilities(hides=True, reconstructs=False, levels=(level, level))
        make_tiny_model(folder / "model.safetensors", abilities=only)
        await press(an_application, "run_use")
        assert state.notice == "Features now use the model of the run night; it gives no voxels."
        assert state.feature_models[state.feature_model] == "night"
        assert an_application.session.model.superpatchSize == (8, 8, 8)
        panel.close()

    run(work())


def test_a_curve_of_one_point_or_one_value_is_drawn() -> None:
    from MAESILSlicerLib.web.plot import line

    assert line([], "Loss", False) == ""
    assert "<circle" in line([(5, 0.1)], "Loss", True)
    svg = line([(step, 2.0) for step in range(1, 5000)], "Loss <x>", False)
    assert "nan" not in svg
    assert "Loss &lt;x&gt; by step" in svg
    labels = re.findall(r'end">([^<]*)<', line([(1, 20.55), (2, 20.59)], "PSNR", False))
    assert labels[:3] == ["20.55", "20.57", "20.59"]
    (points,) = re.findall(r'points="([^"]*)"', svg)
    assert len(points.split()) <= 300


@pytest.mark.process
def test_a_run_is_started_watched_and_deleted_in_the_browser(open_page: OpenPage, tmp_path: Path) -> None:
    from playwright.sync_api import expect
    from serving import PATIENCE_MS, serving

    from MAESILCore.data.volume import Volume, write_volume

    expect.set_options(timeout=PATIENCE_MS)
    data = tmp_path / "scans"
    data.mkdir()
    voxels = np.random.default_rng(0).integers(-1000, 1000, (16, 32, 32)).astype(np.int16)
    write_volume(Volume(voxels, np.eye(4)), data / "scan.nii")
    with serving("--device", "cpu", "--data", str(data), "--runs", str(tmp_path / "runs")) as served:
        page = open_page(served.address)
        page.get_by_test_id("share").wait_for()
        page.get_by_test_id("pretraining").locator("summary").click()
        # What is being typed outlives a change of the list.
        page.get_by_test_id("pretrain_hold_out").press_sequentially("LIDC")
        other = add_run(tmp_path / "runs", "elsewhere", steps=3)
        page.get_by_test_id("runs").get_by_role("button").click()
        expect(page.get_by_test_id("run_resume")).to_be_enabled()
        expect(page.get_by_test_id("pretrain_hold_out")).to_have_value("LIDC")
        # The copied choices are above the list.
        page.get_by_test_id("run_duplicate").click()
        expect(page.get_by_test_id("pretrain_name")).to_have_value("elsewhere-2")
        expect(page.get_by_test_id("pretrain_name")).to_be_focused()
        shutil.rmtree(other)
        expect(page.get_by_test_id("runs")).to_have_count(0)
        page.get_by_test_id("pretrain_hold_out").fill("")
        page.get_by_test_id("pretrain_name").fill("")
        page.get_by_test_id("pretrain_name").press("Tab")
        page.get_by_test_id("pretrain_preset").select_option("tiny")
        expect(page.get_by_test_id("pretrain_name")).to_have_value("maesil-tiny")
        page.get_by_test_id("pretrain_steps").fill("1")
        page.get_by_test_id("pretrain_steps").press("Tab")
        page.get_by_test_id("run_start").click()
        row = page.get_by_test_id("runs").get_by_role("button")
        expect(row).to_contain_text("Finished")
        expect(row).to_have_attribute("aria-pressed", "true")
        table = page.get_by_role("region", name="Runs")
        assert table.evaluate("box => box.scrollWidth <= box.clientWidth")
        expect(page.get_by_test_id("run_plot").locator("circle")).to_be_attached()
        expect(page.get_by_test_id("run_stop")).to_be_disabled()
        # Each other layout makes the page anew, but the sections stay as they are.
        page.locator("[data-section=masks] > summary").click()
        page.evaluate("document.getElementById('panel').dataset.before = 'yes'")
        page.get_by_role("button", name="3D", exact=True).click()
        expect(page.get_by_role("button", name="3D", exact=True)).to_have_attribute("aria-pressed", "true")
        page.wait_for_function("!document.getElementById('panel').dataset.before")
        expect(page.locator("[data-section=masks]")).not_to_have_attribute("open", "")
        expect(page.locator("[data-section=volume]")).to_have_attribute("open", "")
        page.get_by_test_id("run_use").click()
        expect(page.get_by_test_id("notice")).to_contain_text("the model of the run maesil-tiny")
        page.get_by_test_id("run_delete").click()
        expect(page.get_by_test_id("run_delete")).to_have_text("For good?")
        page.get_by_test_id("run_delete").click()
        expect(page.get_by_test_id("runs")).to_have_count(0)
        assert not list((tmp_path / "runs").iterdir())
