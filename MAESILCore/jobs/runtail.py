"""Reads the events of a run for a table and for charts, each byte once, however long the run is."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from MAESILCore.jobfolder import Event
from MAESILCore.jobfolder.folder import EVENTS

#: Bytes at the end of `events.jsonl` that a table reads first; steps before them do not matter to it.
_END = 16 * 1024
#: Most steps of a chart that are read at once; of a longer run, every n-th step is.
MOST_POINTS = 20_000
#: Usual bytes of a `step` event.
_STEP_BYTES = 300
#: Most bytes that are searched for the newest validation; a run of a million steps has five times as many.
_SEARCHED = 64 << 20
#: Block size of a search towards the start of the file.
_BLOCK = 1 << 20

_STEP = b'"event": "step"'


@dataclass(frozen=True)
class Stamp:
    """What tells two versions of a file apart; see `stamp_of`."""

    inode: int
    size: int
    time: int


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of a file, with one call of the system; None if the file is missing."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns)


def number(value: object) -> float | None:
    """A finite number of an event; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


class SummaryTail:
    """The newest figures of a run.

    Args:
        folder: the run folder.

    Attributes:
        last: the newest event that tells the state; None if there is none.
        step: steps taken.
        total: steps requested; 0 if unknown.
        loss: loss of the newest step.
        speed: superpatches per second of the newest step.
        seconds_left: as estimated at the newest step.
        scores: scores of the newest validation, in its order.
        message: the newest sentence.
        started: time of the first event, seconds since 1970.
        facts: fields of the newest `started` event.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / EVENTS
        self._inode: int | None = None
        self._reset()

    def _reset(self) -> None:
        self._offset, self._validated, self._stepped = 0, 0, 0
        self.last: Event | None = None
        self.step = self.total = 0
        self.loss: float | None = None
        self.speed: float | None = None
        self.seconds_left: float | None = None
        self.scores: dict[str, float] = {}
        self.message = ""
        self.started: float | None = None
        self.facts: Mapping[str, Any] = {}

    def read(self, stamp: Stamp | None) -> None:
        """Read the new events of the file with this stamp."""
        if stamp is None or stamp.inode != self._inode or stamp.size < self._offset:
            self._reset()
        self._inode = None if stamp is None else stamp.inode
        if stamp is None or stamp.size == self._offset:
            return
        try:
            with open(self._path, "rb") as stream:
                if self._offset == 0:
                    first = Event.decode(stream.readline())
                    self.started = first.time if first is not None and first.time > 0 else None
                    self._skip_to_end(stream, stamp.size)
                stream.seek(self._offset)
                text = stream.read()
        except OSError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            event = Event.decode(line)
            if event is not None:
                self._take(event)

    def _skip_to_end(self, stream: Any, size: int) -> None:  # noqa: ANN401 - a binary file
        """Skip all but the end of a long file, after the newest validation before it."""
        if size <= 2 * _END:
            return
        stream.seek(size - _END)
        stream.readline()
        self._offset = stream.tell()
        validation = _last_line(stream, max(0, self._offset - _SEARCHED), self._offset, "validation")
        if validation is None:
            return
        # A later resume may have voided it.
        started = _last_line(stream, validation[0], self._offset, "started")
        for _, line in filter(None, (validation, started)):
            event = Event.decode(line)
            if event is not None:
                self._take(event)

    def _take(self, event: Event) -> None:
        if event.event not in ("log", "left_out", "damaged", "not_removed"):
            self.last = event
        self.total = event.total or self.total
        self.message = event.message or self.message
        match event.event:
            case "started":
                self.step, self.facts = event.step, event.fields
                self.speed = self.seconds_left = None
                # The steps after this one are void, see `MAESILCore.jobfolder.events`.
                if self._stepped > event.step:
                    self.loss = None
                if self._validated > event.step:
                    self.scores = {}
            case "finished" | "failed" | "cancelled":
                self.step, self.message = max(self.step, event.step), event.message
            case "step":
                self.step, self._stepped, self.seconds_left = event.step, event.step, event.seconds_left
                self.loss = number(event.fields.get("loss"))
                self.speed = number(event.fields.get("superpatches_per_second"))
                self.message = event.message
            case "validation":
                scores = {name: number(value) for name, value in event.fields.items()}
                self.scores = {name: value for name, value in scores.items() if value is not None}
                self._validated = event.step
            case _:
                self.step = max(self.step, event.step)


def _last_line(stream: Any, first: int, end: int, name: str) -> tuple[int, bytes] | None:  # noqa: ANN401
    """Offset and text of the last line between two offsets that holds an event of a name; None if there is none."""
    wanted = f'"event": "{name}"'.encode("ascii")
    while end > first:
        start = max(first, end - _BLOCK)
        stream.seek(start)
        block = stream.read(end - start)
        at = block.rfind(wanted)
        line_at = block.rfind(b"\n", 0, at) + 1 if at >= 0 else 0
        if at >= 0 and (line_at > 0 or start == first):
            stream.seek(start + line_at)
            return start + line_at, stream.readline()
        if start == first:
            return None
        # The next block ends behind the first line of this one, which may be cut.
        cut = start + block.find(b"\n") + 1
        end = cut if start < cut < end else start
    return None


#: Points (step, value) of a line in a chart, in the order of the steps.
Points = list[tuple[int, float]]


@dataclass(frozen=True)
class Curves:
    """The figures of a run over its steps; points without a finite value are left out.

    Attributes:
        loss: total loss; of a long run, not of every step. So are the next four.
        learning_rate: learning rate.
        gradient_norm: norm of the gradients.
        data_wait: share of the step's time spent waiting for data, 0 to 1.
        parts: parts of the loss, by name.
        scores: scores of the validations, by name.
    """

    loss: Points = field(default_factory=list)
    learning_rate: Points = field(default_factory=list)
    gradient_norm: Points = field(default_factory=list)
    data_wait: Points = field(default_factory=list)
    parts: Mapping[str, Points] = field(default_factory=dict)
    scores: Mapping[str, Points] = field(default_factory=dict)


class CurveTail:
    """The curves of a run; a new call reads what was added since.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / EVENTS
        self._inode: int | None = None
        self._reset()

    def _reset(self) -> None:
        self._offset = 0
        self._steps: dict[int, Mapping[str, Any]] = {}
        self._validations: dict[int, Mapping[str, Any]] = {}
        self._curves = Curves()

    def read(self) -> Curves:
        """The curves up to now; the same object if nothing was added."""
        stamp = stamp_of(self._path)
        if stamp is None or stamp.inode != self._inode or stamp.size < self._offset:
            self._reset()
        self._inode = None if stamp is None else stamp.inode
        if stamp is None or stamp.size == self._offset:
            return self._curves
        every = max(1, (stamp.size - self._offset) // (_STEP_BYTES * MOST_POINTS))
        for event in self._new_events(every):
            if event.event == "started":
                self._steps = {step: row for step, row in self._steps.items() if step <= event.step}
                self._validations = {
                    step: row for step, row in self._validations.items() if step <= event.step
                }
            elif event.event == "step":
                self._steps[event.step] = event.fields
            elif event.event == "validation":
                self._validations[event.step] = event.fields
        self._curves = self._made()
        return self._curves

    def _new_events(self, every: int) -> Iterator[Event]:
        """The new events, of the steps every n-th."""
        try:
            with open(self._path, "rb") as stream:
                stream.seek(self._offset)
                steps = 0
                for line in stream:
                    if not line.endswith(b"\n"):
                        return
                    self._offset += len(line)
                    steps += _STEP in line
                    if _STEP in line and steps % every:
                        continue
                    event = Event.decode(line)
                    if event is not None:
                        yield event
        except OSError:
            return

    def _made(self) -> Curves:
        rows, validations = sorted(self._steps.items()), sorted(self._validations.items())
        parts = [(step, row.get("parts") or {}) for step, row in rows]
        return Curves(
            loss=_points(rows, "loss"),
            learning_rate=_points(rows, "learning_rate"),
            gradient_norm=_points(rows, "gradient_norm"),
            data_wait=_points(rows, "data_wait"),
            parts={name: _points(parts, name) for name in _names(parts)},
            scores={name: _points(validations, name) for name in _names(validations)},
        )


_Rows = list[tuple[int, Mapping[str, Any]]]


def _names(rows: _Rows) -> list[str]:
    """The names of all numbers in rows, in the order of their first appearance."""
    found = (name for _, row in rows for name, value in row.items() if number(value) is not None)
    return list(dict.fromkeys(found))


def _points(rows: _Rows, name: str) -> Points:
    return [(step, value) for step, row in rows if (value := number(row.get(name))) is not None]
