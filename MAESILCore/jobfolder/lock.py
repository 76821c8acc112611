"""The file `lock`: which process works in a folder, and whether it still does."""

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
from types import TracebackType
from typing import Any

from MAESILCore.errors import ConfigError
from MAESILCore.optional import require

#: Seconds between two heartbeats, which are the modification times of the lock file.
BEAT = 5.0
#: A process of another machine is taken for dead after so long without a heartbeat.
STALE = 60.0

#: The start of a process as the system tells it moves with corrections of the clock.
_START_TOLERANCE = 5.0


@dataclass(frozen=True)
class Owner:
    """A process.

    Attributes:
        pid: its number, which the system gives to another process later.
        started: when it was started, in seconds since 1970; tells it from a later process of the same number.
        host: name of the machine.
    """

    pid: int
    started: float
    host: str

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        process = _psutil().Process()
        return cls(process.pid, process.create_time(), platform.node())

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine."""
        return self.host == platform.node()

    def lives(self, heartbeat_age: float) -> bool:
        """Whether the process still works.

        Args:
            heartbeat_age: seconds since its last heartbeat.
        """
        if not self.is_here:
            return heartbeat_age < STALE
        psutil = _psutil()
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
        # Another process got the number, or the clock was set, which moves the start. Only the latter has a heartbeat.
        return self.pid != os.getpid() and heartbeat_age < STALE


class LockedError(ConfigError):
    """Another process works in the folder."""


class Lock:
    """The lock of a folder, held while a `with` block runs. A thread writes the heartbeat meanwhile.

    Blocks may be nested: the outermost one takes the lock and gives it back.

    Args:
        path: the lock file.

    Attributes:
        previous: the dead process whose lock was taken over on entering the block; None if there was none.
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
        if age is None:
            return None
        owner = _read(self.path)
        if owner is None:
            # It is being written at this moment, or was cut off then.
            owner = Owner(0, 0.0, "")
        return owner if owner.lives(age) else None

    @property
    def is_lost(self) -> bool:
        """Whether another process has taken over the lock from this one, which had no heartbeat for too long."""
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.release()

    def release(self) -> None:
        """Give the lock back at once, if it is held."""
        self._over.set()
        if self._mine is not None and _read(self.path) == self._mine:
            # On Windows a file that is being read stays. This process is not alive much longer, which readers see.
            with suppress(PermissionError):
                self.path.unlink(missing_ok=True)
        self._mine = None

    def _take(self) -> None:
        mine = Owner.current()
        while not self._create(mine):
            before, holder = _read(self.path), self.holder()
            if holder is not None:
                message = (
                    f"Process {holder.pid} on {holder.host or 'another machine'} works in {self.path.parent} already; "
                    "stop it first, or wait for it."
                )
                raise LockedError(message)
            self._remove_stale(before)
            self.previous = before
        self._mine, self._over = mine, threading.Event()
        threading.Thread(target=self._beat, args=(self._over,), name="heartbeat", daemon=True).start()

    def _create(self, owner: Owner) -> bool:
        try:
            with open(self.path, "x", encoding="ascii") as file:
                json.dump(asdict(owner), file)
        except FileExistsError:
            return False
        return True

    def _remove_stale(self, stale: Owner | None) -> None:
        """Remove the lock of a dead process; of several processes that want to, one at a time."""
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
            # A network drive may be away for a moment. The next heartbeat comes soon.
            with suppress(OSError):
                os.utime(self.path)


def _read(path: Path) -> Owner | None:
    """The owner that a lock file names; None if there is no file or it names none."""
    try:
        content = json.loads(path.read_text(encoding="ascii"))
        return Owner(int(content["pid"]), float(content["started"]), str(content["host"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _age(path: Path) -> float | None:
    """Seconds since a file was touched, by the clock of its file system; None if it is not there.

    The clock of the machine that touched it may differ from that of this one.
    """
    try:
        touched = path.stat().st_mtime
    except OSError:
        return None
    try:
        with tempfile.TemporaryFile(dir=path.parent) as now:
            return os.fstat(now.fileno()).st_mtime - touched
    except OSError:
        # Someone who may only look.
        return time.time() - touched


def _psutil() -> Any:  # noqa: ANN401 - a module without types
    return require("psutil", "Running a job")
