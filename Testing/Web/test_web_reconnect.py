"""A page whose connection is lost: it says so, tries again by itself, and is where it was."""

from __future__ import annotations

import re
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from serving import PATIENCE_MS, TAB, serving
from tunnel import Tunnel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from browsing import Chromium
    from playwright.sync_api import BrowserContext, Page
    from serving import Served

pytestmark = pytest.mark.slow

LOST = "Connection lost, trying again"


@pytest.fixture(scope="module")
def a_lasting_server(a_model: Path, a_ct: Path) -> Iterator[Served]:
    with serving(str(a_ct), "--model", str(a_model), "--device", "cpu") as served:
        yield served


@pytest.fixture
def a_served_ct(request: pytest.FixtureRequest, a_model: Path, a_ct: Path) -> Iterator[Served]:
    """The server of this file, or with the parameter "own" one that the test may end."""
    if getattr(request, "param", "") != "own":
        yield request.getfixturevalue("a_lasting_server")
        return
    with serving(str(a_ct), "--model", str(a_model), "--device", "cpu") as served:
        yield served


ends_its_server = pytest.mark.parametrize("a_served_ct", ["own"], indirect=True)


@pytest.fixture
def a_tunnel(a_served_ct: Served) -> Iterator[Tunnel]:
    tunnel = Tunnel(a_served_ct.port)
    yield tunnel
    tunnel.cut()


@pytest.fixture
def a_distant_page(a_browser: Chromium, a_tunnel: Tunnel) -> Iterator[Page]:
    """The page through the tunnel.

    Chromium tells of lost connections on its console, which is no fault here. Nor are calls that were under way: the
    client of trame rejects their promises with a plain object; a fault of the page is an error with a message.
    """
    context = a_browser.browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(f"sessionStorage['maesil-tab'] ||= '{TAB}';")
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"http://127.0.0.1:{a_tunnel.port}/")
    page.get_by_test_id("share").wait_for()
    # A reload would take this away.
    page.evaluate("window.isTheSame = true")
    yield page
    a_browser.close_context(context)
    assert [problem for problem in problems if problem != "Object"] == []


def slide(page: Page, control: str, value: float) -> None:
    page.get_by_test_id(control).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', {bubbles: true})); }",
        str(value),
    )


def wait_for_pictures(page: Page) -> None:
    page.wait_for_function("document.querySelectorAll('.views img.image-display-area[src]').length === 4")


def test_a_lost_connection_comes_back_to_the_same_state_job_and_views(
    a_distant_page: Page, a_tunnel: Tunnel
) -> None:
    from playwright.sync_api import expect

    page = a_distant_page
    # So low that the panel can be scrolled with a section folded.
    page.set_viewport_size({"width": 1280, "height": 400})
    slide(page, "opacity", 0.8)
    page.locator(".panel details").first.locator("summary").click()
    page.get_by_test_id("device").scroll_into_view_if_needed()
    scrolled = page.locator(".panel").evaluate("(panel) => panel.scrollTop")
    assert scrolled > 0
    page.get_by_test_id("reconstruct").click()
    page.get_by_test_id("cancel").wait_for()
    a_tunnel.cut()
    page.get_by_role("heading", name=LOST).wait_for()
    # Longer than the seat is kept: nobody else has come.
    page.wait_for_timeout(6_000)
    expect(page.get_by_role("heading", name=LOST)).to_be_visible()
    a_tunnel.mend()
    page.get_by_role("dialog").wait_for(state="hidden")
    page.get_by_test_id("cancel").or_(page.get_by_test_id("scores")).first.wait_for()
    assert page.evaluate("window.isTheSame")
    expect(page.get_by_test_id("opacity")).to_have_value("0.8")
    assert page.locator(".panel details").first.get_attribute("open") is None
    page.wait_for_function(f"document.querySelector('.panel').scrollTop === {scrolled}")
    page.get_by_test_id("scores").wait_for()
    page.get_by_role("button", name="Four-up").click()
    # The views are live again: a slider still moves the overlay.
    page.locator(".view-Red").wait_for()
    wait_for_pictures(page)
    picture = "document.querySelector('.layout-grid-item:has(.view-Red) img').src"
    before = page.evaluate(picture)
    slide(page, "opacity", 0.1)
    page.wait_for_function(f"(before) => {picture} !== before", arg=before)


def test_a_connection_that_is_dead_without_a_word_is_noticed(a_distant_page: Page, a_tunnel: Tunnel) -> None:
    page = a_distant_page
    a_tunnel.hold()
    # As a computer that wakes up; without it, the page asks by itself every ten seconds.
    page.evaluate("window.dispatchEvent(new Event('online'))")
    page.get_by_role("heading", name=LOST).wait_for()
    a_tunnel.release()
    page.get_by_role("dialog").wait_for(state="hidden")
    assert page.evaluate("window.isTheSame")
    wait_for_pictures(page)


def test_tries_are_further_and_further_apart_until_asked_for(a_distant_page: Page, a_tunnel: Tunnel) -> None:
    page = a_distant_page
    # The page's own clock, ten times as fast.
    page.evaluate(
        """() => {
          window.waited = [];
          const real = window.setTimeout;
          window.setTimeout = (action, milliseconds) => {
            if (milliseconds >= 500) { window.waited.push(milliseconds); }
            return real(action, milliseconds / 10);
          };
        }"""
    )
    a_tunnel.cut()
    page.wait_for_function("window.waited.filter((one) => one === 15000).length >= 2")
    waits = [one for one in page.evaluate("window.waited") if one in (500, 1000, 2000, 4000, 8000, 15000)]
    assert sorted(waits) == waits
    assert set(waits) == {500, 1000, 2000, 4000, 8000, 15000}
    a_tunnel.mend()
    page.get_by_role("button", name="Try now").click()
    page.get_by_role("dialog").wait_for(state="hidden")


@ends_its_server
def test_a_server_that_ended_is_told_and_found_again(
    a_distant_page: Page, a_served_ct: Served, a_tunnel: Tunnel, a_model: Path, a_ct: Path
) -> None:
    from playwright.sync_api import TimeoutError as NotInTime

    page = a_distant_page
    assert a_served_ct.stop(signal.SIGINT) == 0
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("MAESIL was ended").wait_for()
    assert "start it again, and open the address that it prints" in dialog.inner_text()
    port = str(a_served_ct.port)
    with serving(str(a_ct), "--model", str(a_model), "--device", "cpu", "--port", port):
        # The page also tries by itself: it may have found the server before the button is pressed.
        with suppress(NotInTime):
            dialog.get_by_role("button", name="Try now").click(timeout=5_000)
        # Another server may show other controls: the page is loaded anew.
        page.wait_for_function("!window.isTheSame")
        page.get_by_test_id("share").wait_for()


@ends_its_server
def test_a_server_that_was_killed_is_told_in_one_sentence(
    a_distant_page: Page, a_served_ct: Served, a_tunnel: Tunnel
) -> None:
    page = a_distant_page
    # A minute passes at once for the page.
    page.evaluate("() => { const real = Date.now; Date.now = () => real() + 61_000 * (window.later ||= 0); }")
    a_served_ct.process.kill()
    a_served_ct.process.wait()
    page.get_by_role("heading", name=LOST).wait_for()
    page.evaluate("window.later = 1")
    page.get_by_role("heading", name="MAESIL does not answer").wait_for()
    text = page.locator("#gate-text").inner_text()
    assert re.fullmatch(r"[^.]+\.", text)


def test_a_proxy_that_passes_no_websocket_is_told(
    new_context: Callable[[], BrowserContext], a_served_ct: Served
) -> None:
    context = new_context()
    # The same tab as in the other tests, so that it leaves no seat to a stranger.
    context.add_init_script(f"sessionStorage['maesil-tab'] ||= '{TAB}';")
    page = context.new_page()
    page.route_web_socket("**/ws", lambda socket: socket.close(code=1011))
    page.goto(a_served_ct.address)
    page.get_by_role("heading", name="The page cannot be opened").wait_for(timeout=PATIENCE_MS)
    assert "a reverse proxy in between must pass websockets on" in page.locator("#gate-text").inner_text()
    assert page.locator("#app").is_hidden()
    page.unroute_all()


def test_a_connection_that_is_lost_to_somebody_else_is_told(
    a_distant_page: Page, a_served_ct: Served, a_tunnel: Tunnel, new_context: Callable[[], BrowserContext]
) -> None:
    page = a_distant_page
    a_tunnel.cut()
    page.get_by_role("heading", name=LOST).wait_for()
    # Somebody beside the server comes while the owner is away, and gets in once it is known to be gone.
    other = new_context().new_page()
    other.goto(a_served_ct.address)
    other.get_by_test_id("share").wait_for(timeout=PATIENCE_MS)
    a_tunnel.mend()
    page.get_by_role("heading", name="Somebody took the page over").wait_for()
