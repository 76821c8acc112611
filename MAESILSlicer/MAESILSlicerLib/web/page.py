"""The objects shared by all sections of the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.session.session import Session
from MAESILSlicerLib.web.latest import Latest
from MAESILSlicerLib.web.notice import Notice

if TYPE_CHECKING:
    from trame_server import Server


class Page:
    """The page's state and session. Sections share this object and do not depend on one another.

    Args:
        server: the trame server.
        session: the session of the shown scan.

    Attributes:
        server: as given.
        state: the page's state.
        session: as given.
        notice: the page's message line.
    """

    def __init__(self, server: Server, session: Session) -> None:
        self.server, self.state, self.session = server, server.state, session
        self.notice = Notice(self.state)

    def latest(self, action: Callable[[], None]) -> Latest:
        """A debounced `action`; see `Latest`."""
        return Latest(self.state, self.notice, action)

    def action(self, act: Callable[[], None]) -> Callable[[], None]:
        """An action of the page, which shows its error."""

        def acting() -> None:
            with self.state:
                try:
                    self.notice.clear()
                    act()
                except (MaesilError, OSError) as error:
                    self.notice.showError(error)

        return acting

    def onTrigger(self, name: str, action: Callable[..., object]) -> None:
        """Register `action` under the name by which the page triggers it."""
        self.server.trigger(name)(action)
