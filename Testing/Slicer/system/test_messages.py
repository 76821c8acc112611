"""The table of known failures: each entry meets a message as it really reads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from MAESILSlicerLib.system import messages

TABLE = json.loads(Path(messages.__file__).with_name("messages.json").read_text(encoding="utf-8"))["messages"]
ENTRIES = {entry["id"]: entry for entry in TABLE}

#: By what the child process finds, not by a text; `test_check.py` meets these.
FOUND_BY_THE_CHECK = {
    "check-failed",
    "gpu-hidden",
    "gpu-unseen",
    "numpy-mismatch-mac",
    "torch-crashes",
    "torch-hangs",
    "torch-old",
}

SAID = json.loads(Path(__file__).with_name("knownmessages.json").read_text(encoding="utf-8"))
MESSAGES = [(name, text) for name, texts in SAID.items() for text in texts]


@pytest.mark.parametrize(("name", "text"), MESSAGES, ids=[name for name, _ in MESSAGES])
def test_a_known_message_is_explained(name: str, text: str) -> None:
    found = messages.explain(text)
    assert found is not None
    assert found.id == name


def test_every_entry_is_met_by_a_message_or_by_the_check() -> None:
    assert {name for name, _ in MESSAGES} | FOUND_BY_THE_CHECK == set(ENTRIES)
    assert {name for name, entry in ENTRIES.items() if not entry["patterns"]} == FOUND_BY_THE_CHECK


@pytest.mark.parametrize("entry", TABLE, ids=ENTRIES)
def test_every_entry_reads_as_whole_sentences_with_a_known_action(entry: dict[str, object]) -> None:
    explained = messages.explanation(str(entry["id"]))
    for sentence in (explained.sentence, explained.repair):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert "Traceback" not in sentence
    assert explained.action in get_args(messages.Action)
    assert explained.text == f"{explained.sentence} {explained.repair}"
    assert set(entry) == {"id", "patterns", "sentence", "repair", "action"}


@pytest.mark.parametrize("entry", TABLE, ids=ENTRIES)
def test_every_pattern_is_met_by_a_message(entry: dict[str, list[str]]) -> None:
    texts = [text for name, text in MESSAGES if name == entry["id"]]
    for pattern in entry["patterns"]:
        assert any(re.search(pattern, text, re.IGNORECASE | re.MULTILINE) for text in texts), pattern


def test_the_names_of_the_entries_are_unique() -> None:
    assert len(ENTRIES) == len(TABLE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Successfully installed nibabel-5.4.2 scipy-1.17.1",
        "Requirement already satisfied: torch>=2.2 in ./site-packages (2.6.0+cu124)",
        "ModuleNotFoundError: No module named 'smith'",
        "ValueError: something else",
    ],
)
def test_what_is_no_known_failure_is_not_explained(text: str) -> None:
    assert messages.explain(text) is None


def test_an_unknown_entry_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        messages.explanation("never-heard-of")


def test_the_last_words_of_a_log_are_its_errors() -> None:
    log = "Collecting scipy\nERROR: first\nCleaning up\nERROR: second\n\n"
    assert messages.lastWords(log) == "ERROR: first\nERROR: second"
    assert messages.lastWords("one\ntwo\nthree\nfour") == "two\nthree\nfour"
    assert messages.lastWords("") == ""
