"""The mask section without a browser: drawn masks, regions and segments."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pagestate import Run, reconstruct, show, until

from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.errors import VolumeError

if TYPE_CHECKING:
    from MAESILSlicerLib.web.application import Application


pytestmark = pytest.mark.slow


_numbers = itertools.count()


def test_an_error_of_the_mask_goes_once_the_mask_is_right(an_application: Application, run: Run) -> None:
    state, session = an_application.state, an_application.session

    async def work() -> None:
        # From now on changes of the state are listened to, as once the server runs.
        state.ready()
        await show(an_application, "first.nii")
        with state:
            state.plane_ratio = state.axis_ratio = 0
        await until(lambda: state.notice_kind == "error")
        # What the sliders do not say is neither shown nor reconstructed.
        assert session.mask is None
        assert state.hidden_share == ""
        await show(an_application, "second.nii")
        await until(lambda: state.notice_kind == "error")
        assert session.volumeNode.GetName() == "second"
        with state:
            state.opacity = 0.5
            state.plane_ratio = 0.5
        await until(lambda: not state.notice)
        assert session.mask is not None
        assert state.hidden_share == "50.0%"

    run(work())


def test_an_error_of_something_else_stays(an_application: Application, run: Run) -> None:
    state = an_application.state

    async def work() -> None:
        # From now on changes of the state are listened to, as once the server runs.
        state.ready()
        await show(an_application, "first.nii")
        an_application.notice.showError("Something else.")
        with state:
            state.plane_ratio = 0.25
        await until(lambda: state.hidden_share != "75.0%")
        assert state.notice == "Something else."

    run(work())


def test_the_seed_that_is_shown_is_the_one_that_is_used(an_application: Application, run: Run) -> None:
    from MAESILSlicerLib.session.choices import LARGEST_SEED

    state = an_application.state

    async def work() -> None:
        # From now on changes of the state are listened to, as once the server runs.
        state.ready()
        await show(an_application, "first.nii")
        with state:
            state.seed = 99999999999
        await until(lambda: state.seed == LARGEST_SEED)
        assert an_application.session.choices.seed == LARGEST_SEED

    run(work())


def test_a_region_is_hidden_follows_its_numbers_and_is_reconstructed(
    an_application: Application, run: Run
) -> None:
    state, session = an_application.state, an_application.session

    async def work() -> None:
        # From now on changes of the state are listened to, as once the server runs.
        state.ready()
        await show(an_application, "first.nii")
        with state:
            state.mode = "roi"
        await until(lambda: session.isRegion)
        drawn = session.mask.stages.copy()
        assert 0 < drawn.mean() < 0.75
        an_application.regions.set("size", 0, 1000)
        await until(lambda: state.roi_size[0] == 1000)
        assert session.mask.stages.sum() > drawn.sum()
        an_application.regions.set("center", 2, 1e6)
        await until(lambda: state.notice_kind == "error")
        assert "contains no voxel" in state.notice
        assert session.mask is None
        an_application.regions.center()
        await until(lambda: session.mask is not None)
        assert np.array_equal(session.mask.stages, drawn)
        # A region is hidden as it is, whatever coverage was chosen for drawn masks.
        state.coverage = 4
        await reconstruct(an_application)
        assert session.results.caption("Masked", "masked") == "Masked"
        await show(an_application, "second.nii")
        await until(lambda: session.isRegion)
        with state:
            state.mode = "nested"
        await until(lambda: not session.isRegion)
        assert state.hidden_share == "75.0%"

    run(work())


def test_a_label_that_was_sent_is_hidden_as_a_segment(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    state, session, segments = an_application.state, an_application.session, an_application.segments
    # On a grid of its own: twice as fine along i, and one slice of patches shifted.
    voxels = np.zeros((16, 32, 64), np.uint8)
    voxels[:8, :8, :16] = 3
    voxels[8:, 24:, 48:] = 7
    spacing = np.diag([0.5, 1.0, 1.0, 1.0])

    def send(name: str, array: np.ndarray) -> Path:
        folder = tmp_path / f"sent {next(_numbers)}" / "Upload"
        folder.mkdir(parents=True)
        write_volume(Volume(array, spacing), folder / name)
        return folder.parent

    async def work() -> None:
        state.ready()
        await show(an_application, "first.nii")
        with state:
            state.mode = "segment"
        # Nothing is hidden before there is a label map, so that nothing can be reconstructed.
        await until(lambda: session.mask is None)
        with pytest.raises(VolumeError, match="is not a label map"):
            await segments.open(send("scan.nii", np.linspace(-1000, 1000, voxels.size).reshape(voxels.shape)))
        with pytest.raises(VolumeError, match="0 everywhere"):
            await segments.open(send("empty.nii", np.zeros_like(voxels)))
        sent = send("labels.nii", voxels)
        await segments.open(sent)
        assert not sent.exists()
        assert [one["value"] for one in state.segments] == [3, 7]
        await until(lambda: session.isRegion)
        kji = np.argwhere(session.mask.stages)
        edge = 8 // session.grid.patch_size[0]
        assert kji.min(axis=0).tolist() == [0, 0, 0]
        assert kji.max(axis=0).tolist() == [edge - 1] * 3
        # All of the region is seen in 3D, though the page shows one superpatch's mask to begin with.
        assert state.clip
        assert session.overlays._display.clip is None
        with state:
            state.segment = 7
        await until(lambda: session.isRegion and session.mask.stages[-1, -1, -1])
        assert not session.mask.stages[0, 0, 0]
        state.coverage = 4
        await reconstruct(an_application)
        assert session.results.caption("Masked", "masked") == "Masked"
        with state:
            state.segment = 99
        await until(lambda: session.mask is None)

    run(work())


def test_segments_are_named_as_slicer_names_them(tmp_path: Path) -> None:
    from MAESILSlicerLib.web.panels.segments import readLabelMap

    voxels = np.zeros((4, 4, 4), np.uint8)
    voxels[0], voxels[3] = 1, 2
    write_volume(Volume(voxels, np.eye(4)), tmp_path / "a.nrrd")
    header, _, data = (tmp_path / "a.nrrd").read_bytes().partition(b"\n\n")
    fields = b"\nSegment0_ID:=x\nSegment0_LabelValue:=2\nSegment0_Name:=left lung\nSegment1_Name:=no value"
    (tmp_path / "a.nrrd").unlink()
    (tmp_path / "a.seg.nrrd").write_bytes(header + fields + b"\n\n" + data)
    assert readLabelMap(tmp_path).names == {1: "Label 1", 2: "left lung"}
