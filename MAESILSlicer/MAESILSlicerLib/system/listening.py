"""Captures printed output and still passes it on."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Protocol

_MOST_LINES = 1000


class Writable(Protocol):
    """The part of a file that `print` needs; Slicer's console has no more."""

    def write(self, text: str) -> object:
        """Write text."""

    def flush(self) -> object:
        """Flush buffered text."""


class Listener:
    """Keeps the last lines of printed output.

    Args:
        onLine: called with each complete line.
    """

    def __init__(self, onLine: Callable[[str], None] | None = None) -> None:
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)
        self._begun = ""
        self._onLine = onLine

    @property
    def log(self) -> str:
        """The kept lines, including an incomplete last one."""
        return "\n".join([*self._lines, self._begun]).strip()

    def hear(self, text: str) -> None:
        """Add printed text."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._lines.append(line)
            if self._onLine is not None:
                self._onLine(line)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Capture everything that Python code prints within the block."""
        with redirect_stdout(_Tee(sys.stdout, self)), redirect_stderr(_Tee(sys.stderr, self)):
            yield


class _Tee:
    def __init__(self, stream: Writable | None, listener: Listener) -> None:
        self._stream, self._listener = stream, listener

    def write(self, text: str) -> int:
        # Applications without a console have no stream.
        if self._stream is not None:
            self._stream.write(text)
        self._listener.hear(text)
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()
