"""The page, in a browser: from its command to the first picture, and from a slider to the picture that follows."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (133, 512, 512)
#: Even, so that the next turns begin with a change.
ROUNDS = 10
PATIENCE_MS = 120_000
#: What is measured, the control, two values to go between, and the view whose picture is waited for. The first value is
#: another than at the start, since nothing is drawn for no change.
SLIDERS = (
    ("mask ratio to slice", "[data-test=plane_ratio]", (0.4, 0.6), "Red"),
    ("mask opacity to slice", "[data-test=opacity]", (0.3, 0.6), "Red"),
    ("window to slice", "[data-test=window]", (900, 400), "Red"),
    ("slice position to slice", "input[data-view=Red]", (-100, -110), "Red"),
    ("rendering shift to 3D", "[data-test=shift]", (100, 0), "ThreeD"),
)
#: Moves a slider and resolves to the milliseconds until its view has got, decoded and painted another picture.
_MEASURE = """async ([selector, value, tag]) => {
  const slider = document.querySelector(selector);
  const view = document.querySelector(`.layout-grid-item:has(.view-${tag}) img.image-display-area`);
  const painted = new Promise((done, failed) => {
    setTimeout(() => failed(new Error(`no picture after ${selector}`)), 30000);
    const observer = new MutationObserver(async () => {
      observer.disconnect();
      await view.decode().catch(() => null);
      requestAnimationFrame(() => done(performance.now()));
    });
    observer.observe(view, { attributes: true, attributeFilter: ["src"] });
  });
  const started = performance.now();
  slider.value = value;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  return (await painted) - started;
}"""
#: Resolves once no view has got a picture for half a second.
_REST = """() => new Promise((done) => {
  let timer = setTimeout(finish, 500);
  const observer = new MutationObserver(() => { clearTimeout(timer); timer = setTimeout(finish, 500); });
  observer.observe(document.body, { attributes: true, subtree: true, attributeFilter: ["src"] });
  function finish() { observer.disconnect(); done(); }
})"""


def web_rows(scan: Path | None) -> list[tuple[str, str, str]]:
    """Rows of the table; none where there is no browser to measure in."""
    from Testing.Benchmarks.against import OLD, export

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None or any(
        importlib.util.find_spec(name) is None for name in ("playwright", "trame_slicer")
    ):
        return [("The page", "not measured", "no browser, or no maesil[app,test]")]
    with contextlib.ExitStack() as stack:
        path = scan or _phantom(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        started = time.perf_counter()
        address = stack.enter_context(_served(path))
        browser = stack.enter_context(_browser(chromium))
        page = _opened(browser, address)
        first = time.perf_counter() - started
        times = {name: _slider_ms([page], *details)[0] for name, *details in SLIDERS}
        rows = [("Command to first picture of the page, browser included", f"{first:.1f} s", "")]
        for name, values in times.items():
            slowest = sorted(values)[int(0.9 * len(values))]
            rows.append(
                (f"Page: {name}, median", f"{statistics.median(values):.0f} ms", f"90 %: {slowest:.0f} ms")
            )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if export(OLD, folder, "MAESILCore", "MAESILSlicer", "Resources/Models"):
            # Both are served at once and take turns, because only then does the machine treat them alike.
            old = _opened(browser, stack.enter_context(_served(path, folder)))
            name, *details = SLIDERS[0]
            before, now = map(statistics.median, _slider_ms([old, page], *details))
            what = f"Page: {name}, in turns with {OLD}, median"
            rows.append((what, f"{now:.0f} ms, {OLD} {before:.0f} ms", f"{now / before:.2f} x"))
    return rows


def _slider_ms(pages: list[Page], selector: str, values: tuple[float, float], tag: str) -> list[list[float]]:
    """For each page the milliseconds of `ROUNDS` moves; the pages take turns."""
    measured: list[list[float]] = [[] for _ in pages]
    for turn in range(ROUNDS):
        for page, milliseconds in zip(pages, measured, strict=True):
            page.bring_to_front()
            page.evaluate(_REST)
            milliseconds.append(page.evaluate(_MEASURE, [selector, str(values[turn % 2]), tag]))
    return measured


def _opened(browser: Browser, address: str) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    page.wait_for_selector("[data-test=share]")
    page.wait_for_selector(".layout-grid-item:has(.view-Red) img.image-display-area")
    return page


def _phantom(folder: Path) -> Path:
    from MAESILCore.data.volume import write_volume
    from MAESILCore.phantom import make_phantom

    path = folder / "phantom.nii.gz"
    write_volume(make_phantom(SHAPE, spacing=(0.7, 0.7, 2.5)).volume, path)
    return path


@contextlib.contextmanager
def _served(scan: Path, root: Path = ROOT) -> Iterator[str]:
    command = [sys.executable, "-u", "-m", "MAESILCore", "app", str(scan), "--no-browser"]
    environment = os.environ | {"PYTHONPATH": str(root / "MAESILSlicer")}
    process = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            raise RuntimeError("the page could not be served")
        yield found.group()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        process.stdout.close()


@contextlib.contextmanager
def _browser(chromium: str) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


if __name__ == "__main__":
    for row in web_rows(Path(sys.argv[1]) if len(sys.argv) > 1 else None):
        print(" | ".join(row))
