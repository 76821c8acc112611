"""Displayable text and translatable sentences."""

from __future__ import annotations

import unicodedata
from string import Formatter
from typing import Any

#: Escaped Unicode categories: control characters, lone surrogates, line and paragraph breaks.
_ESCAPED = frozenset({"Cc", "Cs", "Zl", "Zp"})

#: Python decodes a byte that is not UTF-8 as code point 0xDC00 + byte (PEP 383).
_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF


class Sentence(str):
    """An English text with its template and parameters, so that a face can translate it.

    A face looks up a translated template by code; the default is the English text. Slices and sums are ordinary texts.

    Args:
        code: name of the template, such as "storage.in-use"; "" if the template has only parameters.
        template: English template for `str.format`.
        parameters: values for the template; faces also translate those that are sentences.

    Attributes:
        code: as given.
        template: as given.
        parameters: as given, but displayable.

    Raises:
        KeyError: a parameter of the template is missing.
    """

    code: str
    template: str
    parameters: dict[str, Any]

    def __new__(cls, code: str, template: str, /, **parameters: Any) -> Sentence:  # noqa: ANN401 - what `format` takes
        shown = {
            name: displayable(value) if isinstance(value, str) else value
            for name, value in parameters.items()
        }
        made = super().__new__(cls, Formatter().vformat(template, (), shown))
        made.code, made.template, made.parameters = code, template, shown
        return made

    def __str__(self) -> Sentence:
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[str, str], dict[str, Any]]:
        return (self.code, self.template), self.parameters


def joined(*parts: str) -> Sentence:
    """Join sentences by spaces; empty ones are skipped."""
    given = {f"part{number}": part for number, part in enumerate(filter(None, parts))}
    return Sentence("", " ".join(f"{{{name}}}" for name in given), **given)


def marked(template: str) -> str:
    """Return a template unchanged. Imported as `_`, because Slicer's translation tools look for `_("...")`."""
    return template


class Texts(dict[str, str]):
    """English templates by code: all messages of one package.

    >>> Texts({"disk.full": "{name} does not fit."}).sentence("disk.full", name="Thorax")
    'Thorax does not fit.'
    """

    def sentence(self, code: str, /, **parameters: Any) -> Sentence:  # noqa: ANN401 - what `format` takes
        """The sentence of a code."""
        return Sentence(code, self[code], **parameters)

    def titles(self, group: str) -> dict[str, Sentence]:
        """The sentences of the codes `<group>.<key>`, by key."""
        return {
            code.removeprefix(f"{group}."): Sentence(code, text)
            for code, text in self.items()
            if code.startswith(f"{group}.")
        }


def displayable(text: object) -> str:
    r"""Text with backslash escapes for bytes that are not UTF-8 and for control characters.

    A name with the Latin-1 byte E9 becomes `caf\xe9`. Other text is unchanged. The result can be encoded in UTF-8.
    """
    text = str(text)
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _ESCAPED:
        return character
    code = ord(character)
    if _FIRST_BYTE <= code <= _LAST_BYTE:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
