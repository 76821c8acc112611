"""Text that any terminal, file and page can show, whatever bytes a file's name is made of."""

from __future__ import annotations

import unicodedata
from string import Formatter
from typing import Any

#: Unicode categories that are never shown as they are: control characters, lone surrogates, line and paragraph breaks.
_ESCAPED = frozenset({"Cc", "Cs", "Zl", "Zp"})

#: Python keeps a byte that is not UTF-8 as the code point 0xDC00 + byte (PEP 383).
_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF


class Sentence(str):
    """A text in English that knows how it was made, so that a face can word it in another language.

    It is used like any other text. A face looks its code up among translated templates, and shows it as it is if there
    is none. What is made of it, such as a part or a sum, is an ordinary text.

    Args:
        code: names the template, such as "storage.in-use"; "" for a template that has nothing but parameters.
        template: in English, as for `str.format`.
        parameters: fill the template; one that is a sentence itself is worded by the face, too.

    Attributes:
        code: as given.
        template: as given.
        parameters: as given, but fit to be shown.

    Raises:
        KeyError: the template names a parameter that is not given.
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
    """Sentences one after the other; empty ones are left out."""
    given = {f"part{number}": part for number, part in enumerate(filter(None, parts))}
    return Sentence("", " ".join(f"{{{name}}}" for name in given), **given)


def displayable(text: object) -> str:
    r"""A text in which bytes that are not UTF-8 and control characters are written as backslash escapes.

    A name with the Latin-1 byte E9 becomes `caf\xe9`. Text without such characters is returned unchanged, and the
    result can be encoded in UTF-8.
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
