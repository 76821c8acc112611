"""The priority of jobs: all cores, but below everything that the user looks at."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

#: Beside a program of usual priority, Linux gives a process this nice a tenth of a core that both want.
NICENESS = 10


def lower_priority() -> None:
    """Lower the priority of this process and its later threads; on Windows `creation_flags` has done so."""
    if sys.platform != "win32":
        # A sandbox may forbid it; the job then competes as an equal.
        with suppress(OSError):
            os.nice(NICENESS)


def creation_flags() -> int:
    """How Windows starts a job: below normal priority, which children inherit, and without a console window."""
    if sys.platform == "win32":
        return (
            subprocess.CREATE_NO_WINDOW
            | subprocess.CREATE_NEW_PROCESS_GROUP
            | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        )
    return 0
