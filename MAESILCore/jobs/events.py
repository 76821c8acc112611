"""What a worker tells: one JSON object a line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal, get_args

EventName = Literal["started", "progress", "log", "finished", "failed", "cancelled"]
_NAMES = get_args(EventName)


@dataclass(frozen=True)
class JobEvent:
    """One thing that a worker told.

    Attributes:
        event: `started` once the model is on its device, then `progress`, and at last one of `finished`, `failed`
            and `cancelled`; `log` at any time.
        message: a sentence for people.
        step: how much of the work is done; it is proportional to time.
        total: of how much; 0 when not known.
        seconds_left: an estimate; None when not known.
        device: what the work runs on, for people; in `started`.
    """

    event: EventName
    message: str = ""
    step: int = 0
    total: int = 0
    seconds_left: float | None = None
    device: str | None = None

    def encode(self) -> bytes:
        """As a line of pure ASCII, so that no machine's code page can harm it."""
        told = {name: value for name, value in asdict(self).items() if value not in ("", None)}
        return json.dumps(told).encode("ascii") + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> JobEvent | None:
        """The event of a line, None if the line is something else."""
        try:
            told = json.loads(line)
            return cls(**told) if told["event"] in _NAMES else None
        except (ValueError, TypeError, KeyError):
            return None
