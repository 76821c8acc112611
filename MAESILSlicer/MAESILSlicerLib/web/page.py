"""What every section of the page works on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from MAESILSlicerLib.session.session import Session
from MAESILSlicerLib.web.latest import Latest
from MAESILSlicerLib.web.notice import Notice

if TYPE_CHECKING:
    from trame_server import Server


class Page:
    """The state that the browser shows, and the session behind it; sections do not know one another.

    Args:
        server: trame's.
        session: the work on the shown scan.

    Attributes:
        server: trame's.
        state: of the page.
        session: the work on the shown scan.
        notice: the page's line for messages.
    """

    def __init__(self, server: Server, session: Session) -> None:
        self.server, self.state, self.session = server, server.state, session
        self.notice = Notice(self.state)

    def latest(self, action: Callable[[], None]) -> Latest:
        """See `Latest`."""
        return Latest(self.state, self.notice, action)

    def onTrigger(self, name: str, action: Callable[..., object]) -> None:
        """Have the page call `action` by a name."""
        self.server.trigger(name)(action)
