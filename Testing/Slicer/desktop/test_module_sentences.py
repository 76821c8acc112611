"""Sentences of other rooms are shown in the language of the application."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING

import pytest

from MAESILCore.errors import ConfigError
from MAESILCore.jobfolder import Event
from MAESILCore.jobfolder.failures import TEXTS, sentence
from MAESILCore.wording import Sentence, joined

if TYPE_CHECKING:
    from hosting import Host


def sentencesIn(folder: Path) -> Iterator[tuple[str, str]]:
    """Code and template of each sentence that the files of a folder make."""
    for file in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Sentence":
                code, template = node.args
                if isinstance(code, ast.Constant):
                    yield code.value, ast.literal_eval(template)


def test_translators_find_every_sentence(host: Host, repository: Path) -> None:
    from MAESILSlicerLib.desktop import sentences

    rooms = [repository / "MAESILCore" / room for room in ("inference", "jobs")]
    rooms += [repository / "MAESILSlicer" / "MAESILSlicerLib" / room for room in ("system",)]
    made = [entry for room in rooms for entry in sentencesIn(room)] + list(TEXTS.items())
    assert len(made) == len(dict(made)), "two sentences have the same code"
    assert sentences._templates() == dict(made)
    for table in sentences._TABLES:
        tree = ast.parse(Path(table.__file__).read_text(encoding="utf-8"))
        marked = [
            node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "_"
        ]
        # Translation tools extract literals only.
        assert [ast.literal_eval(node.args[0]) for node in marked] == list(table.TEXTS.values())
        assert not set(table.TEXTS) & set(dict(made))


def test_a_sentence_is_shown_with_its_parameters_in_another_language(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILSlicerLib.desktop import sentences

    german = {
        "storage.in-use": "Ein Auftrag, der noch läuft, braucht {name}.",
        "wheels.none": "In {folder} ist kein Rad.",
    }
    monkeypatch.setattr(sentences, "_templates", lambda: german)
    busy = Sentence("storage.in-use", "{name} belongs to a job.", name="Thorax")
    assert sentences.translated(str(ConfigError(busy))) == "Ein Auftrag, der noch läuft, braucht Thorax."
    nested = Sentence("other", "It failed: {reason}", reason=busy)
    assert (
        sentences.translated(joined(nested, "So."))
        == "It failed: Ein Auftrag, der noch läuft, braucht Thorax. So."
    )
    assert sentences.translated("A plain text.") == "A plain text."


def test_a_sentence_of_a_job_is_shown_in_another_language(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILSlicerLib.desktop import sentences

    german = {"job.unexpected": "MAESIL ist gescheitert ({reason})."}
    monkeypatch.setattr(sentences, "_templates", lambda: german)
    read = Event.decode(Event("failed", sentence("job.unexpected", reason="{x}")).encode())
    assert read is not None
    assert sentences.translated(read.message) == "MAESIL ist gescheitert ({x})."
    # A package or another version may use other codes and parameters.
    for code in ("job.unexpected", "another.code"):
        other = Event.decode(Event("failed", Sentence(code, "As {it} is.", it="{it}")).encode())
        assert other is not None
        assert sentences.translated(other.message) == "As {it} is."


def test_a_text_of_a_table_is_translated_in_the_context_of_its_file(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILSlicerLib.desktop import sentences
    from MAESILSlicerLib.scene.wording import sentence

    german = {
        "Choose a volume.": "W\u00e4hlen Sie ein Volumen.",
        '"{volume}" is a label map; choose the image from which it was made.': "{Volumen} ist eine Labelmap.",
    }
    asked = []

    def translate(context: str, text: str) -> str:
        asked.append(context)
        return german[text]

    monkeypatch.setattr(sentences, "translate", translate)
    assert sentences.translated(sentence("volume.none")) == "W\u00e4hlen Sie ein Volumen."
    damaged = sentence("volume.label-map", volume="Liver")
    assert sentences.translated(damaged) == damaged, "a translation with another placeholder is not used"
    assert asked == ["scene.wording"] * 2


def test_each_known_explanation_has_a_template_without_parameters(host: Host) -> None:
    from MAESILSlicerLib.desktop.sentences import translated
    from MAESILSlicerLib.system import messages

    for one in messages._table().values():
        assert translated(one.text) == one.text
        for part in (one.sentence, one.repair):
            assert not [name for _text, name, _spec, _conversion in Formatter().parse(part.template) if name]
