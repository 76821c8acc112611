"""Dragging a slider asks for more than can be drawn: only the latest wish counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trame_server.state import State

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.web.notice import Notice

#: Long enough for what has piled up in the socket to be read, too short to be seen.
_GATHER_SECONDS = 0.008


class Latest:
    """Carries an action out once for all calls that come close together, and tells what goes wrong until it goes well.

    Args:
        state: is sent to the page afterwards.
        notice: where a MaesilError's sentence goes.
        action: takes its arguments from the state, so that it sees the latest.
    """

    def __init__(self, state: State, notice: Notice, action: Callable[[], None]) -> None:
        self._state, self._notice, self._action = state, notice, action
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, *_arguments: object, **_state: object) -> None:
        """Ask for the action; also as a listener of the state."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._run)

    def _run(self) -> None:
        self._timer = None
        with self._state:
            try:
                self._action()
                self._notice.settled(self)
            except MaesilError as error:
                self._notice.tellError(error, about=self)
