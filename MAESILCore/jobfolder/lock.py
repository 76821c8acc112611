"""The lock file of a folder: the process that works in it, and its heartbeat."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from MAESILCore.errors import ConfigError, MissingPackageError
from MAESILCore.optional import require

#: Seconds between heartbeats; a heartbeat updates the modification time of the lock file.
BEAT = 5.0
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
    """

    pid: int
    started: float
    host: str

    @classmethod
    def of(cls, pid: int) -> Owner:
        """A process of this machine; `lives` is False if it has already ended."""
        psutil: Any = require("psutil", "Running a job")
        started = 0.0
        with suppress(psutil.NoSuchProcess):
            started = psutil.Process(pid).create_time()
        return cls(pid, started, platform.node())

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        return cls.of(os.getpid())

    @property
    def is_here(self) -> bool:
        """Whether the process is on this machine."""
        return self.host == platform.node()

    def lives(self, heartbeat_age: float) -> bool:
        """Whether the process is alive.

        Args:
            heartbeat_age: seconds since its last heartbeat.
        """
        if not self.is_here:
            return heartbeat_age < STALE
        try:
            psutil: Any = require("psutil", "Running a job")
        except MissingPackageError:
            # A window lists runs before its packages are installed.
            return heartbeat_age < STALE
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            if abs(process.create_time() - self.started) < _START_TOLERANCE:
                return True
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True
        # The id was reused, or the clock was set, which shifts start times. Only the latter has a heartbeat.
        return self.pid != os.getpid() and heartbeat_age < STALE


class LockedError(ConfigError):
    """Another process works in the folder."""


class Lock:
    """The lock of a folder, held during a `with` block. A thread writes the heartbeat.

    Blocks may be nested: the outermost one takes and releases the lock.

    Args:
        path: the lock file.

    Attributes:
        previous: the dead process whose lock was taken over; None if there was none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.previous: Owner | None = None
        self._mine: Owner | None = None
        self._depth = 0
        self._over = threading.Event()

    def holder(self) -> Owner | None:
        """The living process that holds the lock; None if there is none."""
        age = _age(self.path)
        # A file without an owner is being written, or was cut off while written.
        owner = _read(self.path) or Owner(0, 0.0, "")
        return owner if age is not None and owner.lives(age) else None

    @property
    def is_lost(self) -> bool:
        """Whether another process has taken over the lock, because the heartbeat was too late."""
        return self._mine is not None and _read(self.path) not in (self._mine, None)

    def __enter__(self) -> Lock:
        """Take the lock.

        Raises:
            LockedError: another process holds it.
            OSError: the folder cannot be written.
        """
        if self._mine is None:
            self._take()
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.release()

    def release(self) -> None:
        """Release the lock, if it is held."""
        self._over.set()
        if self._mine is not None and _read(self.path) == self._mine:
            # Windows keeps a file that is being read; the lock becomes stale when this process ends.
            with suppress(PermissionError):
                self.path.unlink(missing_ok=True)
        self._mine = None

    def _take(self) -> None:
        mine = Owner.current()
        while not self._create(mine):
            before, holder = _read(self.path), self.holder()
            if holder is not None:
                message = (
                    f"Process {holder.pid} on {holder.host or 'another machine'} is already working in "
                    f"{self.path.parent}; stop it, or wait until it has ended."
                )
                raise LockedError(message)
            self._remove_stale(before)
            self.previous = before
        self._mine, self._over = mine, threading.Event()
        threading.Thread(target=self._beat, args=(self._over,), name="heartbeat", daemon=True).start()

    def _create(self, owner: Owner) -> bool:
        with suppress(FileExistsError), open(self.path, "x", encoding="ascii") as file:
            json.dump(asdict(owner), file)
            return True
        return False

    def _remove_stale(self, stale: Owner | None) -> None:
        """Remove the lock of a dead process; a guard file admits one process at a time."""
        guard = self.path.with_name(f"{self.path.name}.takeover")
        try:
            guard.touch(exist_ok=False)
        except FileExistsError:
            age = _age(guard)
            if age is not None and age > STALE:
                guard.unlink(missing_ok=True)
            time.sleep(0.05)
            return
        try:
            if _read(self.path) == stale:
                self.path.unlink(missing_ok=True)
        finally:
            guard.unlink(missing_ok=True)

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(BEAT):
            if self.is_lost:
                return
            # A network drive may be unavailable for a moment; the next heartbeat retries.
            with suppress(OSError):
                os.utime(self.path)


def _read(path: Path) -> Owner | None:
    """The owner in a lock file; None if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="ascii"))
        return Owner(int(content["pid"]), float(content["started"]), str(content["host"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _age(path: Path) -> float | None:
    """Seconds since a file was modified, by the clock of its file system; None if the file is missing.

    The clock of this machine may differ from that of the file server.
    """
    try:
        touched = path.stat().st_mtime
    except OSError:
        return None
    try:
        with tempfile.TemporaryFile(dir=path.parent) as now:
            return os.fstat(now.fileno()).st_mtime - touched
    except OSError:
        # The folder is read-only for this user.
        return time.time() - touched
