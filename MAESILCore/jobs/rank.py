"""One of the processes of a run, started by torchrun: `python <this file> FOLDER WORKER`.

WORKER is the id of the worker, which holds the lock of FOLDER; when it ends, so does the training.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

if __name__ == "__main__":
    # As in `worker`.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from MAESILCore.errors import Cancelled
from MAESILCore.jobfolder import ENDS, Event, JobFolder, Owner, message_of
from MAESILCore.jobfolder.lock import LentLock
from MAESILCore.jobs.pretrain import work
from MAESILCore.jobs.pretraining import PretrainingRequest
from MAESILCore.jobs.ranks import RELAY
from MAESILCore.jobs.watch import Reason, Watch

#: Seconds that a step and a checkpoint may take after a request to stop; the worker waits as long.
_GRACE = 120.0


def main(folder: JobFolder, worker: int) -> int:
    """Train; returns the exit status."""
    if sys.platform != "win32":
        # The worker blocks it for itself; torchrun uses it to end the others when one has failed.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    folder.lock = LentLock(folder.lock.path, Owner.of(worker))
    is_first = os.environ.get("RANK", "0") == "0"
    relay, ends = JobFolder(folder.path / RELAY), list[Event]()

    def emit(event: Event) -> None:
        if is_first:
            relay.write(event)
            ends.extend([event] if event.event in ENDS else [])

    watch = Watch(folder, worker, lambda: None, _exit, _GRACE)
    request = PretrainingRequest.of(folder.description()[1])
    status = 0
    try:
        end = Event("finished", work(folder, request, emit, watch.must_end))
    except Cancelled as error:
        end = Event("cancelled", str(error))
    except Exception as error:
        traceback.print_exc()
        end, status = Event("failed", message_of(error)), 1
    finally:
        watch.stop()
    if not ends:
        emit(end)
    return status


def _exit(_reason: Reason) -> NoReturn:
    os._exit(1)


if __name__ == "__main__":
    status = main(JobFolder(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.flush()
    os._exit(status)
