"""How several processes share the trainings of a comparison."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from MAESILCore.errors import Cancelled
from MAESILCore.jobfolder import JobFolder
from MAESILCore.jobfolder.lock import LockedError

#: Seconds between two looks for a training that other processes have left.
_REST_SECONDS = 5


def held(folder: Path, work: Callable[[JobFolder], None]) -> bool:
    """Do the work of a run while this process holds its folder; False if another one does."""
    folder.mkdir(parents=True, exist_ok=True)
    job = JobFolder(folder)
    try:
        with job.lock:
            work(job)
    except LockedError:
        return False
    finally:
        # A run that could not begin leaves nothing but its folder.
        with suppress(OSError):
            folder.rmdir()
    return True


def rest(cancelled: Callable[[], bool]) -> None:
    """Wait for other processes.

    Raises:
        Cancelled: `cancelled` returned True.
    """
    for _ in range(_REST_SECONDS):
        if cancelled():
            raise Cancelled("Stopped.")
        time.sleep(1.0)
