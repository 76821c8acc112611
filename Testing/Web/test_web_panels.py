"""What is behind the page, without a browser: what a run leaves in the scene, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import pkgutil
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.errors import VolumeError

if TYPE_CHECKING:
    from aiohttp.web import StreamResponse
    from trame_slicer.views import SliceView

    from MAESILSlicerLib.web.application import Application
    from MAESILSlicerLib.web.downloads import Downloads

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 120
#: What a reconstruction adds, a scan and its picture in 3D apart.
OF_RESULTS = ("Table", "PlotSeries", "PlotChart", "ColorLegendDisplay")

Run = Callable[[Coroutine[object, object, None]], None]

_numbers = itertools.count()


@pytest.fixture(scope="module")
def aside() -> Iterator[ThreadPoolExecutor]:
    """A thread for the event loop: that of the tests has one already, since a browser was driven in it."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def an_application(
    aside: ThreadPoolExecutor, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Application]:
    """The page's other end, with two small scans, and no server that listens."""
    monkeypatch.setenv("TRAME_ARGS", "")
    import slicer
    from freeing import free_application
    from trame.app import get_server

    from MAESILSlicerLib.web.application import Application
    from MAESILSlicerLib.web.options import AppOptions

    monkeypatch.setattr(slicer, "mrmlScene", None, raising=False)
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("first", "second"):
        voxels = np.random.default_rng(0).integers(-1000, 1000, (16, 32, 32)).astype(np.int16)
        write_volume(Volume(voxels, np.eye(4)), scans / f"{name}.nii")
    (tmp_path / "app").mkdir()
    server = get_server(f"test {next(_numbers)}", client_type="vue3")
    options = AppOptions(scans=(scans,), device="cpu", model=str(tiny_model))
    application = aside.submit(Application, server, options, tmp_path / "app").result()
    application.state.coverage = 0
    yield application
    aside.submit(application.close).result()
    aside.submit(free_application, application.views.app).result()


@pytest.fixture
def run(aside: ThreadPoolExecutor, an_application: Application) -> Run:
    """Does something as the server does, while the job is watched."""

    async def watched(work: Coroutine[object, object, None]) -> None:
        watching = asyncio.create_task(an_application.reconstruct.watch())
        try:
            await work
            assert not watching.done()
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    return lambda work: aside.submit(asyncio.run, watched(work)).result()


async def until(is_done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_done():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def show(application: Application, title: str) -> None:
    entries = application.volume.catalog.entries
    number = next(number for number, entry in entries.items() if entry.title == title)
    application.volume.open(number)
    await until(lambda: application.state.scan == number and not application.state.loading)


async def reconstruct(application: Application) -> None:
    application.reconstruct.start()
    assert application.state.running, application.state.notice
    await until(lambda: not application.state.running)


async def download(downloads: Downloads, name: str) -> StreamResponse:
    return await downloads.sendResult(SimpleNamespace(match_info={"name": name}))


def count_of(application: Application, *classes: str) -> dict[str, int]:
    scene = application.scene
    return {name: scene.GetNumberOfNodesByClass(f"vtkMRML{name}Node") for name in classes}


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


SHEARED = np.array([[0.43, 0.02, 0.1, -90.0], [0.02, -0.4, 0.9, 60.0], [0.0, -0.2, 2.2, -60.0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    "geometry", [np.eye(4), np.diag((-2.0, 0.5, -3.0, 1.0)), np.eye(4)[[2, 0, 1, 3]], SHEARED]
)
@pytest.mark.parametrize("shape", [(16, 32, 32), (54, 422, 31)])
def test_each_view_begins_in_the_middle_of_the_scan(
    an_application: Application, run: Run, tmp_path: Path, geometry: np.ndarray, shape: tuple[int, int, int]
) -> None:
    write_volume(Volume(np.ones(shape, np.int16), geometry), tmp_path / "scans" / "second.nii")

    async def work() -> None:
        await show(an_application, "second.nii")
        for view in an_application.views.slices:
            low, high = view.get_slice_range()
            assert view.get_slice_value() == pytest.approx(
                (low + high) / 2, abs=max(view.get_slice_step(), 1e-3)
            )
            assert low <= view.get_slice_value() <= high

    run(work())


@pytest.mark.parametrize("orientation", ["Axial", "Coronal", "Sagittal"])
def test_the_comparison_keeps_its_slice_at_another_size_and_is_fitted_as_one(
    an_application: Application, run: Run, orientation: str
) -> None:
    state, views = an_application.state, an_application.views

    async def work() -> None:
        # From now on changes of the state are listened to, as once the server runs.
        state.ready()
        await show(an_application, "first.nii")
        await reconstruct(an_application)
        with state:
            state.orientation = orientation
        shown = views.shownSlices
        await until(lambda: all(view.get_orientation() == orientation for view in shown))
        low, high = shown[0].get_slice_range()
        for view in shown:
            view.set_slice_value(high - 1.5)
            view.zoom(0.5)
        for view in shown:
            resize(view, 500, 400)
        for view in shown:
            assert view.get_orientation() == orientation
            assert view.get_slice_range() == pytest.approx((low, high))
            assert view.get_slice_value() == pytest.approx(high - 1.5)
        whole = [view.get_view_node().GetFieldOfView() for view in shown]
        for view in shown:
            view.zoom(0.5)
        views.fitWith(shown[2])
        for view, field in zip(shown, whole, strict=True):
            assert view.get_orientation() == orientation
            assert view.get_view_node().GetFieldOfView() == pytest.approx(field)

    run(work())


def resize(view: SliceView, width: int, height: int) -> None:
    """What the page does once a view has got another place."""
    view.render_window().SetSize(width, height)
    view.interactor().InvokeEvent("WindowResizeEvent")


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
        an_application.notice.tellError("Something else.")
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


def test_slices_that_were_sent_are_looked_through_aside(
    an_application: Application, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from MAESILSlicerLib.web import catalog

    is_free = threading.Event()
    has_begun = threading.Event()

    def find_slowly(paths: list[Path]) -> Discovery:
        has_begun.set()
        # Set by the event loop alone.
        assert is_free.wait(PATIENCE_SECONDS)
        return Discovery.of(paths)

    async def work() -> None:
        sent = tmp_path / "sent"
        sent.mkdir()
        (sent / "sent.nii").write_bytes((tmp_path / "scans" / "second.nii").read_bytes())
        monkeypatch.setattr(catalog, "discover_scans", find_slowly)
        opening = asyncio.create_task(an_application.volume.openUpload(sent))
        await until(has_begun.is_set)
        is_free.set()
        await opening
        await until(lambda: not an_application.state.loading and an_application.state.scan >= 0)
        assert an_application.state.scans[an_application.state.scan]["title"] == "sent.nii"

    run(work())


def send(folder: Path, **scans: bool) -> Path:
    """Scans as an upload, all beside each other, whole or damaged."""
    for name, is_whole in scans.items():
        path = folder / "CT thorax" / f"{name}.nii"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_volume(Volume(np.zeros((8, 8, 8), np.int16), np.eye(4)), path)
        if not is_whole:
            path.write_bytes(path.read_bytes()[:400])
    return folder


def titles_of(application: Application) -> list[str]:
    return [str(one["title"]) for one in application.state.scans if one["group"] == "Uploads"]


def test_the_first_scan_that_can_be_read_is_opened(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    state = an_application.state
    sent = send(tmp_path / "sent", a=False, b=True, c=True)

    async def work() -> None:
        await an_application.volume.openUpload(sent)
        await until(lambda: state.notice_kind == "error")
        assert an_application.session.volumeNode.GetName() == "b"
        assert state.notice.startswith("1 of the 3 scans that were sent is left out. a.nii")
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


def test_an_upload_that_cannot_be_read_is_taken_away_again(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    state = an_application.state
    sent = send(tmp_path / "sent", a=False, b=False)

    async def work() -> None:
        await show(an_application, "first.nii")
        await an_application.volume.openUpload(sent)
        await until(lambda: state.notice_kind == "error")
        assert state.notice.startswith("None of the 2 scans")
        assert str(tmp_path) not in state.notice
        assert titles_of(an_application) == []
        assert not sent.exists()
        assert an_application.session.volumeNode.GetName() == "first"

    run(work())


def test_what_is_sent_again_gets_a_number(an_application: Application, run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        for number in range(3):
            await an_application.volume.openUpload(send(tmp_path / str(number), a=True))
        assert titles_of(an_application) == ["a.nii", "a.nii (2)", "a.nii (3)"]

    run(work())


@pytest.mark.parametrize(
    ("places", "title"),
    [
        (["CT thorax/1.dcm", "CT thorax/2.dcm"], "CT thorax"),
        (["CT thorax/a/1.dcm", "CT thorax/a/2.dcm"], "CT thorax"),
        (["Upload/1.dcm", "Upload/2.dcm"], "Upload"),
        (["1.dcm", "2.dcm"], "Upload"),
        (["1.dcm"], "Upload"),
    ],
)
def test_slices_are_titled_by_what_was_sent(tmp_path: Path, places: list[str], title: str) -> None:
    from dicomfiles import write_slices

    from MAESILSlicerLib.web.catalog import findEntries
    from MAESILSlicerLib.web.uploads import _nameAfterSent

    slices = tmp_path / "slices"
    slices.mkdir()
    write_slices(slices, np.zeros((len(places), 16, 16), np.int16), (1, 1, 1))
    target = tmp_path / "upload-57a3jt_s"
    for path, place in zip(sorted(slices.iterdir()), places, strict=True):
        (target / "Upload" / place).parent.mkdir(parents=True, exist_ok=True)
        path.rename(target / "Upload" / place)
    _nameAfterSent(target / "Upload")
    [entry] = findEntries(target.iterdir(), "Uploads", target)
    assert entry.title == title
    if len(places) == 1:
        with pytest.raises(VolumeError, match=r"^Upload has only one slice"):
            entry.read()


def test_scans_are_titled_by_their_path_and_a_bad_one_is_offered_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dicomfiles import write_slices

    from MAESILSlicerLib.web import catalog

    for folder in ("s0001", "s0002", "series"):
        (tmp_path / folder).mkdir()
        if folder != "series":
            write_volume(Volume(np.zeros((8, 8, 8), np.int16), np.eye(4)), tmp_path / folder / "ct.nii.gz")
    write_slices(tmp_path / "series", np.zeros((3, 16, 16), np.int16), (1, 1, 1))

    def fail(path: Path) -> list[object]:
        raise ZeroDivisionError(path.name)

    odd = tmp_path / "t" / os.fsdecode(b"caf\xe9.nii")
    if os.name != "nt":
        odd.parent.mkdir()
        write_volume(Volume(np.zeros((8, 8, 8), np.int16), np.eye(4)), odd)
    monkeypatch.setattr(catalog, "list_series", fail)
    entries = catalog.findEntries([tmp_path], "This server")
    assert [entry.title for entry in entries[:3]] == ["s0001/ct.nii.gz", "s0002/ct.nii.gz", "series"]
    assert entries[2].read().shape == (3, 16, 16)
    # Windows keeps names as Unicode.
    assert [(one.title, one.read().name) for one in entries[3:]] == [
        (r"t/caf\xe9.nii", r"caf\xe9")
    ] * odd.exists()


def test_a_header_that_was_sent_names_no_file_of_the_server(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "secret.raw").write_bytes(bytes(2 * 16**3))
    header = "NRRD0005\ntype: short\ndimension: 3\nsizes: 16 16 16\nendian: little\nencoding: raw\n"
    sent = tmp_path / "sent"
    sent.mkdir()
    (sent / "scan.nhdr").write_text(f"{header}data file: {tmp_path / 'secret.raw'}\n\n")

    async def work() -> None:
        await an_application.volume.openUpload(sent)
        await until(lambda: an_application.state.notice_kind == "error")

    run(work())
    assert "which did not come with it" in an_application.state.notice
    assert an_application.state.scan == -1


def test_what_was_sent_without_a_scan_is_refused(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    offered = len(an_application.volume.catalog.entries)
    (tmp_path / "sent").mkdir()
    with pytest.raises(VolumeError, match="no scan"):
        run(an_application.volume.openUpload(tmp_path / "sent"))
    assert len(an_application.volume.catalog.entries) == offered


def test_a_download_is_named_after_the_scan_that_was_shown_when_it_was_asked_for(
    aside: ThreadPoolExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILSlicerLib.web import downloads

    (tmp_path / "error.nii.gz").write_bytes(b"voxels")
    shown = ["first"]
    zipped = downloads._zipped

    def zip_slowly(files: list[Path]) -> Path | None:
        shown[:] = ["second"]
        return zipped(files)

    monkeypatch.setattr(downloads, "_zipped", zip_slowly)
    answers = downloads.Downloads(lambda: tmp_path, lambda: shown[0], lambda: b"")
    answer = aside.submit(asyncio.run, download(answers, downloads.ZIP)).result()
    assert "first_results.zip" in answer.headers["Content-Disposition"]


def test_results_that_go_while_they_are_packed_are_not_there(
    aside: ThreadPoolExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILSlicerLib.web import downloads

    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "error.nii.gz").write_bytes(b"voxels")
    zipped = downloads._zipped

    def zip_too_late(files: list[Path]) -> Path | None:
        shutil.rmtree(folder)
        return zipped(files)

    monkeypatch.setattr(downloads, "_zipped", zip_too_late)
    answers = downloads.Downloads(lambda: folder, lambda: "first", lambda: b"")
    assert aside.submit(asyncio.run, download(answers, downloads.ZIP)).result().status == 404


def test_a_view_that_is_made_late_blends_the_mask_like_the_first_ones(
    an_application: Application, run: Run
) -> None:
    from MAESILSlicerLib.web.views import _pixelsOf

    state, views = an_application.state, an_application.views

    async def work() -> None:
        await show(an_application, "first.nii")
        await reconstruct(an_application)
        state.show_mask_compared, state.show_labels = True, False
        an_application.masks.apply()
        first, late = views.slices[0], views.shownSlices[0]
        for view in (first, late):
            resize(view, 300, 300)
            view.set_slice_value(0.0)
        node = late.get_view_node()
        node.SetFieldOfView(*first.get_view_node().GetFieldOfView())
        node.GetSliceToRAS().DeepCopy(first.get_view_node().GetSliceToRAS())
        node.UpdateMatrices()
        assert np.array_equal(_pixelsOf(late), _pixelsOf(first))

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
    panel = ModelPanel(an_application.models._page, [folder], an_application._onModel)
    first = state.chosen_model
    assert state.models[first] == "tiny"
    assert state.models[-3:] == ["going", "later", "run/model"]
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
        with pytest.raises(VolumeError, match="no label map"):
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
        assert titles["error.nii.gz"] == "Error, HU"

    run(work())


@pytest.mark.parametrize(
    ("width", "percent", "text"),
    [(400, 25, "10 cm"), (300, 16.67, "5 cm"), (30, 16.67, "5 mm"), (2, 50, "1 mm")],
)
def test_the_scale_bar_has_a_round_length(width: float, percent: float, text: str) -> None:
    from MAESILSlicerLib.web.measures import scaleOf

    assert scaleOf(width) == (percent, text)


def test_the_place_under_the_mouse_is_named_by_its_sides(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    from MAESILSlicerLib.web.measures import probeText

    voxels = np.full((16, 32, 32), -1000, np.int16)
    voxels[8, 20, 10] = 123
    geometry = np.diag((2.0, 2.0, 2.0, 1.0))
    geometry[:3, 3] = (-32, -32, -20)
    write_volume(Volume(voxels, geometry), tmp_path / "scans" / "second.nii")

    async def work() -> None:
        await show(an_application, "second.nii")
        view = an_application.views.slices[0]
        resize(view, 300, 300)
        view.set_slice_value(-4.0)
        to_xy = np.linalg.inv(slicer_matrix(view))
        x, y = np.rint((to_xy @ (-12.0, 8.0, -4.0, 1.0))[:2]).astype(int)
        text = probeText(view, (x, y), "HU")
        assert text.endswith(" mm: 123 HU")
        assert text.startswith("L ")
        assert "A " in text
        assert "I 4.0" in text
        assert probeText(view, (x, y), "").endswith(" mm: 123")
        assert probeText(view, (0, 0), "HU") == ""

    run(work())


def slicer_matrix(view: SliceView) -> np.ndarray:
    import slicer

    return slicer.util.arrayFromVTKMatrix(view.get_view_node().GetXYToRAS())


def test_a_screenshot_has_the_titles_of_the_views(an_application: Application, run: Run) -> None:
    from MAESILSlicerLib.web.viewframe import titleOf
    from MAESILSlicerLib.web.views import _titled

    titles = [titleOf(view.get_singleton_tag(), {}) for view in an_application.views.shown]
    assert titles == ["Axial", "3D", "Coronal", "Sagittal"]
    assert titleOf("MAESILMasked", {"MAESILMasked": "Masked (mask 1 of 4)"}) == "Masked (mask 1 of 4)"
    black = np.zeros((100, 200, 3), np.uint8)
    written = _titled(black, "Axial")
    assert written[:30, :80].max() == 255
    assert not written[40:].any()

    async def work() -> None:
        await show(an_application, "first.nii")
        assert an_application.views.screenshot().startswith(b"\x89PNG")

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
