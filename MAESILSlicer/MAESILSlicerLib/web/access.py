"""Who has the page: one owner, who can change it, and any number of watchers, who see it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

OWNER, WATCHER = "owner", "watcher"

#: How long a seat is kept for a tab whose connection is closed: a reload and a short loss of the network take less.
GRACE_SECONDS = 5.0
#: How long a seat is kept for a tab that still loads the page.
ARRIVAL_SECONDS = 20.0


@dataclass
class _Seat:
    """The place of one tab.

    Attributes:
        tab: its id.
        client: id of its websocket; None while there is none.
        until: when the seat lapses unless a websocket is opened, in seconds of the clock.
        hasArrived: whether the tab has had a websocket.
    """

    tab: str
    until: float
    client: str | None = None
    hasArrived: bool = False


class Access:
    """Gives the page to one tab at a time. A tab is known by the id that it keeps, a websocket by the server's.

    Args:
        close: called with the id of a websocket whose tab has lost its seat.
        changed: called after each change of who is here.
        clock: in seconds.
    """

    def __init__(
        self,
        close: Callable[[str], None],
        changed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._close, self._changed, self._clock = close, changed, clock
        self._owner: _Seat | None = None
        self._watchers: dict[str, _Seat] = {}

    @property
    def isFree(self) -> bool:
        """Whether nobody owns the page."""
        self._lapse()
        return self._owner is None

    @property
    def isLeaving(self) -> bool:
        """Whether the owner's connection has been closed, so that the page may be free in a moment."""
        self._lapse()
        return self._owner is not None and self._owner.hasArrived and self._owner.client is None

    @property
    def watching(self) -> int:
        """The number of tabs that watch now."""
        return sum(seat.client is not None for seat in self._watchers.values())

    @property
    def nextLapse(self) -> float | None:
        """Seconds until a seat lapses; None if all seats have a connection."""
        seats = [*self._watchers.values(), *([self._owner] if self._owner else [])]
        waiting = [seat.until for seat in seats if seat.client is None]
        return max(0.0, min(waiting) - self._clock()) if waiting else None

    def enter(self, tab: str, wish: str | None = None) -> str | None:
        """Give a seat to a tab.

        Args:
            tab: its id.
            wish: `OWNER` takes the page over, `WATCHER` watches; None asks for the seat that the tab has, or for the
                page if it is free.

        Returns:
            `OWNER` or `WATCHER`; None if the page is in use and the tab has no seat.
        """
        self._lapse()
        role = wish or self.roleOfTab(tab) or (OWNER if self._owner is None else None)
        if role is None:
            return None
        # A seat that is kept is kept anew; a tab that changes its role keeps its connection.
        seat = self._seatOf(tab) or _Seat(tab, 0.0)
        seat.until = self._clock() + ARRIVAL_SECONDS
        previous = self._owner
        self._watchers.pop(tab, None)
        if role == OWNER:
            self._owner = seat
            if previous is not None and previous is not seat and previous.client is not None:
                self._close(previous.client)
        else:
            self._watchers[tab] = seat
            if previous is seat:
                self._owner = None
        self._changed()
        return role

    def connect(self, tab: str, client: str) -> bool:
        """Note the websocket of a tab; whether the tab has a seat. A websocket that the tab had before is closed."""
        self._lapse()
        seat = self._seatOf(tab)
        if seat is None:
            return False
        previous, seat.client, seat.hasArrived = seat.client, client, True
        if previous is not None and previous != client:
            self._close(previous)
        self._changed()
        return True

    def disconnect(self, client: str) -> None:
        """Note that a websocket is closed; its seat is kept for a moment."""
        seat = self._seatOfClient(client)
        if seat is not None:
            seat.client, seat.until = None, self._clock() + GRACE_SECONDS
            self._changed()

    def refresh(self) -> None:
        """Take away the seats that have lapsed."""
        self._lapse()
        self._changed()

    def roleOfTab(self, tab: str) -> str | None:
        """`OWNER`, `WATCHER`, or None if the tab has no seat."""
        self._lapse()
        if self._owner is not None and self._owner.tab == tab:
            return OWNER
        return WATCHER if tab in self._watchers else None

    def roleOf(self, client: str) -> str | None:
        """`OWNER`, `WATCHER`, or None if the websocket's tab has no seat."""
        seat = self._seatOfClient(client)
        return None if seat is None else self.roleOfTab(seat.tab)

    def _seatOf(self, tab: str) -> _Seat | None:
        return self._owner if self.roleOfTab(tab) == OWNER else self._watchers.get(tab)

    def _seatOfClient(self, client: str) -> _Seat | None:
        seats = [*([self._owner] if self._owner else []), *self._watchers.values()]
        return next((seat for seat in seats if seat.client == client), None)

    def _lapse(self) -> None:
        now = self._clock()
        if self._owner is not None and self._owner.client is None and self._owner.until <= now:
            self._owner = None
        self._watchers = {
            tab: seat for tab, seat in self._watchers.items() if seat.client is not None or seat.until > now
        }
