"""The client of a job: starts the worker, reads its folder and ends it, without blocking the caller."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal, cast

from MAESILCore.errors import ConfigError, MaesilError
from MAESILCore.jobfolder import ENDS, Event, JobFolder, Tail
from MAESILCore.jobfolder.failures import message_of_exit, sentence, shortened
from MAESILCore.jobfolder.folder import LOG
from MAESILCore.jobs.kinds import kind_of
from MAESILCore.jobs.process import end_trees, release, start_python
from MAESILCore.optional import require
from MAESILCore.wording import Sentence

JobProcessState = Literal["prepared", "running", "cancelling", "finished", "failed", "cancelled"]

WORKER = Path(__file__).with_name("worker.py")

#: Seconds between termination and kill.
_TERMINATION_SECONDS = 1.5
#: Seconds that a launcher has to end after its worker.
_LAUNCHER_SECONDS = 1.5
#: Seconds that a killed process may take to end, and to release its files on Windows.
_KILL_SECONDS = 3.0


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
        self.kill_after = kill_after if kill_after is not None else 150.0 if detached else 3.0
        self.state: JobProcessState = "prepared"
        self.message = ""
        self.fraction = 0.0
        self.seconds_left: float | None = None
        self.device: str | None = None
        self._tail = Tail(self.folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._last: Event | None = None
        self._escalate_at = self._launcher_until = float("inf")
        self._is_terminated = False
        self._kept_log: str | None = None

    @classmethod
    def find(cls, folder: str | Path, *, kill_after: float | None = None) -> JobProcess:
        """A detached job that another process started, running or over.

        Raises:
            ConfigError: the folder holds no job, or the job has not been started.
        """
        job = cls(folder, detached=True, kill_after=kill_after)
        job._check_kind()
        if job.folder.state() == "prepared":
            raise ConfigError(f"The job in {folder} has not been started.")
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
            ConfigError: the interpreter cannot be started, the folder holds no job, or the job is already running.
                The folder of an attached job is removed.
            MissingPackageError: psutil is not installed.
        """
        try:
            require("psutil", "Running a job")
            self._check_kind()
            if self.folder.state() == "running":
                raise ConfigError(f"The job in {self.folder.path} is already running.")
            self._start()
        except MaesilError:
            self.close()
            raise
        self.state, self.message = "running", Sentence("job.starting", "Starting.")

    def _check_kind(self) -> None:
        kind_of(self.folder.description()[0])

    def _start(self) -> None:
        self._tail.read()  # skip events of earlier processes
        self.folder.withdraw()
        owner = () if self.detached else (str(os.getpid()),)
        try:
            with open(self.folder.path / LOG, "ab") as log:
                self._process = start_python(
                    self.python, WORKER, str(self.folder.path), *owner, log=log, detached=self.detached
                )
        except OSError as error:
            message = Sentence(
                "job.no-python",
                "The Python {python} cannot be started ({reason}); choose another one.",
                python=shortened(self.python),
                reason=error.strerror or str(error),
            )
            raise ConfigError(message) from error

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
        status = 0 if self._process is None else self._process.poll()
        if status is not None:
            # A launcher may end before the worker.
            return status if self.folder.lock.holder() is None else None
        if self._last is not None and time.monotonic() > self._launcher_until:
            self._end(at_once=True)
        return None

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
            self.message = event.message or self.message
        if event.fraction is not None:
            self.fraction = event.fraction
        self.device = event.fields.get("device") or self.device

    def _finish(self, status: int) -> None:
        """Set the final state and message."""
        self.state, self.message = self._outcome(status)
        self.seconds_left = None
        if self.state == "finished":
            self.fraction = 1.0

    def _outcome(self, status: int) -> tuple[JobProcessState, str]:
        if self.state == "cancelling" and not self.detached:
            return "cancelled", sentence("job.cancelled")
        if not self.folder.path.is_dir():
            return "failed", sentence("job.vanished")
        if self._last is not None:
            return cast(JobProcessState, self._last.event), self._last.message
        if self._process is None:
            return "failed", sentence("job.lost")
        message = message_of_exit(status, self.log)
        # The worker ended without writing this event.
        with suppress(OSError):
            self.folder.write(Event("failed", message))
        return "failed", message

    def cancel(self) -> None:
        """Request the end and return at once; `poll` ends a worker that has not ended after `kill_after` seconds."""
        if self.state != "running":
            return
        self.state, self.message = "cancelling", Sentence("job.cancelling", "Cancelling.")
        self.seconds_left = None
        self._escalate_at = time.monotonic() + self.kill_after
        self._request_end()

    def _request_end(self) -> None:
        """Create the file `cancel`; if the folder is gone, the worker ends for that reason."""
        with suppress(OSError):
            self.folder.cancel()

    def _end(self, *, at_once: bool) -> None:
        """End the started process and the worker, which is another process if a launcher was started."""
        pids = []
        # The id of an ended process may belong to another one by now.
        if self._process is not None and self._process.poll() is None:
            pids.append(self._process.pid)
        holder = self.folder.lock.holder()
        if holder is not None and holder.is_here:
            pids.append(holder.pid)
        end_trees(pids, at_once=at_once)

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
        process = self._process
        if self.detached:
            if process is not None:
                release(process)
            return
        if process is not None:
            if not self.is_over:
                # A kill cannot find a worker whose launcher has ended.
                self._request_end()
            self._end(at_once=True)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_KILL_SECONDS)
            self._process = None
        if not self.is_over:
            self.state, self.message, self.seconds_left = "cancelled", sentence("job.cancelled"), None
        self._kept_log = self.log
        _remove(self.folder.path)

    def __enter__(self) -> JobProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _remove(folder: Path) -> None:
    until = time.monotonic() + _KILL_SECONDS
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists() or time.monotonic() > until:
            return
        time.sleep(0.05)
