"""The one line in which the page says what happened last."""

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

    def tell(self, sentence: str) -> None:
        """Say what happened."""
        self._about: object = None
        self._state.notice, self._state.notice_kind = sentence, "info"

    def tellError(self, problem: object, about: object = None) -> None:
        """Say what went wrong; it stays until something else happens, or until what it is `about` is `settled`."""
        self._about = about
        self._state.notice, self._state.notice_kind = str(problem), "error"

    def settled(self, about: object) -> None:
        """Take an error back, since what it was about is in order again."""
        if self._about is about:
            self.clear()

    def clear(self) -> None:
        """Say nothing."""
        self.tell("")
