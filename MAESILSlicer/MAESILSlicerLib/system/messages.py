"""What the messages of pip, PyTorch and drivers mean in plain words; the table itself is `messages.json`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from MAESILCore.wording import Sentence, joined

_TABLE = Path(__file__).with_name("messages.json")

#: The button beside a sentence; "" where only the person can act.
Action = Literal["", "checkAgain", "install", "installExtension", "reinstallTorch"]


@dataclass(frozen=True)
class Explanation:
    """A known failure in plain words.

    Attributes:
        id: its name in the table.
        sentence: what is wrong.
        repair: what to do.
        action: what a button beside the sentence does about it.
    """

    id: str
    sentence: Sentence
    repair: Sentence
    action: Action = ""

    @property
    def text(self) -> Sentence:
        """Both sentences."""
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
    """What is wrong and what to do; their codes are "ID" and "ID.repair"."""
    return Sentence(entry["id"], entry["sentence"]), Sentence(f"{entry['id']}.repair", entry["repair"])


def explain(text: str) -> Explanation | None:
    """The known failure that a message or a whole log tells of; the first of the table that fits, or None."""
    for entry in _entries():
        if any(pattern.search(text) for pattern in entry.patterns):
            return entry.explanation
    return None


def explanation(name: str) -> Explanation:
    """The entry of the table called `name`.

    Raises:
        KeyError: there is none.
    """
    return {entry.explanation.id: entry.explanation for entry in _entries()}[name]


def lastWords(log: str, lines: int = 3) -> str:
    """The lines of a log that say most about a failure: the last errors, else simply the last lines."""
    said = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in said if re.match(r"(ERROR|\w*Error)\b", line)]
    return "\n".join((errors or said)[-lines:])
