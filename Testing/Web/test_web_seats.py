"""Two browsers at one page: the second is asked, watches or takes over, and the server holds it to that."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import BrowserContext, Page
    from serving import OpenPage, Served

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def a_shared_server(a_model: Path, a_ct: Path) -> Iterator[Served]:
    """A server for these tests alone: they leave tabs behind that another test would find."""
    with serving(str(a_ct), "--model", str(a_model), "--device", "cpu") as served:
        yield served


@pytest.fixture
def come(a_shared_server: Served, open_page: OpenPage) -> Callable[[], Page]:
    """Opens the page in another browser."""
    return lambda: open_page(a_shared_server.address, tab=f"tab-{secrets.token_hex(10)}")


@pytest.fixture
def an_owner(come: Callable[[], Page]) -> Page:
    """A browser that has the page, whoever had it before."""
    page = come()
    button = page.get_by_role("button", name="Take over")
    button.or_(page.get_by_test_id("share")).first.wait_for()
    if button.is_visible():
        button.click()
    page.get_by_test_id("share").wait_for()
    return page


def slide(page: Page, control: str, value: float) -> None:
    page.get_by_test_id(control).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', {bubbles: true})); }",
        str(value),
    )


def watch(come: Callable[[], Page]) -> Page:
    page = come()
    page.get_by_role("button", name="Watch").click()
    page.get_by_test_id("share").wait_for()
    return page


def test_a_second_browser_sees_nothing_of_the_patient_before_it_chooses(
    an_owner: Page, come: Callable[[], Page]
) -> None:
    second = come()
    second.get_by_role("heading", name="MAESIL is in use").wait_for()
    assert second.locator(".app, .views, img:not([src$='icon.svg'])").count() == 0
    title = an_owner.locator(".scan-title").inner_text()
    assert title
    assert title not in second.content()
    an_owner.get_by_test_id("share").wait_for()
    for _ in range(3):
        second.keyboard.press("Escape")
    second.get_by_role("heading", name="MAESIL is in use").wait_for()
    # The keyboard is enough.
    second.get_by_role("button", name="Watch").focus()
    second.keyboard.press("Enter")
    second.get_by_text("You are watching.").wait_for()


def test_a_watcher_sees_the_page_live_and_can_change_nothing(
    an_owner: Page, come: Callable[[], Page]
) -> None:
    from playwright.sync_api import expect

    watcher = watch(come)
    expect(an_owner.get_by_test_id("watchers")).to_have_text("1 watching")
    slide(an_owner, "opacity", 0.8)
    expect(watcher.get_by_test_id("opacity")).to_have_value("0.8")
    pictures = watcher.locator(".views img.image-display-area")
    watcher.wait_for_function("document.querySelectorAll('.views img.image-display-area[src]').length === 4")
    before = pictures.first.get_attribute("src")
    slide(an_owner, "opacity", 0.35)
    watcher.wait_for_function(
        "(before) => document.querySelector('.views img.image-display-area').src !== before", arg=before
    )
    usable = watcher.evaluate(
        """() => [...document.querySelectorAll(".app :is(button, input, select, a[download], [role=button])")]
             .filter((control) => !control.closest("[inert]") && control.checkVisibility())
             .map((control) => control.innerText)"""
    )
    assert usable in (["Light"], ["Dark"])
    # What a script of the page tries all the same is taken back by the server.
    slide(watcher, "opacity", 0.1)
    expect(watcher.get_by_test_id("opacity")).to_have_value("0.35")
    expect(an_owner.get_by_test_id("opacity")).to_have_value("0.35")
    slices = an_owner.locator('input[data-view="Red"]')
    position, highlighted = slices.input_value(), an_owner.get_by_test_id("superpatch").input_value()
    watcher.evaluate("window.trame.trigger('choose_superpatch', [-1])")
    watcher.evaluate("window.trame.trigger('reconstruct')")
    # The views' own events, as the page sends them.
    watcher.evaluate(
        """async () => {
          const session = window.trame.client.getConnection().getSession();
          const area = window.trame.state.state;
          for (const name of Object.keys(area).filter((key) => key.endsWith("_active_view_cursor"))) {
            const view = name.replace("_active_view_cursor", "");
            await session.call("trame.rca.event", [view, "test", { type: "StartMouseWheel", spinY: 5, x: 9, y: 9 }]);
            await session.call("trame.rca.event", [view, "test", { type: "MouseWheel", spinY: 5, x: 9, y: 9 }]);
          }
        }"""
    )
    slide(an_owner, "level", 41)
    expect(watcher.get_by_test_id("level")).to_have_value("41")
    slide(an_owner, "level", 40)
    assert an_owner.get_by_test_id("superpatch").input_value() == highlighted
    assert slices.input_value() == position
    expect(an_owner.get_by_test_id("reconstruct")).to_be_visible()


def test_the_size_of_a_watchers_window_leaves_the_owners_views_alone(
    an_owner: Page, come: Callable[[], Page]
) -> None:
    from playwright.sync_api import expect

    size = (
        "() => { const i = document.querySelector('.views img'); return [i.naturalWidth, i.naturalHeight]; }"
    )
    an_owner.wait_for_function("document.querySelector('.views img')?.naturalWidth > 300")
    before = an_owner.evaluate(size)
    watcher = watch(come)
    watcher.set_viewport_size({"width": 800, "height": 900})
    watcher.wait_for_function("document.querySelector('.views img')?.naturalWidth > 300")
    slide(an_owner, "level", 50)
    expect(watcher.get_by_test_id("level")).to_have_value("50")
    watcher.wait_for_timeout(500)
    assert an_owner.evaluate(size) == watcher.evaluate(size) == before
    slide(an_owner, "level", 40)


def test_files_and_uploads_are_the_owners(
    a_shared_server: Served, an_owner: Page, new_context: Callable[[], BrowserContext]
) -> None:
    answers = """async () => {
      const asked = [["screenshot.png", "GET"], ["results/results.zip", "GET"], ["upload", "POST"]];
      const answered = await Promise.all(asked.map(([path, method]) =>
        fetch(window.maesil.ofThisTab(path), { method, body: method === "POST" ? new FormData() : undefined })));
      return answered.map((one) => one.status);
    }"""
    # Chromium tells of each refusal on the console, which fails the test elsewhere: here it is the point.
    page = new_context().new_page()
    page.add_init_script(f"sessionStorage['maesil-tab'] ||= 'tab-{secrets.token_hex(10)}';")
    page.goto(a_shared_server.address)
    page.get_by_role("button", name="Watch").click()
    page.get_by_test_id("share").wait_for()
    assert page.evaluate(answers) == [403, 403, 403]
    assert an_owner.evaluate(answers.replace('["results/results.zip", "GET"], ', "")) == [200, 200]


def test_a_takeover_is_told_and_can_be_taken_back(an_owner: Page, come: Callable[[], Page]) -> None:
    from playwright.sync_api import expect

    slide(an_owner, "opacity", 0.6)
    second = come()
    second.get_by_role("button", name="Take over").click()
    second.get_by_test_id("share").wait_for()
    expect(second.get_by_test_id("opacity")).to_have_value("0.6")
    an_owner.get_by_role("heading", name="Somebody took the page over").wait_for()
    slide(second, "opacity", 0.35)
    an_owner.get_by_role("button", name="Watch").click()
    an_owner.get_by_text("You are watching.").wait_for()
    expect(an_owner.get_by_test_id("opacity")).to_have_value("0.35")
    an_owner.get_by_test_id("take-over").click()
    second.get_by_role("heading", name="Somebody took the page over").wait_for()
    an_owner.get_by_test_id("share").wait_for()
    expect(an_owner.get_by_text("You are watching.")).to_be_hidden()
    slide(an_owner, "level", 45)
    expect(an_owner.locator(".slider", has_text="Level")).to_contain_text("45")
    slide(an_owner, "level", 40)
    second.get_by_role("button", name="Take back").click()
    second.get_by_test_id("share").wait_for()
    an_owner.get_by_role("heading", name="Somebody took the page over").wait_for()


def test_a_reload_of_owner_and_watcher_asks_nothing(an_owner: Page, come: Callable[[], Page]) -> None:
    watcher = watch(come)
    for page in (an_owner, watcher, an_owner):
        page.reload()
        page.get_by_test_id("share").wait_for()
        assert page.get_by_role("dialog").count() == 0
    assert an_owner.evaluate("document.documentElement.dataset.role") == "owner"
    assert watcher.evaluate("document.documentElement.dataset.role") == "watcher"


def test_two_tabs_of_one_browser_are_two(an_owner: Page, a_shared_server: Served) -> None:
    tab = an_owner.context.new_page()
    tab.add_init_script("sessionStorage['maesil-tab'] = 'tab-the-second-one-of-the-same-browser';")
    tab.goto(a_shared_server.address)
    tab.get_by_role("heading", name="MAESIL is in use").wait_for()
    tab.close()


def test_a_copied_tab_and_the_first_one_do_not_fight(an_owner: Page, a_shared_server: Served) -> None:
    # Browsers copy what a tab stores when it is duplicated.
    identity = an_owner.evaluate("sessionStorage['maesil-tab']")
    copy = an_owner.context.new_page()
    copy.add_init_script(f"sessionStorage['maesil-tab'] ||= '{identity}';")
    copy.goto(a_shared_server.address)
    copy.get_by_test_id("share").wait_for()
    an_owner.get_by_role("heading", name="Somebody took the page over").wait_for()
    an_owner.get_by_role("button", name="Take back").click()
    copy.get_by_role("heading", name="Somebody took the page over").wait_for()
    an_owner.get_by_test_id("share").wait_for()


def test_an_owner_who_leaves_frees_the_page_and_keeps_scene_and_job(
    an_owner: Page, come: Callable[[], Page]
) -> None:
    from playwright.sync_api import expect

    watcher = watch(come)
    slide(an_owner, "opacity", 0.7)
    an_owner.get_by_test_id("reconstruct").click()
    an_owner.get_by_test_id("cancel").wait_for()
    an_owner.close()
    watcher.get_by_text("Nobody uses this page at the moment.").wait_for()
    second = come()
    second.get_by_test_id("share").wait_for()
    expect(second.get_by_test_id("opacity")).to_have_value("0.7")
    second.get_by_test_id("cancel").or_(second.get_by_test_id("scores")).first.wait_for()
    watcher.get_by_text("Only the browser tab that uses this page").wait_for()
    if second.get_by_test_id("cancel").is_visible():
        second.get_by_test_id("cancel").click()
    second.get_by_test_id("reconstruct").wait_for()
    slide(second, "opacity", 0.35)
    second.get_by_role("button", name="Four-up").click()


def test_who_comes_while_the_owner_leaves_waits_and_gets_in(an_owner: Page, come: Callable[[], Page]) -> None:
    an_owner.close()
    second = come()
    second.get_by_text("Waiting for the tab that was just closed").wait_for()
    second.get_by_test_id("share").wait_for()
    assert second.get_by_role("dialog").count() == 0


def test_who_is_asked_learns_that_the_page_is_free(an_owner: Page, come: Callable[[], Page]) -> None:
    second = come()
    second.get_by_role("heading", name="MAESIL is in use").wait_for()
    an_owner.close()
    second.get_by_role("button", name="Open the page").click()
    second.get_by_test_id("share").wait_for()


@pytest.mark.parametrize("secret", ["wslink-secret", "tab-of-nobody-who-was-let-in", None])
def test_a_websocket_without_a_seat_hears_and_does_nothing(
    a_shared_server: Served, secret: str | None
) -> None:
    import aiohttp
    import msgpack
    from wslink.chunking import generate_chunks

    def packed(number: int, method: str, *arguments: object) -> bytes:
        kind = "system:c0" if method == "wslink.hello" else "rpc:c"
        call = {
            "wslink": "1.0",
            "id": f"{kind}:{number}",
            "method": method,
            "args": [*arguments],
            "kwargs": {},
        }
        return b"".join(generate_chunks(msgpack.packb(call), 0))

    async def ask() -> list[dict[str, object]]:
        address = f"ws://127.0.0.1:{a_shared_server.port}/ws"
        async with aiohttp.ClientSession() as session, session.ws_connect(address) as socket:
            await socket.send_bytes(packed(0, "wslink.hello", {"secret": secret}))
            await socket.send_bytes(packed(1, "trame.state.get"))
            await socket.send_bytes(packed(2, "trame.trigger", "cancel", [], {}))
            return [msgpack.unpackb((await socket.receive_bytes())[12:]) for _ in range(3)]

    # Playwright's loop runs in this thread.
    with ThreadPoolExecutor(1) as aside:
        answers = aside.submit(asyncio.run, ask()).result()
    assert all("error" in answer and "result" not in answer for answer in answers)
    assert "scan" not in json.dumps(answers)
