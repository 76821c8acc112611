"""The browser of the tests: one that no longer answers holds nothing up."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from browsing import Chromium

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["chrom", "node"])
def test_a_browser_or_driver_that_no_longer_answers_is_killed_and_replaced(
    a_browser: Chromium, name: str
) -> None:
    contexts = [a_browser.browser.new_context() for _ in range(2)]
    contexts[0].new_page().set_content("<h1>held</h1>")
    first = a_browser.processes
    stopped = [process for process in first if process.name().startswith(name)]
    assert stopped
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    for context in contexts:
        a_browser.close_context(context, seconds=1)
    assert psutil.wait_procs(first, timeout=30)[1] == []

    context = a_browser.browser.new_context()
    page = context.new_page()
    page.set_content("<h1>again</h1>")
    assert page.locator("h1").inner_text() == "again"
    a_browser.close_context(context)
    assert all(process.is_running() for process in a_browser.processes)


def test_a_browser_that_no_longer_answers_can_be_ended(a_browser: Chromium) -> None:
    a_browser.browser.new_context().new_page()
    first = a_browser.processes
    for process in first:
        process.send_signal(signal.SIGSTOP)
    a_browser.close(seconds=1)
    assert psutil.wait_procs(first, timeout=30)[1] == []
