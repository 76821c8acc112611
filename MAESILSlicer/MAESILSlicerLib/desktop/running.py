"""A job started by a script."""

from __future__ import annotations

import time
from collections.abc import Callable

import slicer

from MAESILCore.errors import Cancelled, MaesilError
from MAESILSlicerLib.results.resultset import ResultSet
from MAESILSlicerLib.session.session import Session

ProgressCallback = Callable[[float, str], None]
_SECONDS_BETWEEN_LOOKS = 0.05


class RunningJob:
    """A running job that can be awaited or cancelled.

    Args:
        session: the session that has just started the job.
        onProgress: called with the fraction done, 0 to 1, and a sentence.
    """

    def __init__(self, session: Session, onProgress: ProgressCallback | None = None) -> None:
        self._session, self._onProgress = session, onProgress
        self._job, self._failed, self._isSettled = session.job, False, False
        self._results: ResultSet | None = None
        self._message = session.message
        session.changed.connect(self._onChanged, "job")

    @property
    def isRunning(self) -> bool:
        """Whether the job is running; once False, `message` is the outcome and `results` is set."""
        if self._session.job is not self._job:
            self._settle()
        return not self._isSettled

    @property
    def message(self) -> str:
        """The latest message; after the end, the outcome."""
        self.isRunning  # noqa: B018 - settles
        return self._message

    @property
    def results(self) -> ResultSet | None:
        """The results of the job, once it has finished, even if another volume is shown by then."""
        self.isRunning  # noqa: B018 - settles
        return self._results

    def cancel(self) -> None:
        """Request the end of the job; it has ended once `isRunning` is False."""
        if self.isRunning:
            self._session.cancel()

    def wait(self) -> ResultSet:
        """Wait for the end of the job; the application stays responsive.

        Raises:
            Cancelled: the job was cancelled, or its scene was closed.
            MaesilError: the job failed, or its volume was deleted or changed; the message gives the reason.
        """
        while self.isRunning:
            self._session.poll()
            slicer.app.processEvents()
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        if self._results is not None:
            return self._results
        if self._failed:
            raise MaesilError(self._message)
        raise Cancelled(self._message)

    def _onChanged(self, _topics: frozenset[str]) -> None:
        if self.isRunning:
            self._message = self._session.message or self._message
            if self._onProgress is not None:
                self._onProgress(self._job.fraction, self._message)

    def _settle(self) -> None:
        """Store the outcome. Properties call this too, because other listeners may run before this one."""
        if self._isSettled:
            return
        self._isSettled = True
        self._session.changed.disconnect(self._onChanged)
        self._failed, self._results = self._session.failed, self._session.made
        self._message = self._session.message or "The job was stopped; nothing of it was kept."
