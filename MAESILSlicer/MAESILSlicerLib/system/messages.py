"""Plain explanations for messages of pip, PyTorch and drivers; the table is `messages.json`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from MAESILCore.wording import Sentence, joined

#: Action of the button beside an explanation; "" for none.
Action = Literal["", "checkAgain", "install", "installExtension", "reinstallTorch"]


@dataclass(frozen=True)
class Explanation:
    """The explanation of a known failure.

    Attributes:
        id: key in the table.
        sentence: the problem.
        repair: how to solve it.
        action: action of the button beside it.
        patterns: regular expressions of the messages that it explains.
    """

    id: str
    sentence: Sentence
    repair: Sentence
    action: Action = ""
    patterns: tuple[str, ...] = ()

    @property
    def text(self) -> Sentence:
        """`sentence` and `repair` together."""
        return joined(self.sentence, self.repair)


@cache
def _table() -> dict[str, Explanation]:
    """The explanations by key, in the order of the file; their sentences have the codes "ID" and "ID.repair"."""
    entries = json.loads(Path(__file__).with_name("messages.json").read_text(encoding="utf-8"))["messages"]
    return {
        entry["id"]: Explanation(
            entry["id"],
            Sentence(entry["id"], entry["sentence"]),
            Sentence(f"{entry['id']}.repair", entry["repair"]),
            entry["action"],
            tuple(entry["patterns"]),
        )
        for entry in entries
    }


def explain(text: str) -> Explanation | None:
    """The first explanation in the table that matches a message or log; None if none does."""
    for one in _table().values():
        if any(re.search(pattern, text, re.IGNORECASE | re.MULTILINE) for pattern in one.patterns):
            return one
    return None


def explanation(name: str) -> Explanation:
    """The explanation with the key `name`.

    Raises:
        KeyError: the table has no such key.
    """
    return _table()[name]


def lastWords(log: str, lines: int = 3) -> str:
    """The last error lines of a log; without errors, its last lines."""
    said = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in said if re.match(r"(ERROR|\w*Error)\b", line)]
    return "\n".join((errors or said)[-lines:])
