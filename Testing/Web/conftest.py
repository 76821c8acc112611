"""What the tests of the page share: a quick model, a real server, and a browser that nothing escapes."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest

if TYPE_CHECKING:
    from browsing import Chromium
    from pagestate import Run
    from playwright.sync_api import BrowserContext, ConsoleMessage, Page
    from serving import OpenPage, Served

    from MAESILSlicerLib.web.application import Application

_HERE = Path(__file__).resolve().parent
REPOSITORY = _HERE.parents[1]
_numbers = itertools.count()
# The scene code, and the helpers beside this file.
sys.path[:0] = [str(REPOSITORY / "MAESILSlicer"), str(_HERE), str(_HERE.parent)]

if any(importlib.util.find_spec(name) is None for name in ("playwright", "trame_slicer")):
    # They come with `pip install maesil[app,test]`; without them there is nothing to test here.
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def a_model(make_tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that knows nothing and is quick with a whole CT."""
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", superpatch=64, patch=8)


@pytest.fixture(scope="session")
def a_ct(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CT as a file: a real one where there is one, else the phantom."""
    data = Path(os.environ.get("MAESIL_DATA") or REPOSITORY.parent / "shared" / "data")
    real = data / "test" / "TS_example_ct.nii.gz"
    if real.is_file():
        return real
    from MAESILCore.data.volume import write_volume
    from MAESILCore.phantom import make_phantom

    path = tmp_path_factory.mktemp("scan") / "phantom.nii.gz"
    write_volume(make_phantom((64, 96, 96)).volume, path)
    return path


@pytest.fixture(scope="session")
def a_dicom_folder(a_ct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few slices of the CT as DICOM files, in a folder of their own."""
    from dicomfiles import write_slices

    from MAESILCore.data.volume import read_volume

    folder = tmp_path_factory.mktemp("dicom") / "CT thorax"
    folder.mkdir()
    volume = read_volume(a_ct)
    write_slices(folder, np.ascontiguousarray(volume.voxels[:16]), volume.spacing)
    return folder


@pytest.fixture(scope="session")
def a_server(a_model: Path, a_ct: Path) -> Iterator[Served]:
    """One server for all tests that leave it as it was: four-up, the CT shown, no job."""
    from serving import serving

    with serving(str(a_ct), "--model", str(a_model), "--device", "cpu") as served:
        yield served


@pytest.fixture(scope="session")
def a_browser(chromium: str) -> Iterator[Chromium]:
    """The installed Chromium without a window."""
    from browsing import Chromium

    browser = Chromium(chromium)
    yield browser
    browser.close()


@pytest.fixture
def new_context(a_browser: Chromium) -> Iterator[Callable[..., BrowserContext]]:
    """Opens a browser's context, with the options of Playwright, and closes it in the end."""
    contexts: list[BrowserContext] = []

    def new(**options: Any) -> BrowserContext:  # noqa: ANN401 - as Playwright
        contexts.append(a_browser.browser.new_context(**options))
        return contexts[-1]

    yield new
    for context in contexts:
        a_browser.close_context(context)


@pytest.fixture
def open_page(a_browser: Chromium) -> Iterator[OpenPage]:
    """Opens an address; in the end, an error in the console or a request to another host fails the test."""
    from serving import PATIENCE_MS, TAB

    problems: list[str] = []
    contexts = []

    def open_(address: str, *, tab: str = TAB) -> Page:
        context = a_browser.browser.new_context(
            viewport={"width": 1280, "height": 720}, accept_downloads=True
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(f"sessionStorage['maesil-tab'] ||= '{tab}';")
        page = context.new_page()
        host = urlsplit(address).netloc

        def check_request(url: str) -> None:
            parts = urlsplit(url)
            if parts.scheme not in ("blob", "data") and parts.netloc != host:
                problems.append(f"request to another host: {url}")

        def check_console(told: ConsoleMessage) -> None:
            # Where a test ends its server, the page asks for it again, and Chromium prints that nobody answers.
            if told.type == "error" and not told.location["url"].endswith("/enter"):
                problems.append(told.text)

        page.on("console", check_console)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: check_request(request.url))
        page.on("websocket", lambda socket: check_request(socket.url))
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        a_browser.close_context(context)
    assert problems == []


@pytest.fixture
def a_page(a_server: Served, open_page: OpenPage) -> Page:
    """The page of the shared server, with its CT shown."""
    page = open_page(a_server.address)
    page.get_by_test_id("share").wait_for()
    return page


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
    from freeing import free_application, spare_collections
    from trame.app import get_server

    from MAESILCore.data.volume import Volume, write_volume
    from MAESILSlicerLib.web.application import Application
    from MAESILSlicerLib.web.options import AppOptions

    monkeypatch.setattr(slicer, "mrmlScene", None, raising=False)
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("first", "second"):
        voxels = np.random.default_rng(0).integers(-1000, 1000, (16, 32, 32)).astype(np.int16)
        write_volume(Volume(voxels, np.eye(4)), scans / f"{name}.nii")
    (tmp_path / "app").mkdir()
    spare_collections()
    server = get_server(f"test {next(_numbers)}", client_type="vue3")
    options = AppOptions(scans=(scans,), device="cpu", model=str(tiny_model))
    application = aside.submit(Application, server, options, tmp_path / "app").result()
    application.state.coverage = 0
    yield application
    aside.submit(application.close).result()
    aside.submit(free_application, application.views.app).result()


@pytest.fixture
def run(aside: ThreadPoolExecutor, an_application: Application) -> Run:
    """Does something as the server does, while job and search are watched."""

    async def watched(work: Coroutine[object, object, None]) -> None:
        watches = (an_application.reconstruct.watch(), an_application.similar.watch())
        watching = [asyncio.create_task(watch) for watch in watches]
        try:
            await work
            assert not any(watch.done() for watch in watching)
        finally:
            for watch in watching:
                watch.cancel()
                with suppress(asyncio.CancelledError):
                    await watch

    return lambda work: aside.submit(asyncio.run, watched(work)).result()
