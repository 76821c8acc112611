"""Scans that are segmented one after the other, as one task of a session."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from MAESILCore.errors import MaesilError
from MAESILCore.wording import joined
from MAESILSlicerLib.results.segmentation import KIND
from MAESILSlicerLib.session.wording import sentence

if TYPE_CHECKING:
    import slicer

    from MAESILSlicerLib.results.resultset import ResultSet
    from MAESILSlicerLib.session.tasks import Task


class SkippedError(MaesilError):
    """One scan of a series cannot be used; the series goes on with the next one."""


@dataclass(frozen=True)
class Scan:
    """A scan of a series.

    Attributes:
        name: its name in messages.
        begin: called again and again until it returns the started task; None means that the scan is still being read.
            It raises a SkippedError to leave the scan out, and another MaesilError to end the series.
        drop: called if the series ends while the scan is being read.
    """

    name: str
    begin: Callable[[], Task | None]
    drop: Callable[[], None] = lambda: None


@dataclass
class SeriesProgress:
    """The progress of a whole series, under the names of `JobProcess`, which the faces show."""

    state: Literal["running", "cancelling"] = "running"
    message: str = ""
    fraction: float = 0.0
    seconds_left: float | None = None


class Series:
    """Segments scans one after the other. A session follows it as it follows a `Task`, with the same attributes.

    A cancelled or failed job ends the series; the segmentations before it stay.

    Args:
        scans: the scans, at least one.

    Attributes:
        job: the progress of all scans together.
        kind: the kind of the jobs.
        noun: the name of the jobs in messages.
        results: the newest results in the scene; None if there are none.
        isOver: whether the series has ended.
        message: the latest message; once the series is over, its outcome.
        failed: whether `message` reports a failure.
    """

    def __init__(self, scans: Sequence[Scan]) -> None:
        from MAESILCore.jobs.kinds import kind_of

        self.kind, self.noun = KIND.name, kind_of(KIND.name).noun
        self.job = SeriesProgress()
        self.results: ResultSet | None = None
        self.isOver = self.failed = False
        self.message = ""
        #: The scan in work, then those after it.
        self._scans, self._total = list(scans), len(scans)
        self._task: Task | None = None
        self._done, self._seconds = 0, 0.0
        self._began: float | None = None
        self._skipped: list[tuple[str, str]] = []
        self._isPolling = False

    @property
    def inputNode(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The volume of the running job, if it is in the scene."""
        return self._task.inputNode if self._task is not None else None

    @property
    def folder(self) -> Path | None:
        """The folder of the running job."""
        return self._task.folder if self._task is not None else None

    def begin(self) -> None:
        """Start the first scan that can be used.

        Raises:
            MaesilError: its job cannot be started.
        """
        while self._task is None and self._scans:
            if self._began is None:
                self._began = time.monotonic()
            try:
                self._task = self._scans[0].begin()
            except SkippedError as error:
                self._skipped.append((self._scans.pop(0).name, str(error)))
                self._began = None
                continue
            break
        if self._scans:
            self._show()
        else:
            self._end(self._count(), failed=not self._done)

    def poll(self) -> bool:
        """Process the events since the last call, and start the next scan; return whether anything changed."""
        # Reentrant, as that of a task.
        if self.isOver or self._isPolling:
            return False
        before = (self.message, self.job.fraction, self.results)
        self._isPolling = True
        try:
            self._look()
        finally:
            self._isPolling = False
        return self.isOver or before != (self.message, self.job.fraction, self.results)

    def cancel(self) -> None:
        """Request the end; `poll` reports it."""
        self.job.state = "cancelling"
        if self._task is not None:
            self._task.cancel()
        self._show()

    def stop(self) -> None:
        """Drop the running job at once; the results before it stay."""
        if self._task is not None:
            self._task.stop()
        self._end(self.message)

    def _look(self) -> None:
        task = self._task
        if task is None:
            self._goOn()
            return
        try:
            task.poll()
        finally:
            # Also after an unforeseen error, or the series would wait for this task forever.
            if task.isOver:
                self._take(task)
        if not self.isOver:
            self._show()

    def _goOn(self) -> None:
        if self.job.state == "cancelling":
            self._cancelled()
            return
        try:
            self.begin()
        except MaesilError as error:
            self._end(joined(str(error), self._count()), failed=True)

    def _take(self, task: Task) -> None:
        """Note the outcome of a task."""
        self._task = None
        self.results = task.results or self.results
        if task.failed:
            self._end(joined(task.message, self._count()), failed=True)
        elif task.job.state != "finished":
            self._cancelled()
        else:
            self._done += 1
            self._seconds += self._elapsed
            self._began = None
            self._scans.pop(0)
            if not self._scans:
                self._end(self._count())

    def _cancelled(self) -> None:
        self._end(sentence("segment.series-cancelled", done=self._done, total=self._total))

    def _end(self, message: str, failed: bool = False) -> None:
        if self._task is None and self._began is not None and self._scans:
            self._scans[0].drop()
        self._scans, self._task = [], None
        self.isOver, self.message, self.failed = True, message, failed

    # What is shown

    def _show(self) -> None:
        task, place = self._task, self._total - len(self._scans)
        message = sentence("segment.reading") if task is None else task.message
        self.message = sentence(
            "segment.series",
            number=place + 1,
            total=self._total,
            volume=self._scans[0].name,
            message=message,
        )
        self.job.message = self.message
        self.job.fraction = (place + (task.job.fraction if task is not None else 0.0)) / self._total
        self.job.seconds_left = self._secondsLeft() if self.job.state == "running" else None

    def _count(self) -> str:
        """How many scans were segmented, and why not the others."""
        count = sentence("segment.series-done", done=self._done, total=self._total)
        if not self._skipped:
            return count
        (name, reason), others = self._skipped[0], len(self._skipped) - 1
        code = "segment.series-skipped-more" if others else "segment.series-skipped"
        return joined(count, sentence(code, volume=name, reason=reason, others=others))

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._began if self._began is not None else 0.0

    def _secondsLeft(self) -> float | None:
        """The estimated time of all scans that are left, taking the next ones for as large as those before."""
        own = self._task.job.seconds_left if self._task is not None else None
        if self._done:
            each = self._seconds / self._done
            own = max(0.0, each - self._elapsed) if own is None else own
        elif own is not None:
            each = self._elapsed + own
        else:
            return None
        return own + (len(self._scans) - 1) * each
