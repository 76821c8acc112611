"""A pre-training job in several processes: torchrun starts them below the worker, which holds the lock for all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from MAESILCore.errors import PeerError
from MAESILCore.jobfolder import ENDS, Event, EventCallback, JobFolder, Tail
from MAESILCore.jobs.process import end_trees
from MAESILCore.jobs.wording import sentence

#: Subfolder with the events of the first process, which the worker adds to its own.
RELAY = ".relay"

_RANK = Path(__file__).with_name("rank.py")
_POLL_SECONDS = 0.1


def work_together(folder: JobFolder, processes: int, emit: EventCallback, stopped: Callable[[], bool]) -> str:
    """Start or resume the run of a job in several processes, and wait for their end.

    Args:
        folder: the job folder; its lock is held by this process.
        processes: number of processes.
        emit: writes the events of the run.
        stopped: returns True if the training must stop.

    Raises:
        PeerError: a process ended without a message.
    """
    relay = JobFolder(folder.path / RELAY)
    shutil.rmtree(relay.path, ignore_errors=True)
    relay.path.mkdir()
    tail = Tail(relay)
    end: Event | None = None
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    process = subprocess.Popen(
        [sys.executable, "-u", *launcher, str(_RANK), str(folder.path), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        env={"OMP_NUM_THREADS": threads, **os.environ},
    )
    try:
        is_over = False
        while not is_over:
            is_over = process.poll() is not None  # before the events: after the end, none can follow
            for event in tail.read():
                if event.event in ENDS:
                    end = event
                else:
                    emit(event)
            # A run that begins withdraws an earlier request.
            if stopped() and not folder.is_cancelled:
                folder.cancel()
            time.sleep(_POLL_SECONDS)
    finally:
        if process.poll() is None:
            end_trees([process.pid], at_once=True)
        shutil.rmtree(relay.path, ignore_errors=True)
    if end is None:
        raise PeerError(sentence("pretraining.processes-ended", processes=processes))
    # Now that all have ended: after a last event, a client ends this process.
    emit(end)
    return end.message
