"""The lock file of a folder: the process that works in it, and its heartbeat."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from MAESILCore.errors import ConfigError
from MAESILCore.files import UNFINISHED
from MAESILCore.jobfolder.owner import STALE, Owner

#: Seconds between heartbeats; a heartbeat updates the modification time of the lock file.
BEAT = 5.0

#: Whoever holds a lock file that cannot be read.
_UNKNOWN = Owner(0, 0.0, "")


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
        owner = _read(self.path) or _UNKNOWN
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
            if holder is not None or (not (before is not None and before.is_here) and self._has_beats()):
                holder = holder or before or _UNKNOWN
                ending = "wait until it has ended" if holder.is_here else "try again a minute after its end"
                message = (
                    f"Process {holder.pid} on {holder.host or 'another machine'} is already working in "
                    f"{self.path.parent}; stop it, or {ending}."
                )
                raise LockedError(message)
            self._remove_stale(before)
            self.previous = before
        self._mine, self._over = mine, threading.Event()
        threading.Thread(target=self._beat, args=(self._over,), name="heartbeat", daemon=True).start()

    def _has_beats(self) -> bool:
        """Whether a heartbeat comes; waits for two. Its age is no proof if the clock of the file system was set."""
        first, deadline = _touched(self.path), time.monotonic() + 2.2 * BEAT
        while time.monotonic() < deadline:
            time.sleep(BEAT / 20)
            now = _touched(self.path)
            if now is None:
                return False
            if now != first:
                return True
        return False

    def _create(self, owner: Owner) -> bool:
        """Create the lock file with its content at once, so that a kill leaves no lock without an owner."""
        unfinished = self.path.with_name(f"{UNFINISHED}{self.path.name}-{owner.pid}-{threading.get_ident()}")
        try:
            unfinished.write_text(json.dumps(asdict(owner)), encoding="ascii")
            os.link(unfinished, self.path)
        except FileExistsError:
            return False
        except OSError:  # the file system has no hard links, or the folder cannot be written
            try:
                file = open(self.path, "x", encoding="ascii")  # noqa: SIM115 - closed below
            except FileExistsError:
                return False
            try:
                with file:
                    json.dump(asdict(owner), file)
            except OSError:  # a lock without an owner would count as held for a minute
                self.path.unlink(missing_ok=True)
                raise
        finally:
            unfinished.unlink(missing_ok=True)
        return True

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


class LentLock(Lock):
    """The lock of a folder, held by another process on behalf of this one, which it has started.

    Args:
        path: the lock file.
        holder: the other process.
    """

    def __init__(self, path: Path, holder: Owner) -> None:
        super().__init__(path)
        self._holder = holder

    @property
    def is_lost(self) -> bool:
        """Whether a third process has taken over the lock."""
        return _read(self.path) not in (self._holder, None)

    def __enter__(self) -> Lock:
        """Use the other process's lock."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the lock to the other process."""


def _read(path: Path) -> Owner | None:
    """The owner in a lock file; None if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="ascii"))
        return Owner(
            pid=int(content["pid"]),
            started=float(content["started"]),
            host=str(content["host"]),
            system=str(content.get("system", "")),
            ticks=int(content.get("ticks", 0)),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _touched(path: Path) -> float | None:
    """When a file was modified; None if it is missing."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _age(path: Path) -> float | None:
    """Seconds since a file was modified, by the clock of its file system; None if the file is missing.

    The clock of this machine may differ from that of the file server.
    """
    touched = _touched(path)
    if touched is None:
        return None
    try:
        with tempfile.TemporaryFile(dir=path.parent) as now:
            return os.fstat(now.fileno()).st_mtime - touched
    except OSError:
        # The folder is read-only for this user.
        return time.time() - touched
