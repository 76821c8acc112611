"""Progress of a classification in weighted steps, and its cancellation."""

from __future__ import annotations

from collections.abc import Callable

from MAESILCore.downstream.classification.scans import stop_if

#: Parts into which a step is divided, so that a long one moves the bar.
_PARTS = 100

#: Weights of steps: features of a scan, and a fit by head.
FEATURES, FITS = 10, {"logistic": 5, "attentive": 100, "finetune": 1000}


class Progress:
    """Counts the steps of the work, each with a weight, so that the time left is near the truth.

    Args:
        total: the sum of the weights.
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
        self._before, self._weight = 0, 0
        self._message = ""

    def step(self, message: str, weight: int = 1) -> None:
        """Begin the next step, which takes about so many times the reading of a scan.

        Raises:
            Cancelled: the user wants to stop.
        """
        self.check()
        self._before = min(self._before + self._weight, self._total)
        self._weight = min(weight, self._total - self._before)
        self._message = message
        self.within(0, 1)

    def within(self, done: int, of: int) -> None:
        """Tell how much of the present step is done."""
        if self._report is not None:
            share = self._before * _PARTS + self._weight * _PARTS * done // of
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
