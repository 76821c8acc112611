"""Overhears what is printed while something runs, without keeping it from where it would have gone."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Protocol

_MOST_LINES = 1000


class Writable(Protocol):
    """What `print` wants of a file; Slicer's console is no more than that."""

    def write(self, text: str) -> object:
        """Take text in."""

    def flush(self) -> object:
        """Pass on what was held back."""


class Listener:
    """The last lines of what was printed.

    Args:
        onLine: called with each whole line, for a log pane.
    """

    def __init__(self, onLine: Callable[[str], None] | None = None) -> None:
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)
        self._begun = ""
        self._onLine = onLine

    @property
    def log(self) -> str:
        """The lines so far, the unfinished one included."""
        return "\n".join([*self._lines, self._begun]).strip()

    def hear(self, text: str) -> None:
        """Take in what was printed."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._lines.append(line)
            if self._onLine is not None:
                self._onLine(line)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Overhear everything that Python code prints while the block lasts."""
        with redirect_stdout(_Tee(sys.stdout, self)), redirect_stderr(_Tee(sys.stderr, self)):
            yield


class _Tee:
    def __init__(self, stream: Writable | None, listener: Listener) -> None:
        self._stream, self._listener = stream, listener

    def write(self, text: str) -> int:
        # An application without a console has no stream.
        if self._stream is not None:
            self._stream.write(text)
        self._listener.hear(text)
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()
