"""Runs one job: `python -u <this file> <folder>/job.json`. One JSON object a line on stdout tells how it goes."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if __name__ == "__main__":
    # Run by path, Python puts this folder first, whose modules are no top-level ones; the library's root belongs there.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from MAESILCore.errors import Cancelled
from MAESILCore.jobs.events import JobEvent
from MAESILCore.jobs.failures import VANISHED, sentence_of
from MAESILCore.jobs.priority import lower_priority
from MAESILCore.jobs.request import ReconstructionRequest
from MAESILCore.jobs.watch import Watch
from MAESILCore.jobs.work import Work

if TYPE_CHECKING:
    from MAESILCore.jobs.watch import Reason

CANCELLED = JobEvent("cancelled", "Cancelled; nothing was kept.")

_STATUS = {"finished": 0, "cancelled": 3, "failed": 1}


class Channel:
    """The way out for events: the stdout that the process was started with.

    Whatever else is printed goes to stderr, so that no library can break a line.
    """

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self._lock = threading.Lock()
        self._last: JobEvent | None = None

    def tell(self, event: JobEvent) -> None:
        """Write an event; after the last one nothing more is said."""
        with self._lock:
            if self._last is None:
                self._write(event)

    def close(self, event: JobEvent) -> int:
        """Write the last event; returns the exit status of the one that was first."""
        with self._lock:
            if self._last is None:
                self._last = event
                self._write(event)
            return _STATUS[self._last.event]

    def _write(self, event: JobEvent) -> None:
        try:
            self._file.write(event.encode())
            self._file.flush()
        except OSError:
            # Nobody reads any more. The watch ends the work as soon as stdin says so, too.
            return


def main(path: Path) -> int:
    """Run the job and return the exit status."""
    channel = Channel()

    def end(reason: Reason) -> NoReturn:
        os._exit(_close(channel, path.parent, reason))

    work: Work | None = None
    watch = Watch(path.parent, tick=lambda: work.tick() if work else None, end=end)
    watch.start()
    try:
        work = Work(ReconstructionRequest.read(path), channel.tell, watch.asked)
        last = JobEvent("finished", work.run())
    except Cancelled:
        return _close(channel, path.parent, watch.reason or "cancelled")
    except Exception as error:
        traceback.print_exc()
        last = JobEvent("failed", sentence_of(error))
    finally:
        watch.stop()
    if watch.reason is not None:
        return _close(channel, path.parent, watch.reason)
    return channel.close(last)


def _close(channel: Channel, folder: Path, reason: Reason) -> int:
    """Say why the work ended early; without a parent, clean up in its place."""
    if reason == "orphaned":
        shutil.rmtree(folder, ignore_errors=True)
    return channel.close(JobEvent("failed", VANISHED) if reason == "vanished" else CANCELLED)


if __name__ == "__main__":
    # Before PyTorch is imported, whose threads inherit it.
    lower_priority()
    # At the end of the interpreter, threads of GPU libraries can hang it; everything has been written.
    os._exit(main(Path(sys.argv[1])))
