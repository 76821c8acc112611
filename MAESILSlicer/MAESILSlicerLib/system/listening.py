"""Captures printed output and still passes it on."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

_MOST_LINES = 1000


class Output:
    """The last lines that Python code has printed.

    Args:
        onLine: called with each complete line.
    """

    def __init__(self, onLine: Callable[[str], None] | None = None) -> None:
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)
        self._begun = ""
        self._onLine = onLine

    @property
    def log(self) -> str:
        """The lines, including an incomplete last one."""
        return "\n".join([*self._lines, self._begun]).strip()

    def add(self, text: str) -> None:
        """Add printed text."""
        *lines, self._begun = (self._begun + text).split("\n")
        self._lines.extend(lines)
        if self._onLine is not None:
            for line in lines:
                self._onLine(line)

    @contextmanager
    def captured(self) -> Iterator[None]:
        """Add everything that is printed within the block."""
        with redirect_stdout(_Tee(sys.stdout, self.add)), redirect_stderr(_Tee(sys.stderr, self.add)):
            yield


class _Tee:
    """A file that passes text on to a stream, None in an application without a console, and to a callback."""

    def __init__(self, stream: Any, onText: Callable[[str], None]) -> None:  # noqa: ANN401 - Slicer's console is no file
        self._stream, self._onText = stream, onText

    def write(self, text: str) -> int:
        if self._stream is not None:
            self._stream.write(text)
        self._onText(text)
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()
