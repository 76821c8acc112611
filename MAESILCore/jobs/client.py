"""The client of a job: starts the worker, reads its folder and ends it, without blocking the caller."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal

from MAESILCore.errors import ConfigError, MaesilError
from MAESILCore.jobfolder import ENDS, Event, JobFolder, Tail, event_saying
from MAESILCore.jobfolder.failures import message_of_exit, sentence, shortened, text_of
from MAESILCore.jobfolder.folder import LOG
from MAESILCore.jobs.kinds import kind_of
from MAESILCore.jobs.process import PythonProcess, end_trees
from MAESILCore.optional import require

JobProcessState = Literal["prepared", "running", "cancelling", "finished", "failed", "cancelled"]

WORKER = Path(__file__).with_name("worker.py")

#: Seconds between termination and kill.
_TERMINATION_SECONDS = 1.5
#: Seconds that a launcher has to end after its worker.
_LAUNCHER_SECONDS = 1.5
#: Seconds that a killed process may keep files locked on Windows.
_UNLOCK_SECONDS = 3.0


class JobProcess:
    """A job in a separate process.

    Call `poll` a few times per second until `is_over`, read the results from the folder, then call `close`.

    Args:
        folder: the job folder with its `job.json`.
        python: the interpreter of the worker.
        detached: whether the job outlives this process, and its folder outlives the job.
        kill_after: seconds after `cancel` until a worker that has not ended by itself is terminated.

    Attributes:
        state: prepared, running, cancelling, finished, failed or cancelled.
        message: the last sentence; after the end, the outcome. A `Sentence` if an interface can translate it.
        fraction: progress, 0 to 1.
        seconds_left: estimated seconds; None if unknown.
        device: display name of the device; None before the work starts.
    """

    def __init__(
        self,
        folder: str | Path,
        python: str = sys.executable,
        *,
        detached: bool = False,
        kill_after: float | None = None,
    ) -> None:
        self.folder, self.python, self.detached = JobFolder(folder), python, detached
        self.kill_after = kill_after if kill_after is not None else 60.0 if detached else 3.0
        self.state: JobProcessState = "prepared"
        self.message = ""
        self.fraction = 0.0
        self.seconds_left: float | None = None
        self.device: str | None = None
        self._tail = Tail(self.folder)
        self._process: PythonProcess | None = None
        self._last: Event | None = None
        self._noun = "job"
        self._escalate_at = float("inf")
        self._launcher_until = float("inf")
        self._is_terminated = False
        self._kept_log: str | None = None

    @classmethod
    def find(cls, folder: str | Path, *, kill_after: float | None = None) -> JobProcess:
        """A detached job that another process started, running or over.

        Raises:
            ConfigError: the folder holds no job, or the job has not been started.
        """
        job = cls(folder, detached=True, kill_after=kill_after)
        job._noun = job._find_noun()
        if job.folder.state() == "prepared":
            raise ConfigError(f"The {job._noun} in {folder} has not been started.")
        job.state = "running"
        job.poll()
        return job

    @property
    def is_over(self) -> bool:
        """Whether the job has ended, with any outcome."""
        return self.state in ENDS

    @property
    def log(self) -> str:
        """The end of the worker's output, without the names of user and folder."""
        if self._kept_log is not None:
            return self._kept_log
        return shortened(self.folder.log().replace(str(self.folder.path), "<job>"), 16000)

    def start(self) -> None:
        """Start the worker.

        Raises:
            ConfigError: the interpreter cannot be started, the folder holds no job, or the job is running already.
                The folder of an attached job is removed.
            MissingPackageError: psutil is not installed.
        """
        try:
            require("psutil", "Running a job")
            self._noun = self._find_noun()
            if self.folder.state() == "running":
                raise ConfigError(f"The {self._noun} in {self.folder.path} is running already.")
            self._start()
        except MaesilError:
            self.close()
            raise
        self.state, self.message = "running", "Starting."

    def _start(self) -> None:
        self._tail.read()  # skip events of earlier processes
        self.folder.withdraw()
        owner = () if self.detached else (str(os.getpid()),)
        try:
            with open(self.folder.path / LOG, "ab") as log:
                self._process = PythonProcess(self.python, WORKER, str(self.folder.path), *owner, log=log)
        except OSError as error:
            reason = error.strerror or error
            message = f"The Python {shortened(self.python)} cannot be started ({reason}); choose another one."
            raise ConfigError(message) from error

    def _find_noun(self) -> str:
        return kind_of(self.folder.description()[0]).noun

    def poll(self) -> list[Event]:
        """The events since the last call; does not block."""
        if self.state == "prepared" or self.is_over:
            return []
        # Read the status before the events: after the end, no event can follow.
        status = self._status()
        events = self._tail.read()
        for event in events:
            self._take(event)
        if status is not None:
            self._finish(status)
        elif time.monotonic() > self._escalate_at:
            self._end(at_once=self._is_terminated)
            self._is_terminated, self._escalate_at = True, time.monotonic() + _TERMINATION_SECONDS
        return events

    def _status(self) -> int | None:
        """The exit status; None until worker and launcher have ended."""
        status = 0 if self._process is None else self._process.status
        if status is not None:
            # A launcher may end before the worker.
            return status if self.folder.lock.holder() is None else None
        if self._last is not None and time.monotonic() > self._launcher_until:
            self._end(at_once=True)
        return None

    def _worker(self) -> int | None:
        """Process id of the worker, from the lock."""
        holder = self.folder.lock.holder()
        return None if holder is None or not holder.is_here else holder.pid

    def _take(self, event: Event) -> None:
        if event.event in ENDS:
            self._last, self._launcher_until = event, time.monotonic() + _LAUNCHER_SECONDS
            return
        if event.event == "started":
            self._last = None
        if event.event == "log":
            return
        if self.state == "running":
            self.seconds_left = event.seconds_left
            if event.message:
                self._say(text_of(event), event.seconds_left)
        fraction = event.fraction
        if fraction is not None:
            self.fraction = fraction
        self.device = event.fields.get("device") or self.device

    def _say(self, message: str, seconds_left: float | None = None) -> None:
        self.message, self.seconds_left = message, seconds_left

    def _finish(self, status: int) -> None:
        """Set the final state and message."""
        last = self._last
        said: str
        if self.state == "cancelling" and not self.detached:
            self.state, said = "cancelled", sentence("cancelled")
        elif not self.folder.path.is_dir():
            self.state, said = "failed", sentence("vanished", job=self._noun)
        elif last is not None:
            self.state, said = _state_of(last), text_of(last)
        elif self._process is None:
            self.state, said = "failed", sentence("lost", job=self._noun)
        else:
            self.state, said = "failed", message_of_exit(status, self.log, self._noun)
            # The worker ended without writing this event.
            with suppress(OSError):
                self.folder.write(event_saying("failed", said))
        if self.state == "finished":
            self.fraction = 1.0
        self._say(said)

    def cancel(self) -> None:
        """Request the end and return at once; `poll` ends a worker that has not ended after `kill_after` seconds."""
        if self.state != "running":
            return
        self.state = "cancelling"
        self._say("Cancelling.")
        self._escalate_at = time.monotonic() + self.kill_after
        self._ask_to_end()

    def _ask_to_end(self) -> None:
        """Create the file `cancel`; if the folder is gone, the worker ends for that reason."""
        with suppress(OSError):
            self.folder.cancel()

    def _end(self, *, at_once: bool) -> None:
        worker = self._worker()
        if self._process is not None:
            self._process.end(at_once=at_once, worker=worker)
        elif worker is not None:
            end_trees([worker], at_once=at_once)

    def wait(self, timeout: float | None = None) -> JobProcessState:
        """Wait until the job is over or `timeout` seconds have passed; returns the state."""
        until = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            self.poll()
            if self.is_over or self.state == "prepared" or time.monotonic() > until:
                return self.state
            time.sleep(0.02)

    def close(self) -> None:
        """Release a detached job; end an attached job at once and remove its folder."""
        if self.detached:
            if self._process is not None:
                self._process.let_go()
            return
        if self._process is not None:
            if not self.is_over:
                # A kill cannot find a worker whose launcher has ended.
                self._ask_to_end()
            self._process.close(worker=self._worker())
            self._process = None
        if not self.is_over:
            self.state = "cancelled"
            self._say(sentence("cancelled"))
        self._kept_log = self.log
        _remove(self.folder.path)

    def __enter__(self) -> JobProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()


def _state_of(end: Event) -> Literal["finished", "failed", "cancelled"]:
    return next(name for name in ENDS if name == end.event)


def _remove(folder: Path) -> None:
    until = time.monotonic() + _UNLOCK_SECONDS
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists() or time.monotonic() > until:
            return
        time.sleep(0.05)
