"""The status line for the latest message or problem."""

from __future__ import annotations

from types import SimpleNamespace

import qt

from MAESILSlicerLib.desktop.sentences import translated


class StatusRow:
    """A sentence with an icon, so that colour is not the only sign of a failure."""

    def __init__(self, ui: SimpleNamespace) -> None:
        self._label, self._icon = ui.statusLabel, ui.statusIcon
        self.show("")

    def show(self, sentence: str, failed: bool = False) -> None:
        """Show a sentence in the language of the application; an empty one hides the row."""
        sentence = translated(sentence)
        if self._label.text != sentence:
            self._label.setText(sentence)
        style = self._label.style()
        kind = qt.QStyle.SP_MessageBoxWarning if failed else qt.QStyle.SP_MessageBoxInformation
        size = self._label.fontMetrics().height()
        self._icon.setPixmap(style.standardIcon(kind).pixmap(size, size))
        self._icon.setAccessibleName("Warning" if failed else "Note")
        self._label.setVisible(bool(sentence))
        self._icon.setVisible(bool(sentence))
