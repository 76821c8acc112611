"""The section "Segment" of the page without a browser: upload labels, learn, apply, take over, undo and save."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pagestate import Run, count_of, send, show, until
from segmentjob import QuickJob, write_segmentation_job

from MAESILCore import Segment, Segmentation, read_segmentation, read_volume, write_segmentation
from MAESILCore.errors import MaesilError
from MAESILCore.jobs.runrequests import read_request

if TYPE_CHECKING:
    from aiohttp.web import StreamResponse

    from MAESILSlicerLib.web.application import Application

pytestmark = pytest.mark.slow

SHAPE = (16, 32, 32)


def write_labels(folder: Path, name: str = "labels.seg.nrrd", spacing: float = 1.0) -> Path:
    """An upload with a box of two structures."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:8, 4:12, 4:12], labels[8:12, 4:12, 4:12] = 1, 2
    segments = (Segment(1, "liver", (1.0, 0.0, 0.5)), Segment(2, "spleen"))
    (folder / "upload").mkdir(parents=True)
    geometry = np.diag([spacing, spacing, spacing, 1.0])
    write_segmentation(Segmentation(labels, geometry, segments), folder / "upload" / name)
    return folder


@pytest.fixture
def started(an_application: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of the runs that were started; no process is."""
    folders: list[Path] = []
    board = an_application.learning._board
    board.open(tmp_path / "runs")
    monkeypatch.setattr(board, "resume", folders.append)
    return folders


def press(application: Application, name: str, prefix: str = "seg_") -> None:
    """What the page does when a button is pressed."""
    application.server.controller.trigger_fn(f"{prefix}{name}")()


async def saved(application: Application, number: int | None = None) -> StreamResponse:
    """What is downloaded as the segmentation of a scan, the shown one by default."""
    query = {} if number is None else {"scan": str(number)}
    return await application.learning.applying.sendResult(SimpleNamespace(query=query))


def test_labels_are_uploaded_and_learned(
    an_application: Application, run: Run, started: list[Path], tmp_path: Path
) -> None:
    from MAESILSlicerLib.results.resultset import importResults

    state, learning = an_application.state, an_application.learning

    async def work() -> None:
        await show(an_application, "first.nii")
        press(an_application, "learn")
        assert state.notice == "Upload the labels of a scan first."
        await learning.open(write_labels(tmp_path / "one"))
        assert [(one["title"], one["text"]) for one in state.seg_cases] == [("first", "liver, spleen")]
        assert not (tmp_path / "one").exists()
        assert count_of(an_application, "Segmentation") == {"Segmentation": 1}
        assert not state.show_mask2d
        # A result takes the place of the labels until it is undone.
        session = an_application.session
        importResults(
            session.scene, session.volumeNode, write_segmentation_job(tmp_path / "job", np.ones(SHAPE))
        )
        learning.applying.refresh()
        labels = session.scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        assert not labels.GetDisplayVisibility()
        press(an_application, "undo")
        assert labels.GetDisplayVisibility()
        await show(an_application, "second.nii")
        assert count_of(an_application, "Segmentation") == {"Segmentation": 0}
        await learning.open(write_labels(tmp_path / "two", spacing=0.5))
        assert "resampled to its grid" in state.notice
        state.seg_start, state.seg_steps = "scratch", 7
        press(an_application, "learn")
        assert "has started" in state.notice
        learning.removeCase(state.seg_cases[0]["number"])
        assert [one["title"] for one in state.seg_cases] == ["second"]

    run(work())
    request = read_request(started[0])
    assert (request.steps, request.encoder, request.device) == (7, None, "cpu")
    assert len(request.cases) == 2
    scan = read_volume(request.cases[0].scan)
    labels = read_segmentation(request.cases[0].labels, scan)
    assert [one.name for one in labels.segments] == ["liver", "spleen"]
    assert np.count_nonzero(labels.labels) == 8 * 8 * 8


def test_labels_that_do_not_fit_are_refused(an_application: Application, run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        learning = an_application.learning
        with pytest.raises(MaesilError, match="Open the scan of these labels first"):
            await learning.open(write_labels(tmp_path / "early"))
        await show(an_application, "first.nii")
        folder = write_labels(tmp_path / "several")
        write_labels(tmp_path / "other", "more.nrrd").joinpath("upload", "more.nrrd").rename(
            folder / "upload" / "more.nrrd"
        )
        with pytest.raises(MaesilError, match="has 2 files"):
            await learning.open(folder)
        assert an_application.state.seg_cases == []

    run(work())


def test_a_result_is_saved_taken_over_and_undone(
    an_application: Application, run: Run, started: list[Path], tmp_path: Path
) -> None:
    state, session, learning = an_application.state, an_application.session, an_application.learning

    async def work() -> None:
        await show(an_application, "first.nii")
        press(an_application, "apply")
        assert "no learned model" in state.notice
        assert (await saved(an_application)).status == 404
        for name in ("before", "after"):
            labels = np.zeros(SHAPE)
            labels[2:5] = 1
            folder = write_segmentation_job(tmp_path / name, labels)
            session.made = learning.applying._import(state.scan, folder, "")
        learning.applying.refresh()
        assert state.seg_result == "first segmentation 2"
        # It would cover the result.
        assert not state.show_mask2d
        answer = await saved(an_application)
        assert 'filename="first_segmentation' in answer.headers["Content-Disposition"]
        found = read_segmentation(answer._path)
        assert [one.name for one in found.segments] == ["Leber", "gone"]
        assert np.count_nonzero(found.labels) == 3 * 32 * 32
        press(an_application, "take")
        assert state.seg_cases[0]["text"] == "Leber, gone"
        press(an_application, "undo")
        assert state.seg_result == "first segmentation"
        await show(an_application, "second.nii")
        assert state.seg_result == ""
        assert count_of(an_application, "Segmentation") == {"Segmentation": 0}
        # It is there again with its scan.
        await show(an_application, "first.nii")
        await until(lambda: state.seg_result == "first segmentation")

    run(work())


def test_all_scans_without_labels_are_segmented_while_another_one_is_shown(
    an_application: Application,
    run: Run,
    started: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from MAESILSlicerLib.session import applying

    monkeypatch.setattr(applying, "JobProcess", QuickJob)
    monkeypatch.setattr(QuickJob, "started", [], raising=False)
    state, learning = an_application.state, an_application.learning
    monkeypatch.setattr(learning.applying, "_model", lambda: tmp_path)
    held, catalog = threading.Event(), an_application.volume.catalog

    async def work() -> None:
        await show(an_application, "first.nii")
        await learning.open(write_labels(tmp_path / "one"))
        await an_application.volume.openUpload(send(tmp_path / "up", third=True, fourth=True))
        await show(an_application, "second.nii")
        numbers = {entry.title: number for number, entry in catalog.entries.items()}
        next((tmp_path / "up").rglob("fourth.nii")).write_bytes(b"damaged")
        # Neither the labelled one nor the sample.
        await until(lambda: state.seg_others == 3)
        monkeypatch.setattr(QuickJob, "polls", 10**6)
        press(an_application, "apply_all")
        await until(lambda: state.notice == "Scan 1 of 3, second.nii: Segmented 1 of 4 tiles.")
        assert state.running
        # Another scan can be shown meanwhile.
        await show(an_application, "first.nii")
        monkeypatch.setattr(QuickJob, "polls", 1)
        await until(lambda: not state.running)
        assert [name for name, _model in QuickJob.started] == ["second", "third"]
        assert state.notice.startswith("Segmented 2 of 3 scans. fourth.nii was left out: ")
        assert str(tmp_path) not in state.notice
        await until(lambda: len(state.seg_scans) == 2)
        assert [one["title"] for one in state.seg_scans] == ["second.nii", "third.nii"]
        assert state.seg_result == ""
        found = read_segmentation((await saved(an_application, numbers["third.nii"]))._path)
        assert found.labels.shape == (8, 8, 8)
        await show(an_application, "second.nii")
        await until(lambda: state.seg_result == "second segmentation")
        press(an_application, "undo")
        assert [one["title"] for one in state.seg_scans] == ["third.nii"]
        assert (await saved(an_application)).status == 404

        # A scan that is being read holds up no cancel.
        entry = catalog.entries[numbers["third.nii"]]
        catalog.entries[numbers["third.nii"]] = replace(entry, read=lambda: held.wait(60) and entry.read())
        press(an_application, "apply_all")
        await until(lambda: state.notice == "Scan 3 of 3, third.nii: Reading the scan.")
        press(an_application, "cancel", prefix="")
        await until(lambda: not state.running)
        assert state.notice == "Cancelled; what was done is kept: 1 of 3 scans."
        assert state.seg_result == "second segmentation"
        held.set()
        await until(lambda: not list(an_application.session.jobsFolder.iterdir()))

    try:
        run(work())
    finally:
        held.set()
