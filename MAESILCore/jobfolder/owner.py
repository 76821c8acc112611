"""A process that holds a lock, and whether it still lives."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from MAESILCore.optional import require

#: Seconds without a heartbeat after which a process of another machine counts as dead.
STALE = 60.0

#: Tolerance in seconds for start times of processes, which shift when the clock is corrected.
_START_TOLERANCE = 5.0


@dataclass(frozen=True)
class Owner:
    """A process.

    Attributes:
        pid: process id, which the system may reuse later.
        started: start time in seconds since 1970; distinguishes processes of the same id.
        host: name of the machine.
        system: start of the machine and namespace of process ids, which differ between containers of one name; ""
            where there is no /proc, and in locks of earlier versions.
        ticks: start time in ticks since the start of the machine, which no correction of the clock shifts; 0 if
            unknown.
    """

    pid: int
    started: float
    host: str
    system: str = ""
    ticks: int = 0

    @classmethod
    def of(cls, pid: int) -> Owner:
        """A process of this machine; `lives` is False if it has already ended."""
        psutil: Any = require("psutil", "Running a job")
        started = 0.0
        with suppress(psutil.NoSuchProcess):
            started = psutil.Process(pid).create_time()
        return cls(pid, started, platform.node(), _system(), _ticks(pid))

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        return cls.of(os.getpid())

    @property
    def is_here(self) -> bool:
        """Whether this process can see the other one: it is on this machine and in no other container."""
        return self.host == platform.node() and self.system in ("", _system())

    def lives(self, heartbeat_age: float) -> bool:
        """Whether the process is alive.

        Args:
            heartbeat_age: seconds since its last heartbeat; negative if the clock was set back.
        """
        if not self.is_here:
            return abs(heartbeat_age) < STALE
        psutil: Any = require("psutil", "Running a job")
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            if self.ticks:
                return _ticks(self.pid) == self.ticks
            if abs(process.create_time() - self.started) < _START_TOLERANCE:
                return True
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True
        # The id was reused, or the clock was set, which shifts start times. Only the latter has a heartbeat.
        return self.pid != os.getpid() and abs(heartbeat_age) < STALE


@lru_cache(maxsize=1)
def _system() -> str:
    """See `Owner.system`."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{start} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _ticks(pid: int) -> int:
    """See `Owner.ticks`."""
    try:
        # The name, in parentheses, may hold anything.
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
