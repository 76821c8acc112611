"""Progress of a classification in equal steps, and its cancellation."""

from __future__ import annotations

from collections.abc import Callable

from MAESILCore.downstream.classification.scans import stop_if

#: Parts into which a step is divided, so that a long one moves the bar.
_PARTS = 100


class Progress:
    """Counts the steps of the work.

    Args:
        total: number of steps.
        report: callback with (done, total, message); None shows nothing.
        cancelled: True stops the work; None never does.
    """

    def __init__(
        self,
        total: int,
        report: Callable[[int, int, str], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self._total = total
        self._report = report
        self._cancelled = cancelled
        self._begun = 0
        self._message = ""

    def step(self, message: str) -> None:
        """Begin the next step.

        Raises:
            Cancelled: the user wants to stop.
        """
        self.check()
        self._begun = min(self._begun + 1, self._total)
        self._message = message
        self.within(0, 1)

    def within(self, done: int, of: int) -> None:
        """Tell how much of the present step is done."""
        if self._report is not None:
            share = (self._begun - 1) * _PARTS + _PARTS * done // of
            self._report(share, self._total * _PARTS, self._message)

    def cancelled(self) -> bool:
        """Whether the user wants to stop."""
        return self._cancelled is not None and self._cancelled()

    def check(self) -> None:
        """Raise if the user wants to stop.

        Raises:
            Cancelled: the user wants to stop.
        """
        stop_if(self.cancelled)
