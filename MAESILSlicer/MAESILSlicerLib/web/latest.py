"""Debounces actions: a dragged slider requests more than can be drawn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trame_server.state import State

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.web.notice import Notice

#: Long enough to read the pending messages of the socket, too short to be noticed.
_GATHER_SECONDS = 0.002


class Latest:
    """Runs an action once for all calls within a short time, and shows its error until it succeeds.

    Args:
        state: the page's state, sent afterwards.
        notice: shows the sentence of a MaesilError.
        action: reads its arguments from the state, so that it uses the latest values.
    """

    def __init__(self, state: State, notice: Notice, action: Callable[[], None]) -> None:
        self._state, self._notice, self._action = state, notice, action
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, *_arguments: object, **_state: object) -> None:
        """Schedule the action; also a listener of the state."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._run)

    def _run(self) -> None:
        self._timer = None
        with self._state:
            try:
                self._action()
                self._notice.settled(self)
            except MaesilError as error:
                self._notice.showError(error, about=self)
