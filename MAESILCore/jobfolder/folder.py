"""A job folder: the worker writes events, interfaces read them."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from MAESILCore.errors import ConfigError
from MAESILCore.files import write_json
from MAESILCore.jobfolder.events import ENDS, Event
from MAESILCore.jobfolder.lock import Lock

JOB, EVENTS, LOG, CANCEL, LOCK = "job.json", "events.jsonl", "log.txt", "cancel", "lock"
#: What the folder of a pre-training holds besides; `training.run` writes it, `jobs.runsfolder` lists it.
CONFIG, SCANS, ENVIRONMENT, PREVIEWS = "config.yaml", "scans.json", "environment.json", "previews"

#: prepared: not started. dead: the process ended without a last event.
JobState = Literal["prepared", "running", "finished", "failed", "cancelled", "dead"]

#: Bytes to read at the end of a file for its last lines.
_END = 65536


class JobFolder:
    """A folder with these files; a kind of job adds its own.

    - `job.json`: the `kind` of the job and its `request`.
    - `events.jsonl`: the events, see `MAESILCore.jobfolder.events`.
    - `log.txt`: the output of the process.
    - `cancel`: its presence requests the end of the process.
    - `lock`: the process at work, see `MAESILCore.jobfolder.lock`.

    Args:
        path: the path of the folder.

    Attributes:
        lock: the lock, not yet taken.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.lock = Lock(self.path / LOCK)
        self._writing = threading.Lock()

    def describe(self, kind: str, request: Mapping[str, Any]) -> None:
        """Write `job.json`.

        Raises:
            OSError: the file cannot be written; no partial file remains.
        """
        write_json(self.path / JOB, {"kind": kind, "request": request})

    @property
    def is_described(self) -> bool:
        """Whether `job.json` exists."""
        return (self.path / JOB).is_file()

    def description(self) -> tuple[str, dict[str, Any]]:
        """Kind and request from `job.json`.

        Raises:
            ConfigError: the file is missing or damaged.
        """
        try:
            content = json.loads((self.path / JOB).read_text(encoding="utf-8"))
            return str(content["kind"]), dict(content["request"])
        except FileNotFoundError as error:
            raise ConfigError(f"The folder is gone or holds no {JOB}; start the job again.") from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigError(
                f"The description {JOB} cannot be read ({error}); start the job again."
            ) from error

    def write(self, event: Event) -> None:
        """Append an event; thread-safe.

        Raises:
            OSError: the file cannot be written.
        """
        with self._writing, open(self.path / EVENTS, "a+b") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - 1))
            # A killed process may have left an incomplete line.
            cut = size > 0 and stream.read(1) != b"\n"
            stream.write(b"\n" * cut + event.encode())

    def events(self) -> list[Event]:
        """All events."""
        return Tail(self).read()

    def last_event(self) -> Event | None:
        """The newest event, read from the end of the file; None if there is none."""
        lines = _end_of(self.path / EVENTS).splitlines()
        return next(filter(None, map(Event.decode, reversed(lines))), None)

    def state(self) -> JobState:
        """The state, from the lock and the newest event."""
        if self.lock.holder() is not None:
            return "running"
        last = self.last_event()
        if last is None:
            return "prepared"
        return next((end for end in ENDS if last.event == end), "dead")

    def cancel(self) -> None:
        """Request the end of the process.

        Raises:
            OSError: the folder cannot be written, or is gone.
        """
        (self.path / CANCEL).touch()

    @property
    def is_cancelled(self) -> bool:
        """Whether the end of the process is requested."""
        return (self.path / CANCEL).exists()

    def withdraw(self) -> None:
        """Withdraw the request to end."""
        (self.path / CANCEL).unlink(missing_ok=True)

    def log(self) -> str:
        """The end of `log.txt`; "" if there is none."""
        return _end_of(self.path / LOG, 8000).decode("utf-8", errors="replace")


class Tail:
    """Reads new events of a folder.

    Args:
        folder: the job folder, which may not exist yet.
    """

    def __init__(self, folder: JobFolder) -> None:
        self._path = folder.path / EVENTS
        self._offset = 0

    def read(self) -> list[Event]:
        """The events since the last call, complete lines only; does not block."""
        try:
            with open(self._path, "rb") as stream:
                stream.seek(self._offset)
                text = stream.read()
        except OSError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [event for event in map(Event.decode, whole.splitlines()) if event is not None]


def jobs_in(root: str | Path) -> list[JobFolder]:
    """The job and run folders directly in a folder, sorted by name."""
    root = Path(root)
    found = {path.parent for name in (JOB, EVENTS) for path in root.glob(f"*/{name}")}
    return [JobFolder(path) for path in sorted(found)]


def _end_of(path: Path, most: int = _END) -> bytes:
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - most))
            return stream.read()
    except OSError:
        return b""
