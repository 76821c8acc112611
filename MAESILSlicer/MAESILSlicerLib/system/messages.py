"""Plain explanations for messages of pip, PyTorch and drivers; the table is `messages.json`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from MAESILCore.wording import Sentence, joined

_TABLE = Path(__file__).with_name("messages.json")

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
    """

    id: str
    sentence: Sentence
    repair: Sentence
    action: Action = ""

    @property
    def text(self) -> Sentence:
        """`sentence` and `repair` together."""
        return joined(self.sentence, self.repair)


@dataclass(frozen=True)
class _Entry:
    explanation: Explanation
    patterns: tuple[re.Pattern[str], ...]


@lru_cache(maxsize=1)
def _entries() -> tuple[_Entry, ...]:
    table = json.loads(_TABLE.read_text(encoding="utf-8"))["messages"]
    return tuple(
        _Entry(
            Explanation(entry["id"], *_sentencesOf(entry), entry["action"]),
            tuple(re.compile(pattern, re.IGNORECASE | re.MULTILINE) for pattern in entry["patterns"]),
        )
        for entry in table
    )


def _sentencesOf(entry: dict[str, str]) -> tuple[Sentence, Sentence]:
    """The sentences of problem and repair, with the codes "ID" and "ID.repair"."""
    return Sentence(entry["id"], entry["sentence"]), Sentence(f"{entry['id']}.repair", entry["repair"])


def explain(text: str) -> Explanation | None:
    """The first explanation in the table that matches a message or log; None if none does."""
    for entry in _entries():
        if any(pattern.search(text) for pattern in entry.patterns):
            return entry.explanation
    return None


def explanation(name: str) -> Explanation:
    """The explanation with the key `name`.

    Raises:
        KeyError: the table has no such key.
    """
    return {entry.explanation.id: entry.explanation for entry in _entries()}[name]


def lastWords(log: str, lines: int = 3) -> str:
    """The last error lines of a log; without errors, its last lines."""
    said = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in said if re.match(r"(ERROR|\w*Error)\b", line)]
    return "\n".join((errors or said)[-lines:])
