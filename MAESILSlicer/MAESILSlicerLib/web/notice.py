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
        self._state.notice, self._state.notice_kind = sentence, "info"

    def tellError(self, problem: object) -> None:
        """Say what went wrong; it stays until something else happens."""
        self._state.notice, self._state.notice_kind = str(problem), "error"

    def clear(self) -> None:
        """Say nothing."""
        self.tell("")
