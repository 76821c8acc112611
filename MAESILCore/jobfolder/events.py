"""The events of `events.jsonl`, for jobs and training runs: one JSON object per line.

| event | meaning | fields beside those of `Event` |
|---|---|---|
| `started` | The work starts, or resumes after `step`. | fields of the kind: device, precision, scans, ... |
| `progress` | The progress; the last one counts. | |
| `log` | A note for readers, such as a lock that was taken over. | |
| `step` | One training step. | `loss`, `parts`, `learning_rate`, `gradient_norm`, and speeds: see below |
| `skipped` | A step that changed no weight: its loss or gradients were not finite. | `crops`, `loss`, `gradient_norm` |
| `validation` | Scores of the model after `step`; more is better. | the scores |
| `checkpoint` | The state after `step` is on the disk. | `file`, `seconds`, `best` |
| `preview` | Pictures and volumes of `step` were written. | `files`, below the folder |
| `left_out` | A scan or entry is not used. | `scan` or `entry`, `reason` |
| `damaged`, `not_removed` | A checkpoint was set aside, or could not be removed or replaced. | `file`, `reason` |
| `finished` | The work is done and all files are written. | fields of the kind |
| `failed` | The work ended with the error in `message`. | |
| `cancelled` | The work was cancelled. A run can be resumed. | |

**Training.** `parts` holds the unweighted terms of the loss by name. `gradient_norm` is that before clipping.
`superpatches_per_second` is the mean over the last 20 steps, `data_wait` the share of the step's time that the training
waited for its samples, from 0 to 1. `crops` names the `scan` and the first voxel (`corner`, along k, j, i) of each crop
of the step. `seconds` is the time that the training stood still for a checkpoint, and `best` whether its first score of
validation is the highest so far. Every step has a row, so curves are the same however often a run was resumed.

A kind of job may add events; readers skip unknown ones. Older versions wrote `stopped` instead of `cancelled`, and
`steps` instead of `total`; `Event.decode` reads both.

**Duplicates.** A killed run repeats the steps since its last checkpoint, so a step may appear twice. Rule for readers:
`started` with `step` N voids all earlier rows of later steps, and the last row of a step counts. `rows` applies it.
Lines that are not JSON objects were cut off by a kill and are skipped.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from MAESILCore.wording import Sentence

#: The last events of a job; others follow only if it is resumed.
ENDS: tuple[Literal["finished", "failed", "cancelled"], ...] = ("finished", "failed", "cancelled")

_OLD_NAMES = {"stopped": "cancelled"}


@dataclass(frozen=True)
class Event:
    """One event of a job.

    Attributes:
        event: a name from the table above.
        message: a sentence in English; a `Sentence` keeps its code and parameters, so that a face can translate it.
        step: amount of work done.
        total: total amount of work; 0 if unknown.
        seconds_left: estimated seconds; None if unknown.
        fields: all other fields, ready for JSON.
        time: seconds since 1970.
    """

    event: str
    message: str = ""
    step: int = 0
    total: int = 0
    seconds_left: float | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    time: float = field(default_factory=lambda: time.time(), compare=False)

    @property
    def fraction(self) -> float | None:
        """The share of work done, 0 to 1; None if unknown."""
        return min(1.0, self.step / self.total) if self.total > 0 else None

    def encode(self) -> bytes:
        """The event as an ASCII line. Numbers that are not finite become null, since JSON has none."""
        known: dict[str, Any] = {"step": self.step, "total": self.total, "message": self.message}
        if self.seconds_left is not None:
            known["seconds_left"] = round(self.seconds_left, 1)
        if isinstance(self.message, Sentence) and self.message.code:
            known |= {"code": self.message.code, "parameters": self.message.parameters}
        content = {"time": round(self.time, 3), "event": self.event}
        content |= {name: value for name, value in known.items() if value} | dict(self.fields)
        return json.dumps(_finite(content), allow_nan=False).encode("ascii") + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Event | None:
        """The event of a line; None if the line is something else."""
        try:
            content = json.loads(line)
            name = str(content.pop("event"))
            total = content.pop("total", None) or content.get("steps", 0)
            left = content.pop("seconds_left", None)
            message, code = str(content.pop("message", "")), str(content.pop("code", ""))
            if code:
                # Only the face knows the template of the code; the English text is the default.
                template = message.replace("{", "{{").replace("}", "}}")
                message = Sentence(code, template, **content.pop("parameters", {}))
            return cls(
                event=_OLD_NAMES.get(name, name),
                message=message,
                step=int(content.pop("step", 0)),
                total=int(total),
                seconds_left=None if left is None else float(left),
                time=float(content.pop("time", 0.0)),
                fields=content,
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


#: Callback for each event.
EventCallback = Callable[[Event], None]


def rows(events: Iterable[Event], name: str) -> list[Event]:
    """The events of one name, one per step, in the order of the steps; see "Duplicates" above.

    Args:
        events: all events of a folder, in their order.
        name: such as `step` or `validation`.
    """
    kept: dict[int, Event] = {}
    for event in events:
        if event.event == "started":
            kept = {step: row for step, row in kept.items() if step <= event.step}
        elif event.event == name:
            kept[event.step] = event
    return [kept[step] for step in sorted(kept)]


def _finite(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
