"""Text that any terminal, file and page can show, whatever bytes a file's name is made of."""

from __future__ import annotations

import unicodedata

#: Unicode categories that are never shown as they are: control characters, lone surrogates, line and paragraph breaks.
_ESCAPED = frozenset({"Cc", "Cs", "Zl", "Zp"})

#: Python keeps a byte that is not UTF-8 as the code point 0xDC00 + byte (PEP 383).
_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF


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
