"""A reconstruction that was started from the console."""

from __future__ import annotations

import time
from collections.abc import Callable

import slicer

from MAESILCore.errors import Cancelled, MaesilError
from MAESILSlicerLib.results import ResultNodes
from MAESILSlicerLib.session import Session

ProgressCallback = Callable[[float, str], None]
_SECONDS_BETWEEN_LOOKS = 0.05


class RunningReconstruction:
    """A job under way, to be waited for or cancelled.

    Args:
        session: whose job has just been started.
        onProgress: called with the share that is done, 0 to 1, and a sentence.

    Attributes:
        results: the nodes, once it has finished; of its own volume, whichever is shown by then.
        message: what was told last.
    """

    def __init__(self, session: Session, onProgress: ProgressCallback | None = None) -> None:
        self._session, self._onProgress = session, onProgress
        self._job, self._failed = session.job, False
        self.results: ResultNodes | None = None
        self.message = session.message
        self._ending = "The reconstruction was stopped; nothing of it was kept."
        session.addListener(self._onChanged)

    @property
    def isRunning(self) -> bool:
        """Whether it has not ended yet."""
        return self._session.job is self._job

    def cancel(self) -> None:
        """Ask it to end; it has once `isRunning` is False."""
        if self.isRunning:
            self._session.cancel()

    def wait(self) -> ResultNodes:
        """Wait until it has ended; the application stays responsive meanwhile.

        Raises:
            Cancelled: it was cancelled, or its scene was closed.
            MaesilError: it failed, or its volume was deleted or changed; the message says why.
        """
        while self.isRunning:
            self._session.poll()
            slicer.app.processEvents()
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        if self.results is not None:
            return self.results
        if self._failed:
            raise MaesilError(self._ending)
        raise Cancelled(self._ending)

    def _onChanged(self) -> None:
        if self.isRunning:
            self.message = self._session.message or self.message
            if self._onProgress is not None:
                self._onProgress(self._job.fraction, self.message)
            return
        self._session.removeListener(self._onChanged)
        self._failed, self.results = self._session.failed, self._session.made
        self.message = self._ending = self._session.message or self._ending
