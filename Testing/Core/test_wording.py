"""A sentence is a text that knows how it was made."""

from __future__ import annotations

import pickle

import pytest

from MAESILCore.errors import ConfigError
from MAESILCore.wording import Sentence, Texts, joined, marked

FULL = Sentence("disk.full", "{name} does not fit ({size:.1f} GB).", name="Thorax", size=2)


def test_a_sentence_is_its_english_text() -> None:
    assert FULL == "Thorax does not fit (2.0 GB)."
    assert type(f"Sorry: {FULL}") is str


def test_an_error_gives_the_sentence_that_it_was_raised_with() -> None:
    error = ConfigError(FULL)
    assert str(error) is FULL
    assert (FULL.code, FULL.parameters) == ("disk.full", {"name": "Thorax", "size": 2})


def test_a_sentence_survives_the_way_to_another_process() -> None:
    for copy in (pickle.loads(pickle.dumps(FULL)), str(pickle.loads(pickle.dumps(ConfigError(FULL))))):
        assert copy == FULL
        assert (copy.code, copy.template, copy.parameters) == (FULL.code, FULL.template, FULL.parameters)


def test_names_of_any_bytes_are_fit_to_be_shown() -> None:
    assert Sentence("x", "{name} is gone.", name="caf\udce9") == r"caf\xe9 is gone."


def test_sentences_are_joined_without_the_empty_ones() -> None:
    both = joined(FULL, "", "Free some space.")
    assert both == "Thorax does not fit (2.0 GB). Free some space."
    assert both.parameters["part0"] is FULL
    assert joined("", "") == ""


def test_a_template_names_only_what_is_given() -> None:
    with pytest.raises(KeyError):
        Sentence("x", "{absent}")


def test_a_table_makes_sentences_and_titles() -> None:
    table = Texts(
        {"mode.roi": marked("A region"), "mode.axis": marked("Columns"), "disk.full": "{name} is full."}
    )
    full = table.sentence("disk.full", name="D:")
    assert (full, full.code, full.parameters) == ("D: is full.", "disk.full", {"name": "D:"})
    assert table.titles("mode") == {"roi": "A region", "axis": "Columns"}
    assert table.titles("mode")["roi"].code == "mode.roi"
    with pytest.raises(KeyError):
        table.sentence("disk.gone")
