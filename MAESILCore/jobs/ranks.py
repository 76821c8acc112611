"""A pre-training job in several processes: torchrun starts them below the worker, which holds the lock for all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from MAESILCore.errors import PeerError
from MAESILCore.jobfolder import ENDS, Event, EventCallback, JobFolder
from MAESILCore.jobs.process import end_trees
from MAESILCore.jobs.wording import sentence

#: The last event of the first process, for the worker, which writes it when all have ended.
END = "end.json"

_RANK = Path(__file__).with_name("rank.py")
_POLL_SECONDS = 0.1


def work_together(folder: JobFolder, processes: int, emit: EventCallback, stopped: Callable[[], bool]) -> str:
    """Start or resume the run of a job in several processes, and wait for their end.

    Args:
        folder: the job folder; its lock is held by this process.
        processes: number of processes.
        emit: writes the last event of the run; the first process writes the others.
        stopped: returns True if the training must stop.

    Raises:
        PeerError: a process ended without a message.
    """
    end = folder.path / END
    end.unlink(missing_ok=True)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    process = subprocess.Popen(
        [sys.executable, "-u", *launcher, str(_RANK), str(folder.path), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        env={"OMP_NUM_THREADS": threads, **os.environ},
    )
    try:
        while process.poll() is None:
            # A run that begins withdraws an earlier request.
            if stopped() and not folder.is_cancelled:
                folder.cancel()
            time.sleep(_POLL_SECONDS)
    finally:
        if process.poll() is None:
            end_trees([process.pid], at_once=True)
    event = None
    with suppress(OSError):
        event = Event.decode(end.read_bytes())
        end.unlink()
    if event is None or event.event not in ENDS:
        raise PeerError(sentence("pretraining.processes-ended", processes=processes))
    emit(event)
    return event.message
