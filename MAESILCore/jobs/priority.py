"""The priority of jobs: below the user's programs, on all cores."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

#: Linux gives a process of this niceness a tenth of a core that it shares with a normal one.
NICENESS = 10


def lower_priority() -> None:
    """Lower the priority of this process and its later threads; on Windows `creation_flags` does."""
    if sys.platform != "win32":
        # A sandbox may forbid it; the job then keeps normal priority.
        with suppress(OSError):
            os.nice(NICENESS)


def creation_flags() -> int:
    """Windows creation flags: below-normal priority, which children inherit, and no console window; else 0."""
    if sys.platform == "win32":
        return (
            subprocess.CREATE_NO_WINDOW
            | subprocess.CREATE_NEW_PROCESS_GROUP
            | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        )
    return 0
