"""The near end of a job: starts the worker, listens to it and ends it, never making the caller wait."""

from __future__ import annotations

import queue
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from types import TracebackType
from typing import Literal

from MAESILCore.errors import ConfigError
from MAESILCore.jobs.events import JobEvent
from MAESILCore.jobs.failures import VANISHED, sentence_of_exit, shortened
from MAESILCore.jobs.files import CANCEL, JOB, LOG, RESULT
from MAESILCore.jobs.prepare import prepare_job
from MAESILCore.jobs.process import end_tree, start_python
from MAESILCore.jobs.request import ReconstructionRequest
from MAESILCore.jobs.watch import GREETING

__all__ = ["JobEvent", "JobProcess", "JobState", "ReconstructionRequest", "prepare_job"]

JobState = Literal["prepared", "running", "cancelling", "finished", "failed", "cancelled"]

WORKER = Path(__file__).with_name("worker.py")

#: Bytes of the log that are looked at and shown.
_LOG_TAIL = 8000
#: From the polite request to the kill, and from the last word of a worker to its end.
_LAST_SECONDS = 1.5
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
        self._process: Popen[bytes] | None = None
        self._lines: queue.SimpleQueue[JobEvent | None] = queue.SimpleQueue()
        self._last: JobEvent | None = None
        self._silent_since: float | None = None
        self._escalate_at = float("inf")
        self._terminated = False
        self._log_text: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether the job has ended, however."""
        return self.state in ("finished", "failed", "cancelled")

    @property
    def log(self) -> str:
        """The end of what the worker wrote beside its events, without the names of user and folder."""
        if self._log_text is not None:
            return self._log_text
        try:
            with open(self.request.folder / LOG, "rb") as file:
                file.seek(max(0, file.seek(0, 2) - _LOG_TAIL))
                text = file.read().decode("utf-8", errors="replace")
        except OSError:
            return ""
        return shortened(text.replace(str(self.request.folder), "<job>"), _LOG_TAIL)

    def start(self) -> None:
        """Start the worker.

        Raises:
            ConfigError: the interpreter cannot be started; the folder is removed.
        """
        try:
            with open(self.request.folder / LOG, "ab") as log:
                self._process = start_python(
                    self.python, WORKER, str(self.request.folder / JOB), log=log.fileno()
                )
        except OSError as error:
            self.close()
            reason = error.strerror or error
            message = f"The Python {shortened(self.python)} cannot be started ({reason}); choose another one."
            raise ConfigError(message) from error
        self.state, self.message = "running", "Starting."
        self._greet(self._process)
        threading.Thread(target=self._read, args=(self._process,), name="job events", daemon=True).start()

    @staticmethod
    def _greet(process: Popen[bytes]) -> None:
        """Tell the worker that this end of stdin is the one to watch; one that is dead already shows in `poll`."""
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.write(GREETING)
                process.stdin.flush()

    def _read(self, process: Popen[bytes]) -> None:
        """Take lines from the worker, in a thread of its own; what is no event goes to the log."""
        if process.stdout is not None:
            for line in process.stdout:
                event = JobEvent.decode(line)
                if event is None:
                    self._to_log(line)
                else:
                    self._lines.put(event)
        self._lines.put(None)

    def _to_log(self, line: bytes) -> None:
        with suppress(OSError), open(self.request.folder / LOG, "ab") as log:
            log.write(line)

    def poll(self) -> list[JobEvent]:
        """What the worker has told since the last call; never waits."""
        events = []
        while True:
            try:
                event = self._lines.get_nowait()
            except queue.Empty:
                break
            if event is None:
                self._silent_since = time.monotonic()
            else:
                events.append(event)
                self._take(event)
        self._press_on()
        return events

    def _take(self, event: JobEvent) -> None:
        if event.event in ("finished", "failed", "cancelled"):
            self._last = event
            return
        if self.state == "running" and event.event != "log":
            self.message, self.seconds_left = event.message, event.seconds_left
        if event.total:
            self.fraction = event.step / event.total
        self.device = event.device or self.device

    def _press_on(self) -> None:
        """Go on to the next state: nobody is left to tell anything, or a cancelled worker does not end."""
        if self._process is None or self.is_over:
            return
        now = time.monotonic()
        if self._silent_since is not None:
            if self._process.poll() is not None:
                self._finish(self._process.returncode)
            elif now > self._silent_since + _LAST_SECONDS:
                self._process.kill()
        elif now > self._escalate_at:
            end_tree(self._process, at_once=self._terminated)
            self._terminated, self._escalate_at = True, now + _LAST_SECONDS

    def _finish(self, status: int) -> None:
        last = self._last
        self.seconds_left = None
        if self.state == "cancelling" or (last is not None and last.event == "cancelled"):
            self.state, self.message = "cancelled", "Cancelled; nothing was kept."
        elif last is None:
            self.state = "failed"
            folder_is_there = self.request.folder.is_dir()
            self.message = sentence_of_exit(status, self.log) if folder_is_there else VANISHED
        elif last.event == "finished" and not (self.request.folder / RESULT).is_file():
            self.state, self.message = "failed", VANISHED
        else:
            self.state = "finished" if last.event == "finished" else "failed"
            self.message = last.message
            self.fraction = 1.0 if self.state == "finished" else self.fraction

    def cancel(self) -> None:
        """Ask the worker to end and return at once; it ends within two seconds, or `poll` ends it."""
        if self.state != "running":
            return
        self.state, self.message, self.seconds_left = "cancelling", "Cancelling.", None
        self._escalate_at = time.monotonic() + self.kill_after
        try:
            (self.request.folder / CANCEL).touch()
        except OSError:
            self._escalate_at = 0.0

    def wait(self, timeout: float | None = None) -> JobState:
        """Wait until the job is over, or so many seconds; returns the state."""
        until = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            self.poll()
            if self.is_over or time.monotonic() > until:
                return self.state
            time.sleep(0.02)

    def close(self) -> None:
        """End the worker if it still runs, and remove the job's folder with all that is in it."""
        if self._process is not None and not self.is_over:
            self.state = "cancelling"
            if self._silent_since is None:
                end_tree(self._process, at_once=True)
            # A real Python whose launcher is dead already ends, too, when its stdin does.
            self._close_stdin()
            self.wait(_UNLOCK_SECONDS)
        self._close_stdin()
        self._log_text = self.log
        _remove(self.request.folder)

    def _close_stdin(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

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
