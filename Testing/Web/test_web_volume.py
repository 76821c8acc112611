"""The volume section without a browser: scans of any type, their windows, and those that cannot be read."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pagestate import Run, count_of, send, show, titles_of, until

from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.errors import VolumeError

if TYPE_CHECKING:
    from MAESILSlicerLib.web.application import Application


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int8", "int16", "int32", "float32", "float64"])
def test_a_scan_of_any_type_is_shown(
    an_application: Application, run: Run, tmp_path: Path, kind: str
) -> None:
    voxels = np.random.default_rng(0).integers(0, 120, (16, 32, 32)).astype(kind)
    write_volume(Volume(voxels, np.eye(4)), tmp_path / "scans" / "second.nii")

    async def work() -> None:
        await show(an_application, "first.nii")
        await show(an_application, "second.nii")
        assert an_application.session.volumeNode.GetName() == "second"
        assert an_application.state.scan_facts

    run(work())


@pytest.mark.parametrize(
    "step", ["scene.rendering.Rendering.show", "web.views.Views.fit", "web.panels.masks.MaskPanel.refresh"]
)
@pytest.mark.parametrize("before", ["first.nii", None])
def test_a_scan_is_shown_whole_or_not_at_all(
    an_application: Application, run: Run, monkeypatch: pytest.MonkeyPatch, step: str, before: str | None
) -> None:
    state, session = an_application.state, an_application.session
    name = f"MAESILSlicerLib.{step}"
    works = pkgutil.resolve_name(name)
    failures = iter([OverflowError("out of bounds")])

    def fail_once(*arguments: object) -> None:
        for failure in failures:
            raise failure
        works(*arguments)

    async def work() -> None:
        if before is not None:
            await show(an_application, before)
        shown, scan, node = list(state.scan_facts), state.scan, session.volumeNode
        volumes = count_of(an_application, "ScalarVolume")
        with monkeypatch.context() as patch:
            patch.setattr(name, fail_once)
            an_application.volume.open(2)
            await until(lambda: state.notice_kind == "error")
        assert "second.nii cannot be shown" in state.notice
        assert (state.scan_facts, state.scan, session.volumeNode) == (shown, scan, node)
        assert count_of(an_application, "ScalarVolume") == volumes
        shown_ids = [view.get_background_volume_id() for view in an_application.views.slices]
        assert set(shown_ids) == {node.GetID() if node else None}
        await show(an_application, "second.nii")

    run(work())


@pytest.mark.parametrize(
    ("voxels", "unit", "whole", "names"),
    [
        (np.arange(0, 3927), "", (3926, 1963), ["Automatic", "Whole range"]),
        (np.arange(0, 256).astype(np.uint8), "", (255, 128), ["Automatic", "Whole range"]),
        (np.linspace(0, 1, 50).astype(np.float32), "", (1.0, 0.5), ["Automatic", "Whole range"]),
        (
            np.arange(-1000, 1479),
            "HU",
            (2478, 239),
            ["Soft tissue", "Lung", "Bone", "Mediastinum", "Whole range"],
        ),
        (np.full(8, 7), "", (1, 7), ["Automatic", "Whole range"]),
    ],
)
def test_the_windows_are_those_of_the_values(
    voxels: np.ndarray, unit: str, whole: tuple[float, float], names: list[str]
) -> None:
    from MAESILSlicerLib.web.windows import windowsFor

    windows = windowsFor(Volume(voxels[None, None], np.eye(4)))
    assert windows.unit == unit
    assert windows.presets["Whole range"] == pytest.approx(whole)
    assert list(windows.presets) == names
    for width, level in windows.presets.values():
        assert windows.widths[0] <= width <= windows.widths[1]
        assert windows.levels[0] <= level <= windows.levels[1]


def test_values_that_are_not_hu_get_a_window_of_their_own(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    state = an_application.state
    voxels = np.random.default_rng(0).integers(0, 3926, (16, 32, 32)).astype(np.int16)
    write_volume(Volume(voxels, np.eye(4)), tmp_path / "scans" / "second.nii")

    async def work() -> None:
        await show(an_application, "first.nii")
        assert (state.unit, state.window_width, state.window_level) == ("HU", 400, 40)
        state.window_width = 500
        await show(an_application, "second.nii")
        assert state.unit == ""
        assert state.window_width > 3000
        assert an_application.session.volumeNode.GetDisplayNode().GetWindow() == state.window_width
        assert len(state.scan_warnings) == 1
        await show(an_application, "first.nii")
        assert (state.window_width, state.window_level) == (400, 40)

    run(work())


def test_the_first_scan_that_can_be_read_is_opened(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    state = an_application.state
    sent = send(tmp_path / "sent", a=False, b=True, c=True)

    async def work() -> None:
        await an_application.volume.openUpload(sent)
        await until(lambda: state.notice_kind == "error")
        assert an_application.session.volumeNode.GetName() == "b"
        assert state.notice.startswith("1 of the 3 uploaded scans is skipped. a.nii")
        assert titles_of(an_application) == ["b.nii", "c.nii"]

    run(work())


def test_the_page_begins_with_the_first_scan_of_the_server_that_can_be_read(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    from MAESILSlicerLib.web.catalog import Entry

    state, panel = an_application.state, an_application.volume
    good = Volume(np.zeros((8, 8, 8), np.int16), np.eye(4), "good")

    def fail() -> Volume:
        raise VolumeError("bad.nii is damaged.")

    entries = [Entry("bad.nii", "This server", fail), Entry("good.nii", "This server", lambda: good)]
    numbers = panel.catalog.add([*entries, *entries])

    async def work() -> None:
        panel.openFirst(numbers)
        await until(lambda: state.notice_kind == "error" and not state.loading)
        assert state.notice == "1 scan before this one cannot be shown. bad.nii is damaged."
        assert state.scan == numbers[1]
        panel.openFirst([numbers[0], numbers[2]])
        await until(lambda: state.notice.startswith("None of the 2 scans can be shown."))
        assert state.scan == numbers[1]
        panel.openFirst(numbers[:1])
        await until(lambda: state.notice == "bad.nii is damaged.")

    run(work())
    assert set(numbers) <= set(panel.catalog.entries)
