"""The page's message line."""

from __future__ import annotations

from trame_server.state import State


class Notice:
    """Writes to the state `notice` (the sentence) and `notice_kind` ("info" or "error").

    Args:
        state: of the page.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self.clear()

    def show(self, sentence: str) -> None:
        """Show a message."""
        self._about: object = None
        self._state.notice, self._state.notice_kind = sentence, "info"

    def showError(self, problem: object, about: object = None) -> None:
        """Show an error until the next message, or until `settled` is called with the same `about`."""
        self._about = about
        self._state.notice, self._state.notice_kind = str(problem), "error"

    def settled(self, about: object) -> None:
        """Clear the error about this object."""
        if self._about is about:
            self.clear()

    def clear(self) -> None:
        """Clear the line."""
        self.show("")
