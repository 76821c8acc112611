"""The near end of a job: starts the worker, listens to it and ends it, never making the caller wait."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal

from MAESILCore.errors import ConfigError
from MAESILCore.jobs.events import JobEvent
from MAESILCore.jobs.failures import VANISHED, sentence_of_exit, shortened, tail_of
from MAESILCore.jobs.files import CANCEL, JOB, LOG, RESULT
from MAESILCore.jobs.prepare import prepare_job
from MAESILCore.jobs.process import PythonProcess
from MAESILCore.jobs.request import ReconstructionRequest

__all__ = ["JobEvent", "JobProcess", "JobState", "ReconstructionRequest", "prepare_job"]

JobState = Literal["prepared", "running", "cancelling", "finished", "failed", "cancelled"]

WORKER = Path(__file__).with_name("worker.py")

_CANCELLED = "Cancelled; nothing was kept."

#: Between a termination and a kill.
_TERMINATION_SECONDS = 1.5
#: How long a folder may stay locked by a process that has just been killed (Windows).
_UNLOCK_SECONDS = 3.0


class JobProcess:
    """A job in a process of its own.

    Call `poll` some times a second until `is_over`, take the results from `request.folder`, then `close`.

    Args:
        request: what `prepare_job` made.
        python: the interpreter that runs the job.
        kill_after: seconds after `cancel` from which on the worker is not asked any more but ended.

    Attributes:
        state: prepared, running, cancelling, finished, failed or cancelled.
        message: the last sentence; of a job that is over, how it ended.
        fraction: how much is done, 0 to 1.
        seconds_left: an estimate; None while there is none.
        device: what the work runs on, for people, once it has begun.
    """

    def __init__(
        self, request: ReconstructionRequest, python: str = sys.executable, kill_after: float = 3.0
    ) -> None:
        self.request, self.python, self.kill_after = request, python, kill_after
        self.state: JobState = "prepared"
        self.message = ""
        self.fraction = 0.0
        self.seconds_left: float | None = None
        self.device: str | None = None
        self._process: PythonProcess | None = None
        self._last: JobEvent | None = None
        self._escalate_at = float("inf")
        self._is_terminated = False
        self._kept_log: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether the job has ended, however."""
        return self.state in ("finished", "failed", "cancelled")

    @property
    def log(self) -> str:
        """The end of what the worker wrote beside its events, without the names of user and folder."""
        if self._kept_log is not None:
            return self._kept_log
        try:
            with open(self.request.folder / LOG, "rb") as file:
                return tail_of(file).replace(str(self.request.folder), "<job>")
        except OSError:
            return ""

    def start(self) -> None:
        """Start the worker.

        Raises:
            ConfigError: the interpreter cannot be started; the folder is removed.
        """
        job = str(self.request.folder / JOB)
        try:
            with open(self.request.folder / LOG, "ab") as log:
                self._process = PythonProcess(self.python, WORKER, job, log=log)
        except OSError as error:
            self.close()
            reason = error.strerror or error
            message = f"The Python {shortened(self.python)} cannot be started ({reason}); choose another one."
            raise ConfigError(message) from error
        self.state, self.message = "running", "Starting."

    def poll(self) -> list[JobEvent]:
        """What the worker has told since the last call; never waits."""
        if self._process is None or self.is_over:
            return []
        # Asked before the lines are taken: a status says that all of them are here.
        status = self._process.status
        events = [event for event in map(self._decode, self._process.new_lines()) if event is not None]
        for event in events:
            self._take(event)
        if status is not None:
            self._finish(status)
        elif time.monotonic() > self._escalate_at:
            self._process.end(at_once=self._is_terminated)
            self._is_terminated, self._escalate_at = True, time.monotonic() + _TERMINATION_SECONDS
        return events

    def _decode(self, line: bytes) -> JobEvent | None:
        """The event of a line; what is none goes to the log."""
        event = JobEvent.decode(line)
        if event is None:
            with suppress(OSError), open(self.request.folder / LOG, "ab") as log:
                log.write(line)
        return event

    def _take(self, event: JobEvent) -> None:
        if event.event in ("finished", "failed", "cancelled"):
            self._last = event
            return
        if self.state == "running" and event.event != "log":
            self.message, self.seconds_left = event.message, event.seconds_left
        if event.total:
            self.fraction = event.step / event.total
        self.device = event.device or self.device

    def _finish(self, status: int) -> None:
        """Decide how the job ended."""
        last, folder = self._last, self.request.folder
        self.seconds_left = None
        if self.state == "cancelling" or (last is not None and last.event == "cancelled"):
            self.state, self.message = "cancelled", _CANCELLED
        elif last is not None and last.event == "finished" and (folder / RESULT).is_file():
            self.state, self.message, self.fraction = "finished", last.message, 1.0
        elif last is not None and last.event == "failed":
            self.state, self.message = "failed", last.message
        elif last is not None or not folder.is_dir():
            self.state, self.message = "failed", VANISHED
        else:
            self.state, self.message = "failed", sentence_of_exit(status, self.log)

    def cancel(self) -> None:
        """Ask the worker to end and return at once; it ends within two seconds, or `poll` ends it."""
        if self.state != "running":
            return
        self.state, self.message, self.seconds_left = "cancelling", "Cancelling.", None
        self._escalate_at = time.monotonic() + self.kill_after
        self._leave_note()

    def _leave_note(self) -> None:
        """Make the file that asks the worker to end; where the folder is gone, the worker sees that, too."""
        with suppress(OSError):
            (self.request.folder / CANCEL).touch()

    def wait(self, timeout: float | None = None) -> JobState:
        """Wait until the job is over, or so many seconds; returns the state."""
        until = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            self.poll()
            if self.is_over or self._process is None or time.monotonic() > until:
                return self.state
            time.sleep(0.02)

    def close(self) -> None:
        """End the worker at once if it still runs, and remove the job's folder with all that is in it."""
        if self._process is not None:
            if not self.is_over:
                # For a worker that a kill does not find: on Windows, the child of a launcher that is dead.
                self._leave_note()
            self._process.close()
            self._process = None
        if not self.is_over:
            self.state, self.message, self.seconds_left = "cancelled", _CANCELLED, None
        self._kept_log = self.log
        _remove(self.request.folder)

    def __enter__(self) -> JobProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()


def _remove(folder: Path) -> None:
    until = time.monotonic() + _UNLOCK_SECONDS
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists() or time.monotonic() > until:
            return
        time.sleep(0.05)
