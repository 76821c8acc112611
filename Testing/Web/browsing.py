"""A browser that holds up no test run: now and then, the wish to close a context is never answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil
from playwright.sync_api import Error, sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Playwright

#: What a busy machine needs for closing is a second or two.
CLOSING_SECONDS = 60.0


class Chromium:
    """One Chromium without a window for all tests of a process, and a new one after it had to be killed."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._processes: set[psutil.Process] = set()

    @property
    def browser(self) -> Browser:
        """The browser, started where none is there."""
        if self._playwright is None:
            others = set(psutil.Process().children())
            self._playwright = sync_playwright().start()
            self._processes = set(psutil.Process().children()) - others
            self._playwright.selectors.set_test_id_attribute("data-test")
        if self._browser is None:
            # Continuous integration and containers run as root, for whom Chromium's sandbox does not start.
            self._browser = self._playwright.chromium.launch(
                executable_path=self._command, args=["--no-sandbox", "--disable-gpu"]
            )
        return self._browser

    @property
    def processes(self) -> set[psutil.Process]:
        """The driver, the browser, and what they started."""
        found = set()
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                found |= {process, *process.children(recursive=True)}
        return found

    def close_context(self, context: BrowserContext, seconds: float = CLOSING_SECONDS) -> None:
        """Close a context; where nobody answers, all is killed, with the other contexts."""
        if context.browser is self._browser:
            with self._killed_after(seconds):
                context.close()

    def close(self, seconds: float = CLOSING_SECONDS) -> None:
        """End the browser and its driver."""
        with self._killed_after(seconds):
            if self._browser is not None:
                self._browser.close()
            self._end_driver()

    @contextmanager
    def _killed_after(self, seconds: float) -> Iterator[None]:
        killed = threading.Event()

        def kill() -> None:
            killed.set()
            for process in self.processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()

        timer = threading.Timer(seconds, kill)
        timer.start()
        try:
            yield
        except Error:
            # Playwright tells that the browser has gone, which is no news then.
            if not killed.is_set():
                raise
        finally:
            timer.cancel()
            timer.join()
        if killed.is_set():
            self._end_driver()

    def _end_driver(self) -> None:
        playwright, self._playwright, self._browser = self._playwright, None, None
        if playwright is not None:
            playwright.stop()
