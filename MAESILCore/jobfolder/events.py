"""The vocabulary of `events.jsonl`, the same for every kind of job and for training runs: one JSON object a line.

| event | meaning | fields beside those of `Event` |
|---|---|---|
| `started` | The work begins, or goes on after `step`. | what the kind adds: device, precision, scans, ... |
| `progress` | How much is done. The last one counts. | |
| `log` | A note for people, such as a lock that was taken over. | |
| `step` | One training step. | `loss`, its parts, `learning_rate`, `superpatches_per_second` |
| `validation` | Scores of the model after `step`. | the scores |
| `checkpoint` | The state after `step` was written. | `file` |
| `left_out` | A scan or entry that is not used. | `scan` or `entry`, `reason` |
| `damaged`, `not_removed` | A checkpoint that was set aside, or could not be removed. | `file`, `reason` |
| `finished` | The work is done; all of its files were written before. | what the kind adds |
| `failed` | It ended with an error, which `message` tells. | |
| `cancelled` | It was asked to end. A run can be resumed. | |

A kind of job may add rows of its own; readers skip what they do not know. Runs of older versions have `stopped`
where `cancelled` stands now, and `steps` for `total`; `Event.decode` reads both.

**Duplicates.** A run that was killed repeats the steps since its last checkpoint, so that a step may appear twice. The
rule for readers: a `started` with `step` N makes all earlier rows of later steps void, and of several rows of one step
the last counts. `rows` follows it. A line that is no JSON object was cut off by a kill and is skipped.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: The events after which nothing follows, unless the job is resumed.
ENDS: tuple[Literal["finished", "failed", "cancelled"], ...] = ("finished", "failed", "cancelled")

_OLD_NAMES = {"stopped": "cancelled"}


@dataclass(frozen=True)
class Event:
    """One thing that happened in a job.

    Attributes:
        event: a name from the table above.
        message: a sentence for people, in English.
        step: how much of the work is done.
        total: of how much; 0 when not known.
        seconds_left: an estimate; None when not known.
        code: names the sentence, so that a face can word or translate it; "" if the sentence has none.
        parameters: what the sentence of this code is filled with.
        fields: everything else, ready for JSON.
        time: seconds since 1970.
    """

    event: str
    message: str = ""
    step: int = 0
    total: int = 0
    seconds_left: float | None = None
    code: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    time: float = field(default_factory=time.time, compare=False)

    @property
    def fraction(self) -> float | None:
        """The share that is done, 0 to 1; None when not known."""
        return min(1.0, self.step / self.total) if self.total > 0 else None

    def encode(self) -> bytes:
        """The event as a line of pure ASCII. Numbers that are not finite become null, as JSON knows none."""
        left = None if self.seconds_left is None else round(self.seconds_left, 1)
        known = {
            "step": self.step,
            "total": self.total,
            "seconds_left": left,
            "message": self.message,
            "code": self.code,
            "parameters": dict(self.parameters),
        }
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
            # In `started` of a run, it is the number of the model's parameters.
            sentence = content.pop("parameters") if isinstance(content.get("parameters"), dict) else {}
            return cls(
                event=_OLD_NAMES.get(name, name),
                message=str(content.pop("message", "")),
                step=int(content.pop("step", 0)),
                total=int(total),
                seconds_left=None if left is None else float(left),
                code=str(content.pop("code", "")),
                parameters=sentence,
                time=float(content.pop("time", 0.0)),
                fields=content,
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


#: Is given every event as it happens.
ProgressCallback = Callable[[Event], None]


def rows(events: Iterable[Event], name: str) -> list[Event]:
    """The rows of one name, one for each step, in the order of the steps; see "Duplicates" above.

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
