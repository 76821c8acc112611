"""Runs one job: `python -u <this file> FOLDER [OWNER]`. The job ends with the process of id OWNER, if given."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

if __name__ == "__main__":
    # Python puts the script's folder first, but its modules are not top-level: replace it by the library's root.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from MAESILCore.errors import Cancelled
from MAESILCore.jobfolder import ENDS, Event, JobFolder, message_of
from MAESILCore.jobfolder.failures import sentence
from MAESILCore.jobfolder.lock import LockedError
from MAESILCore.jobs.kinds import kind_of
from MAESILCore.jobs.process import end_children, lower_priority
from MAESILCore.jobs.progress import Progress
from MAESILCore.jobs.watch import Reason, Watch, block_termination

#: Seconds that a job has to end by itself after a cancel. Once it has started, a detached one may have a step to take,
#: which a large model does slowly on a CPU, and a checkpoint to write; before, there is nothing to lose.
ATTACHED_GRACE, DETACHED_GRACE = 1.0, 120.0

_STATUS = {"finished": 0, "cancelled": 3, "failed": 1}


class Worker:
    """The process of a job.

    Args:
        folder: the job folder.
        owner: process id of the window of an attached job; None for a detached job.
    """

    def __init__(self, folder: JobFolder, owner: int | None) -> None:
        self._folder, self._owner = folder, owner
        self._writing = threading.Lock()
        self._last: Event | None = None
        self._watch: Watch | None = None
        self._progress = Progress(self._write)

    def run(self) -> int:
        """Run the job and return the exit status."""
        block_termination()
        watch: Watch | None = None
        try:
            watch = Watch(self._folder, self._owner, self._progress.tick, self._exit, ATTACHED_GRACE)
            self._watch = watch
            with self._folder.lock:
                return self._close(self._work(watch), watch.reason)
        except LockedError:
            # Write no event: the event file belongs to another process.
            traceback.print_exc()
            return _STATUS["failed"]
        except Exception as error:
            return self._close(_failure(error), None)
        finally:
            if watch is not None:
                watch.stop()

    def _work(self, watch: Watch) -> Event:
        try:
            name, request = self._folder.description()
            run = kind_of(name).run
            return Event("finished", run(self._folder, request, self._progress, watch.must_end))
        except Cancelled as error:
            return Event("cancelled", str(error))
        except Exception as error:
            return _failure(error)
        finally:
            watch.stop()

    def _write(self, event: Event) -> None:
        """Write an event; none follows the last one."""
        with self._writing:
            if self._last is not None:
                return
            if event.event in ENDS:
                self._last = event
            if event.event == "started" and self._owner is None and self._watch is not None:
                self._watch.grace = DETACHED_GRACE
            # If the folder is gone, the watch ends the work; if the disk is full, the work itself fails.
            with suppress(OSError):
                self._folder.write(event)

    def _close(self, end: Event, reason: Reason | None) -> int:
        """Write the last event; returns the exit status of the first one written."""
        if reason == "orphaned":
            # The owner is gone and cannot clean up.
            shutil.rmtree(self._folder.path, ignore_errors=True)
        elif reason == "vanished":
            end = Event("failed", sentence("job.vanished"))
        elif reason == "cancelled" and self._owner is not None:
            end = Event("cancelled", sentence("job.cancelled"))
        self._write(end)
        with suppress(OSError):
            self._folder.withdraw()
        return _STATUS[self._last.event if self._last is not None else end.event]

    def _exit(self, reason: Reason) -> NoReturn:
        """End the process during the work."""
        code = "job.cancelled" if self._owner is not None else "job.stopped"
        status = self._close(Event("cancelled", sentence(code)), reason)
        end_children()
        self._folder.lock.release()
        os._exit(status)


def _failure(error: Exception) -> Event:
    traceback.print_exc()
    return Event("failed", message_of(error))


if __name__ == "__main__":
    # Before the import of PyTorch, so that its threads inherit the priority.
    lower_priority()
    # Skip the interpreter's shutdown, where threads of GPU libraries can hang; all files are written.
    os._exit(Worker(JobFolder(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else None).run())
