"""The browser of the tests: one that no longer answers holds nothing up."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from browsing import Chromium

pytestmark = pytest.mark.slow


def wait_for_the_end_of(processes: set[psutil.Process], seconds: float = 30) -> None:
    """Wait until none runs; in some containers, nobody asks for the status of one whose parent has gone."""
    until = time.monotonic() + seconds
    while running := [process for process in processes if is_running(process)]:
        assert time.monotonic() < until, running
        time.sleep(0.05)


def is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


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
    wait_for_the_end_of(first)

    context = a_browser.browser.new_context()
    page = context.new_page()
    page.set_content("<h1>again</h1>")
    assert page.locator("h1").inner_text() == "again"
    a_browser.close_context(context)
    assert any(is_running(process) for process in a_browser.processes)


def test_a_browser_that_no_longer_answers_can_be_ended(a_browser: Chromium) -> None:
    a_browser.browser.new_context().new_page()
    first = a_browser.processes
    for process in first:
        process.send_signal(signal.SIGSTOP)
    a_browser.close(seconds=1)
    wait_for_the_end_of(first)
