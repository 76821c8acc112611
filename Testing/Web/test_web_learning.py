"""The section "Segment" of the page without a browser: upload labels, learn, apply, take over, undo and save."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pagestate import Run, count_of, show
from segmentjob import write_segmentation_job

from MAESILCore import Segment, Segmentation, read_segmentation, read_volume, write_segmentation
from MAESILCore.errors import MaesilError
from MAESILCore.jobs.runrequests import read_request

if TYPE_CHECKING:
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


def test_labels_are_uploaded_and_learned(
    an_application: Application, run: Run, started: list[Path], tmp_path: Path
) -> None:
    from MAESILSlicerLib.results.resultset import importResults

    state, learning = an_application.state, an_application.learning

    async def work() -> None:
        await show(an_application, "first.nii")
        learning._action(learning._learn)()
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
        learning._refresh()
        labels = session.scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        assert not labels.GetDisplayVisibility()
        learning._action(learning._undo)()
        assert labels.GetDisplayVisibility()
        await show(an_application, "second.nii")
        assert count_of(an_application, "Segmentation") == {"Segmentation": 0}
        await learning.open(write_labels(tmp_path / "two", spacing=0.5))
        assert "resampled to its grid" in state.notice
        state.seg_start, state.seg_steps = "scratch", 7
        learning._action(learning._learn)()
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
    from MAESILSlicerLib.results.resultset import importResults
    from MAESILSlicerLib.results.segmentation import segmentationsOf

    state, session, learning = an_application.state, an_application.session, an_application.learning

    async def work() -> None:
        await show(an_application, "first.nii")
        learning._action(learning._apply)()
        assert "no learned model" in state.notice
        assert (await learning.sendResult(None)).status == 404
        for name in ("before", "after"):
            labels = np.zeros(SHAPE)
            labels[2:5] = 1
            importResults(session.scene, session.volumeNode, write_segmentation_job(tmp_path / name, labels))
        session.made = segmentationsOf(session.volumeNode)[-1]
        learning._refresh()
        assert state.seg_result == "first segmentation 2"
        # It would cover the result.
        assert not state.show_mask2d
        answer = await learning.sendResult(None)
        found = read_segmentation(answer._path)
        assert [one.name for one in found.segments] == ["Leber", "gone"]
        assert np.count_nonzero(found.labels) == 3 * 32 * 32
        learning._action(learning._take)()
        assert state.seg_cases[0]["text"] == "Leber, gone"
        learning._action(learning._undo)()
        assert state.seg_result == "first segmentation"
        await show(an_application, "second.nii")
        assert state.seg_result == ""
        assert count_of(an_application, "Segmentation") == {"Segmentation": 0}

    run(work())
