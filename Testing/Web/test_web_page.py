"""The page in a real browser, against the real server, on a real CT where there is one."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from serving import serving

from MAESILCore.data.volume import read_volume

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page
    from serving import Served

    from Testing.Web.conftest import OpenPage

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 60
TIMES = "\N{MULTIPLICATION SIGN}"


def picture(page: Page, tag: str) -> np.ndarray:
    """What a view shows, (rows, columns, 3) uint8."""
    from PIL import Image

    shot = page.locator(f".layout-grid-item:has(.view-{tag})").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))


def changed(page: Page, tags: tuple[str, ...], change: Callable[[], object]) -> None:
    """Do something and wait until each of the views shows another picture."""
    settle(page, tags)
    before = {tag: picture(page, tag) for tag in tags}
    change()
    until = time.monotonic() + PATIENCE_SECONDS
    missing = set(tags)
    while missing:
        assert time.monotonic() < until, f"{missing} did not change"
        missing = {tag for tag in missing if np.array_equal(picture(page, tag), before[tag])}


def settle(page: Page, tags: tuple[str, ...]) -> None:
    """Wait until nothing moves any more."""
    last: list[np.ndarray] = []
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        now = [picture(page, tag) for tag in tags]
        if last and all(map(np.array_equal, now, last)):
            return
        last = now
        page.wait_for_timeout(400)
    pytest.fail("the views did not come to rest")


def slide(slider: Locator, value: float) -> None:
    """Move a slider as a script of the page would: its value, and the event of a hand on it."""
    slider.evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', {bubbles: true})); }",
        str(value),
    )


def wait_for_notice(page: Page, pattern: str) -> None:
    page.get_by_test_id("notice").filter(has_text=re.compile(pattern)).wait_for()


SLICES = ("Red", "Green", "Yellow")


def test_the_page_shows_the_scan_in_four_views(a_page: Page, a_ct: Path) -> None:
    settle(a_page, (*SLICES, "ThreeD"))
    for tag in (*SLICES, "ThreeD"):
        assert picture(a_page, tag).std() > 5, tag
    k, j, i = read_volume(a_ct).shape
    assert f"{i} {TIMES} {j} {TIMES} {k} voxels" in a_page.locator(".facts").inner_text()
    assert a_page.get_by_test_id("share").inner_text() == "75.0% hidden"


def test_nothing_is_cut_off_at_1280_by_720(a_page: Page) -> None:
    overflow = "() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    assert a_page.evaluate(overflow) == [1280, 720]
    panel = a_page.locator(".panel")
    assert panel.evaluate("(panel) => panel.scrollWidth <= panel.clientWidth")


@pytest.mark.parametrize(
    ("control", "value", "usual", "views"),
    [
        ("window", 1500, 400, ("Red",)),
        ("level", -300, 40, ("Green",)),
        ("shift", 150, 0, ("ThreeD",)),
        ("plane_ratio", 0.2, 0.5, ("Red", "ThreeD")),
        ("axis_ratio", 0.9, 0.5, ("Yellow", "ThreeD")),
        ("opacity", 0.9, 0.35, ("Red",)),
    ],
)
def test_a_slider_changes_the_pictures(
    a_page: Page, control: str, value: float, usual: float, views: tuple[str, ...]
) -> None:
    slider = a_page.get_by_test_id(control)
    changed(a_page, views, lambda: slide(slider, value))
    slide(slider, usual)


@pytest.mark.parametrize(
    ("control", "views"),
    [
        ("show_grid", ("Red",)),
        ("show_labels", ("Red",)),
        ("show_mask2d", ("Red",)),
        ("show_mask3d", ("ThreeD",)),
        ("rendered", ("ThreeD",)),
    ],
)
def test_a_switch_changes_the_pictures(a_page: Page, control: str, views: tuple[str, ...]) -> None:
    switch = a_page.get_by_test_id(control)
    changed(a_page, views, switch.uncheck)
    switch.check()


@pytest.mark.parametrize(
    ("control", "value", "usual", "views"),
    [("mode", "block", "nested", ("Red",)), ("preset", "CT-Air", "CT-Chest-Contrast-Enhanced", ("ThreeD",))],
)
def test_a_choice_changes_the_pictures(
    a_page: Page, control: str, value: str, usual: str, views: tuple[str, ...]
) -> None:
    choice = a_page.get_by_test_id(control)
    changed(a_page, views, lambda: choice.select_option(value))
    choice.select_option(usual)


def test_another_seed_draws_another_mask_of_the_same_share(a_page: Page) -> None:
    seed = a_page.get_by_test_id("seed")

    def give(number: str) -> None:
        seed.fill(number)
        seed.press("Enter")

    changed(a_page, ("Red",), lambda: give("7"))
    assert a_page.get_by_test_id("share").inner_text() == "75.0% hidden"
    give("0")


def test_the_arrow_keys_move_a_slice(a_page: Page) -> None:
    slider = a_page.locator('input[data-view="Red"]')
    slider.focus()
    changed(a_page, ("Red",), lambda: [slider.press("ArrowRight") for _ in range(3)])


def test_a_superpatch_is_highlighted_and_brought_into_the_slices(a_page: Page) -> None:
    choice = a_page.get_by_test_id("superpatch")
    first = choice.input_value()
    last = choice.locator("option").count() - 2
    changed(a_page, SLICES, lambda: choice.select_option(str(last)))
    changed(a_page, ("ThreeD",), a_page.get_by_test_id("clip").uncheck)
    a_page.get_by_test_id("clip").check()
    choice.select_option(first)


def test_a_double_click_chooses_the_superpatch_there(a_page: Page) -> None:
    choice = a_page.get_by_test_id("superpatch")
    first = choice.input_value()
    choice.select_option("-1")
    settle(a_page, ("Red",))
    a_page.locator(".layout-grid-item:has(.view-Red)").dblclick()
    a_page.wait_for_function("document.querySelector('[data-test=superpatch]').value !== '-1'")
    choice.select_option(first)
    a_page.get_by_test_id("clip").check()


def test_every_control_has_a_name_and_can_be_reached_by_the_keyboard(a_page: Page) -> None:
    for section in a_page.locator(".panel > details:not([open]) > summary").all()[::-1]:
        section.click()
    controls = a_page.locator("button, a[href], input, select, summary")
    for number in range(controls.count()):
        control = controls.nth(number)
        markup = control.evaluate("(control) => control.outerHTML")
        name = control.evaluate(
            "(c) => (c.labels && [...c.labels].map((l) => l.innerText).join('')) || c.ariaLabel || c.innerText || ''"
        )
        assert name.strip(), markup
        assert control.evaluate("(control) => control.tabIndex >= 0"), markup


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_stands_out_from_its_ground(a_page: Page, theme: str) -> None:
    a_page.emulate_media(color_scheme=theme)
    a_page.locator(f'html[data-theme="{theme}"] .app').wait_for()
    ratios = a_page.evaluate(
        """() => {
          const linear = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
          const light = (color) => {
            const [r, g, b] = color.match(/[\\d.]+/g).map(Number);
            return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
          };
          const opaque = (element) => {
            const color = getComputedStyle(element).backgroundColor;
            return /rgba\\(.*, 0\\)/.test(color) ? opaque(element.parentElement) : color;
          };
          const shown = [...document.querySelectorAll(".panel span, .panel p, .panel summary, .panel output, .top *")];
          return shown.filter((e) => e.innerText && !e.matches(":disabled, :disabled *, .disabled")).map((e) => {
            const [a, b] = [light(getComputedStyle(e).color), light(opaque(e))].sort((x, y) => y - x);
            return [(a + 0.05) / (b + 0.05), e.innerText];
          });
        }"""
    )
    assert len(ratios) > 20
    assert min(ratios)[0] >= 4.5, min(ratios)


def test_the_colours_are_the_browsers_until_one_chooses(a_server: Served, open_page: OpenPage) -> None:
    page, other = open_page(a_server.address), open_page(a_server.address, tab="tab-of-somebody-who-watches")
    # Colours are each browser's own, also where it only watches.
    other.get_by_role("button", name="Watch").click()
    for one in (page, other):
        one.emulate_media(color_scheme="light")
        one.locator('html[data-theme="light"] .app').wait_for()
    page.get_by_role("button", name="Dark", exact=True).click()
    page.locator('html[data-theme="dark"] .app').wait_for()
    page.reload()
    page.get_by_role("button", name="Light", exact=True).wait_for()
    assert other.get_by_role("button", name="Dark", exact=True).is_visible()


def test_a_message_is_taken_back_or_dismissed(a_page: Page) -> None:
    from playwright.sync_api import expect

    sliders = [a_page.get_by_test_id(name) for name in ("plane_ratio", "axis_ratio")]
    for slider in sliders:
        slide(slider, 0)
    a_page.locator(".notice.error").filter(has_text=re.compile(".")).first.wait_for()
    expect(a_page.get_by_test_id("reconstruct")).to_be_disabled()
    a_page.get_by_test_id("dismiss").click()
    expect(a_page.get_by_test_id("notice")).to_have_text("")
    expect(a_page.get_by_test_id("dismiss")).to_be_hidden()
    slide(sliders[0], 0.1)
    # Two changes at once would be none.
    a_page.get_by_test_id("share").filter(has_text="%").wait_for()
    slide(sliders[0], 0)
    a_page.locator(".notice.error").filter(has_text=re.compile(".")).first.wait_for()
    for slider in sliders:
        slide(slider, 0.5)
    expect(a_page.get_by_test_id("notice")).to_have_text("")
    a_page.get_by_test_id("share").filter(has_text="75.0%").wait_for()


@pytest.mark.parametrize(("typed", "used"), [("99999999999", "999999"), ("-5", "0"), ("1.5", "2")])
def test_the_field_shows_the_seed_that_is_used(a_page: Page, typed: str, used: str) -> None:
    from playwright.sync_api import expect

    seed = a_page.get_by_test_id("seed")
    seed.fill(typed)
    seed.press("Enter")
    expect(seed).to_have_value(used)
    seed.fill("0")
    seed.press("Enter")
    expect(seed).to_have_value("0")


def test_a_layout_of_3d_only_and_back(a_page: Page) -> None:
    a_page.get_by_role("button", name="3D", exact=True).click()
    a_page.locator(".view-Red").wait_for(state="detached")
    settle(a_page, ("ThreeD",))
    assert picture(a_page, "ThreeD").shape[1] > 900
    a_page.get_by_role("button", name="Four-up").click()
    a_page.locator(".view-Red").wait_for()


def test_a_screenshot_is_a_png_of_the_views(a_page: Page) -> None:
    from PIL import Image

    with a_page.expect_download() as download:
        a_page.get_by_role("link", name="Screenshot").click()
    image = Image.open(download.value.path())
    assert image.format == "PNG"
    assert np.asarray(image).std() > 5


def test_a_reload_finds_the_scene_again(a_page: Page) -> None:
    slide(a_page.get_by_test_id("opacity"), 0.8)
    a_page.get_by_test_id("mode").select_option("random")
    slide(a_page.get_by_test_id("ratio"), 0.5)
    a_page.get_by_test_id("share").filter(has_text="50.0%").wait_for()
    a_page.reload()
    a_page.get_by_test_id("share").filter(has_text="50.0%").wait_for()
    assert a_page.get_by_test_id("opacity").input_value() == "0.8"
    settle(a_page, SLICES)
    assert picture(a_page, "Red").std() > 5
    slide(a_page.get_by_test_id("ratio"), 0.75)
    slide(a_page.get_by_test_id("opacity"), 0.35)
    a_page.get_by_test_id("mode").select_option("nested")
    a_page.get_by_test_id("share").filter(has_text="75.0%").wait_for()


def test_a_reconstruction_is_cancelled(a_page: Page) -> None:
    a_page.get_by_test_id("reconstruct").click()
    a_page.get_by_test_id("cancel").click()
    wait_for_notice(a_page, "Cancelled")
    a_page.get_by_test_id("reconstruct").wait_for()
    assert a_page.get_by_test_id("scores").count() == 0


def test_a_reconstruction_survives_a_reload_and_ends_in_the_comparison(
    a_page: Page, a_ct: Path, tmp_path: Path
) -> None:
    a_page.get_by_test_id("coverage").select_option("0")
    a_page.get_by_test_id("reconstruct").click()
    a_page.get_by_test_id("cancel").wait_for()
    a_page.reload()
    a_page.get_by_test_id("cancel").or_(a_page.get_by_test_id("scores")).first.wait_for()
    # While the job runs, the page still answers.
    slide(a_page.get_by_test_id("opacity"), 0.5)
    a_page.get_by_test_id("scores").wait_for()
    tags = ("MAESILOriginal", "MAESILMasked", "MAESILReconstruction", "MAESILError")
    settle(a_page, tags)
    for tag in tags:
        assert picture(a_page, tag).std() > 5, tag
    assert "Research use only" in a_page.locator(".disclaimer").inner_text()
    rows = a_page.get_by_test_id("superpatches").locator("tbody tr")
    changed(a_page, ("MAESILOriginal",), rows.last.click)
    assert rows.last.get_attribute("aria-pressed") == "true"
    changed(a_page, ("MAESILOriginal",), lambda: a_page.locator(".plot .point").first.click())
    check_downloads(a_page, a_ct, tmp_path)
    a_page.get_by_role("button", name="Four-up").click()
    slide(a_page.get_by_test_id("opacity"), 0.35)


def check_downloads(page: Page, ct: Path, folder: Path) -> None:
    """Every result comes home whole, on the grid of the scan."""
    scan = read_volume(ct)
    links = page.get_by_test_id("files").locator("a")
    for number in range(links.count()):
        with page.expect_download() as download:
            links.nth(number).click()
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        if path.name.endswith(".nii.gz") and "lattice" not in path.name:
            volume = read_volume(path)
            assert volume.shape == scan.shape
            assert np.allclose(volume.ijk_to_ras, scan.ijk_to_ras, atol=1e-3)
    with page.expect_download() as download:
        page.get_by_test_id("zip").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        assert {"reconstruction.nii.gz", "error.nii.gz", "report.png", "metrics.json"} <= set(
            archive.namelist()
        )
        assert json.loads(archive.read("metrics.json"))["model"]


def test_a_file_and_a_folder_are_uploaded_and_a_bad_file_is_refused(
    a_model: Path, a_ct: Path, a_dicom_folder: Path, tmp_path: Path, open_page: OpenPage
) -> None:
    with serving(str(a_ct), "--model", str(a_model), "--device", "cpu") as served:
        page = open_page(served.address)
        page.get_by_test_id("share").wait_for()
        upload = page.get_by_test_id("upload")
        refuse(page, upload, tmp_path)
        page.evaluate(
            """() => {
              window.told = [];
              const line = document.getElementById("upload-status");
              new MutationObserver(() => window.told.push(line.textContent)).observe(line, { childList: true });
            }"""
        )
        upload.set_input_files(a_ct)
        page.wait_for_function("window.told.some((line) => line.startsWith('Searching the upload'))")
        # The server has the same scan already, so its title says nothing: what is sent next must come later.
        page.wait_for_function("window.told.at(-1) === ''")
        page.locator(".scan-title").filter(has_text=a_ct.name).wait_for()
        page.locator("input[webkitdirectory]").set_input_files(a_dicom_folder)
        page.locator(".facts").filter(has_text=f"{TIMES} 16 voxels").wait_for()
        drop(page, a_ct)
        k = read_volume(a_ct).shape[0]
        page.locator(".facts").filter(has_text=f"{TIMES} {k} voxels").wait_for()


def refuse(page: Page, upload: Locator, folder: Path) -> None:
    """What is no scan, or a damaged one, is told in the page, and the scan before stays."""
    from playwright.sync_api import expect

    notes, damaged = folder / "notes.txt", folder / "damaged.nii.gz"
    notes.write_text("no scan")
    damaged.write_bytes(b"\x1f\x8b" + b"no scan, either" * 20)
    facts = page.locator(".facts").inner_text()
    with page.expect_response("**/upload?*") as answered:
        upload.set_input_files(notes)
    assert answered.value.status == 200
    expect(page.locator("#upload-status")).to_contain_text("notes.txt is not a scan")
    upload.set_input_files(damaged)
    page.locator(".notice.error").filter(has_text="damaged.nii.gz").first.wait_for()
    assert page.locator(".facts").inner_text() == facts


def drop(page: Page, path: Path) -> None:
    """Let a file fall onto the page."""
    import base64

    page.evaluate(
        """async ([name, content]) => {
          const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], name));
          const event = (type) => new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true });
          document.body.dispatchEvent(event("dragenter"));
          document.body.dispatchEvent(event("dragover"));
          document.body.dispatchEvent(event("drop"));
        }""",
        [path.name, base64.b64encode(path.read_bytes()).decode()],
    )


def test_the_action_is_in_sight_at_1280_by_720(a_page: Page) -> None:
    from playwright.sync_api import expect

    panel = a_page.locator(".panel")
    for place in ("0", "panel.scrollHeight"):
        panel.evaluate(f"(panel) => {{ panel.scrollTop = {place}; }}")
        expect(a_page.get_by_test_id("reconstruct")).to_be_in_viewport(ratio=1)
    panel.evaluate("(panel) => { panel.scrollTop = 0; }")


def test_the_scale_bar_follows_the_zoom(a_page: Page) -> None:
    from playwright.sync_api import expect

    scale = a_page.locator(".layout-grid-item:has(.view-Red) .scale")
    before = scale.get_attribute("style")
    a_page.locator(".layout-grid-item:has(.view-Red)").hover()
    a_page.keyboard.down("Control")
    a_page.mouse.wheel(0, -200)
    a_page.keyboard.up("Control")
    expect(scale).not_to_have_attribute("style", before)
    a_page.get_by_label("Fit Axial to its view").click()
    expect(scale).to_have_attribute("style", before)
