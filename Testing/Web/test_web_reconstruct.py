"""Reconstructions without a browser: what a run leaves in the scene, and what goes wrong on the way."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pagestate import Run, count_of, download, reconstruct, show, until

if TYPE_CHECKING:
    from MAESILSlicerLib.web.application import Application


pytestmark = pytest.mark.slow


#: What a reconstruction adds, a scan and its picture in 3D apart.
OF_RESULTS = ("Table", "PlotSeries", "PlotChart", "ColorLegendDisplay")


def test_a_second_run_takes_the_place_of_the_first(an_application: Application, run: Run) -> None:
    async def work() -> None:
        await show(an_application, "first.nii")
        await reconstruct(an_application)
        gone = weakref.ref(an_application.session.results)
        count = an_application.scene.GetNumberOfNodes()
        await reconstruct(an_application)
        assert an_application.state.layout == "comparison"
        assert an_application.scene.GetNumberOfNodes() == count
        gc.collect()
        assert gone() is None

    run(work())


def test_another_scan_takes_the_place_of_the_results(an_application: Application, run: Run) -> None:
    async def work() -> None:
        await show(an_application, "first.nii")
        volumes = count_of(an_application, "ScalarVolume")
        await reconstruct(an_application)
        assert all(count_of(an_application, *OF_RESULTS).values())
        await show(an_application, "second.nii")
        assert not any(count_of(an_application, *OF_RESULTS).values())
        assert count_of(an_application, "ScalarVolume") == volumes
        assert not an_application.state.has_results
        assert (await download(an_application.downloads, "error.nii.gz")).status == 404

    run(work())


def test_a_run_that_is_cancelled_leaves_the_results_and_the_layout(
    an_application: Application, run: Run
) -> None:
    state = an_application.state

    async def work() -> None:
        await show(an_application, "first.nii")
        await reconstruct(an_application)
        results = an_application.session.results
        with state:
            state.layout = "four-up"
        an_application.reconstruct.start()
        an_application.reconstruct.cancel()
        await until(lambda: not state.running)
        assert "Cancelled" in state.notice
        assert state.layout == "four-up"
        assert state.has_results
        assert an_application.session.results is results

    run(work())


@pytest.mark.parametrize("where", ["poll", "show"])
def test_an_error_that_nobody_foresaw_ends_the_run_and_not_the_watch(
    an_application: Application,
    run: Run,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    state, session = an_application.state, an_application.session
    name = {
        "poll": "MAESILCore.jobs.client.JobProcess.poll",
        "show": "MAESILSlicerLib.web.panels.results.filesOf",
    }

    def fail(_: object) -> None:
        raise OSError("No space left on device")

    async def work() -> None:
        await show(an_application, "first.nii")
        an_application.reconstruct.start()
        with monkeypatch.context() as patch:
            patch.setattr(name[where], fail)
            await until(lambda: not state.running)
        assert state.notice_kind == "error"
        assert "server's log" in state.notice
        assert "No space left on device" in caplog.text
        assert session.results is None
        assert not state.has_results
        assert not any(count_of(an_application, *OF_RESULTS).values())
        await reconstruct(an_application)
        assert state.has_results

    run(work())


def test_a_fill_without_learning_is_scored_beside_the_model(an_application: Application, run: Run) -> None:
    async def check() -> None:
        application = an_application
        state = application.state
        await show(application, "first.nii")
        state.coverage, state.compare_fill = 0, True
        await reconstruct(application)
        for group in state.score_groups:
            assert group["titles"] == ["Model", "Biharmonic"]
            assert group["rows"][0][0] == "PSNR, hidden voxels"
            assert all(cell.endswith(" dB") for cell in group["rows"][0][1:])
        # A coverage hides every voxel, which is no task for a fill.
        state.coverage = 2
        await reconstruct(application)
        assert all(group["titles"] == ["Model"] for group in state.score_groups)

    run(check())


def test_a_coverage_names_the_mask_that_is_shown(an_application: Application, run: Run) -> None:
    state = an_application.state

    async def work() -> None:
        await show(an_application, "first.nii")
        await reconstruct(an_application)
        assert state.compared_titles["MAESILMasked"] == "Masked"
        state.coverage = 2
        await reconstruct(an_application)
        assert state.compared_titles["MAESILMasked"] == "Masked (mask 1 of 2)"
        titles = {one["name"]: one["title"] for one in state.files}
        assert titles["mask.nii.gz"] == "Mask, by voxel (mask 1 of 2)"
        assert titles["error.nii.gz"] == "Error"

    run(work())


def test_a_kind_of_result_of_another_package_is_shown(
    an_application: Application, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toyresults import install_toy, start_toy

    install_toy(tmp_path / "packages", monkeypatch)
    state, session = an_application.state, an_application.session

    async def work() -> None:
        await show(an_application, "first.nii")
        session.follow(start_toy(tmp_path / "jobs" / "toy"), session.volumeNode)
        await until(lambda: state.has_results)
        assert state.notice == "Painted."
        assert state.layout == "comparison"
        assert state.compared_titles == {
            "MAESILOriginal": "Original",
            "MAESILToyColors": "Colours",
            "MAESILOutline": "Outline",
        }
        tags = [view.get_singleton_tag() for view in an_application.views.shown]
        assert tags == list(state.compared_titles)
        (group,) = state.score_groups
        assert group["rows"] == [["one", "1.5"], ["two", "2.5"]]
        assert (state.superpatch_rows, state.plot, state.files) == ([], "", [])
        assert an_application.views.screenshot().startswith(b"\x89PNG")
        # Back to a kind with other views.
        await reconstruct(an_application)
        assert len(an_application.views.shown) == 4
        assert session.scene.GetNumberOfNodesByClass("vtkMRMLVectorVolumeNode") == 0

    run(work())
