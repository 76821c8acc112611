"""Layout of the picture in inches, and its colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from MAESILCore.report.planes import Cut

PANEL = "#0d1117"
CARD = "#161c25"
INK = "#e8ecf1"
MUTED = "#9fb0c3"
ACCENT = "#ffd166"

_WIDTH = 13.0
_MARGIN = 0.3
_GAP = 0.1
_HEADER = 0.72
_TITLES = 0.36
_CAPTION = 0.34
_LEGENDS = 0.78
_FOOTER = 1.80

#: Left, bottom, width and height as shares of the picture.
Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True)
class Sheet:
    """The layout of one picture.

    Attributes:
        size: width and height, inches.
        columns: number of columns of slices.
        rows: height of each row of slices from the top, inches.
        captions: the rows with a line of text above them.
    """

    size: tuple[float, float]
    columns: int
    rows: tuple[float, ...]
    captions: frozenset[int] = frozenset()

    @property
    def column_width(self) -> float:
        """Width of a column, inches."""
        return (_WIDTH - 2 * _MARGIN - (self.columns - 1) * _GAP) / self.columns

    def rectangle(self, left: float, top: float, width: float, height: float) -> Rectangle:
        """Convert a rectangle in inches from the upper left corner to matplotlib's shares."""
        across, up = self.size
        return left / across, 1 - (top + height) / up, width / across, height / up

    def left(self, column: int) -> float:
        """Left edge of a column, inches."""
        return _MARGIN + column * (self.column_width + _GAP)

    def cell(self, row: int, column: int) -> Rectangle:
        """The rectangle of one slice."""
        return self.rectangle(self.left(column), self._top(row), self.column_width, self.rows[row])

    def caption(self, row: int) -> tuple[float, float]:
        """The position of the line above a row: left, middle."""
        left, bottom, _, height = self.rectangle(_MARGIN, self._top(row) - _CAPTION, _WIDTH, _CAPTION)
        return left, bottom + height / 2

    def above(self, column: int) -> tuple[float, float]:
        """The position of a column's title: middle, bottom."""
        x, y, width, height = self.rectangle(self.left(column), _HEADER, self.column_width, _TITLES)
        return x + width / 2, y + 0.22 * height

    def header(self) -> Rectangle:
        """The strip at the top."""
        return self.rectangle(_MARGIN, 0, _WIDTH - 2 * _MARGIN, _HEADER)

    def below(self, column: int) -> Rectangle:
        """The rectangle of a column's legend."""
        return self.rectangle(self.left(column), self._below_slices, self.column_width, _LEGENDS)

    def footer(self) -> Rectangle:
        """The strip at the bottom."""
        return self.rectangle(_MARGIN, self._below_slices + _LEGENDS, _WIDTH - 2 * _MARGIN, _FOOTER)

    @property
    def _below_slices(self) -> float:
        last = len(self.rows) - 1
        return self._top(last) + self.rows[last]

    def _top(self, row: int) -> float:
        lines = sum(_CAPTION for captioned in self.captions if captioned <= row)
        return _HEADER + _TITLES + sum(self.rows[:row]) + row * _GAP + lines


def sheet_for(
    cuts: Sequence[Cut], columns: int, footer: bool, captions: frozenset[int] = frozenset()
) -> Sheet:
    """A layout with one scale for all slices, as large as the columns allow.

    Args:
        cuts: the cut of each row.
        columns: number of columns.
        footer: whether the picture has a footer.
        captions: the rows with a line of text above them.
    """
    width = Sheet((1, 1), columns, ()).column_width
    largest_height = max(cut.size[0] for cut in cuts)
    scale = min(width / max(cut.size[1] for cut in cuts), 1.45 * width / largest_height)
    rows = tuple(max(0.8, cut.size[0] * scale) for cut in cuts)
    below = _LEGENDS + (_FOOTER if footer else 0.0)
    height = Sheet((1, 1), columns, rows, captions)._below_slices + below
    return Sheet((_WIDTH, height), columns, rows, captions)
