"""The section that starts a reconstruction and shows its progress."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from MAESILCore.errors import MaesilError
from MAESILCore.jobs.estimate import estimate_text
from MAESILCore.machine import DeviceProbe
from MAESILSlicerLib.session.choices import COVERAGE_TITLES, USUAL_COVERAGE, ReconstructionChoices
from MAESILSlicerLib.web.page import Page

_POLL_SECONDS = 0.25
_UNFORESEEN = "An internal error stopped the job; start it again, or see the server's log."
_COVERAGES = (
    {"title": COVERAGE_TITLES[False], "value": 0},
    *({"title": f"{COVERAGE_TITLES[True]} ({n} masks)", "value": n} for n in (2, USUAL_COVERAGE, 8)),
)


class ReconstructPanel:
    """Starts, polls and cancels the session's job.

    Args:
        page: the shared objects of the page.
        device: the default device.
        window: returns the chosen window in HU; None is the model's own.
        onJob: called when a job has started or ended.
        onResults: called with True when a job has made results, with False when the previous ones were dropped.
    """

    def __init__(
        self,
        page: Page,
        device: str,
        window: Callable[[], tuple[float, float] | None],
        onJob: Callable[[], None],
        onResults: Callable[[bool], None],
    ) -> None:
        self._page, self._window, self._onJob, self._onResults = page, window, onJob, onResults
        self._probe: DeviceProbe | None = None
        state = page.state
        state.update(
            {
                "coverages": list(_COVERAGES),
                "coverage": USUAL_COVERAGE,
                "compare_fill": False,
                "devices": [{"title": _titleOf(device), "value": device}],
                "device": device,
                "running": False,
                "scan_held": False,
                "cancelling": False,
                "fraction": None,
                "time_left": "",
            }
        )
        page.onTrigger("reconstruct", self.start)
        page.onTrigger("cancel", self.cancel)

    def close(self) -> None:
        """Stop the search for devices; the session ends the job."""
        if self._probe is not None:
            self._probe.close()

    def start(self) -> None:
        """Start a reconstruction with the page's settings."""
        state = self._page.state
        with state:
            if state.loading:
                self._page.notice.showError("The scan is still being read; wait until it is shown.")
                return
            try:
                # A region is always a single mask.
                coverage = 0 if self._page.session.isRegion else int(state.coverage)
                controls = ("biharmonic",) if state.compare_fill and not coverage else ()
                choices = ReconstructionChoices(
                    coverage, str(state.device), window=self._window(), export=True, controls=controls
                )
                self._page.session.startReconstruction(choices)
            except MaesilError as error:
                self._page.notice.showError(error)
                return
            self._page.notice.clear()
            self.refresh()

    def cancel(self) -> None:
        """Request the end of the job."""
        with self._page.state:
            self._page.session.cancel()
            self.refresh()

    async def watch(self) -> None:
        """Poll the job while the page is served."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            self._look()

    def _look(self) -> None:
        session, state = self._page.session, self._page.state
        before = session.results
        try:
            if not session.poll():
                return
            with state:
                self.refresh()
                # A cancelled or failed job leaves the previous results.
                if session.results is not None and session.results is not before:
                    self._onResults(True)
        except Exception:
            # Catch everything, or the page would wait forever for a job that is no longer polled.
            logging.exception("MAESIL: a reconstruction could not be taken in")
            with state:
                if session.results is not before:
                    self._onResults(False)
                session.stop(_UNFORESEEN)
                self.refresh()

    async def findDevices(self) -> None:
        """List PyTorch's devices in a separate process."""
        self._probe = DeviceProbe()
        while (report := self._probe.poll()) is None:
            await asyncio.sleep(_POLL_SECONDS)
        state = self._page.state
        with state:
            if report.error:
                self._page.notice.showError(report.error)
            found = [
                {"title": f"{device.name} ({device.id})", "value": device.id} for device in report.devices
            ]
            known = {item["value"] for item in found}
            # The device of the command line stays in the list; the job reports if it cannot be used.
            others = [one for one in dict.fromkeys(("auto", state.device)) if one not in known]
            state.devices = [{"title": _titleOf(one), "value": one} for one in others] + found

    def refresh(self) -> None:
        """Show the state of the session's job."""
        session, state = self._page.session, self._page.state
        job = session.job
        state.running = job is not None
        # A segmentation does not depend on the shown scan.
        state.scan_held = job is not None and session.task.inputNode is not None
        self._onJob()
        state.cancelling = job is not None and job.state == "cancelling"
        state.fraction = None if job is None else job.fraction
        left = None if job is None else job.seconds_left
        state.time_left = "" if left is None else f"{estimate_text(left)} left"
        if session.message:
            (self._page.notice.showError if session.failed else self._page.notice.show)(session.message)


def _titleOf(device: str) -> str:
    return "Automatic: the GPU if there is one" if device == "auto" else device
