"""Access to the page: one owner, who can change it, and any number of watchers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

OWNER, WATCHER = "owner", "watcher"

#: Timeout of a seat whose connection was closed; a reload or a short network failure takes less.
GRACE_SECONDS = 5.0
#: Timeout of a seat whose tab is still loading the page.
ARRIVAL_SECONDS = 20.0


@dataclass
class _Seat:
    """The seat of one tab.

    Attributes:
        tab: id of the tab.
        client: id of its websocket; None while there is none.
        until: time (seconds of the clock) at which the seat lapses without a websocket.
        hasArrived: whether the tab has ever had a websocket.
    """

    tab: str
    until: float
    client: str | None = None
    hasArrived: bool = False


class Access:
    """Gives the page to one tab at a time. Tabs choose their own id; the server chooses those of websockets.

    Args:
        close: called with the id of a websocket whose tab has lost its seat.
        changed: called after each change of the seats.
        clock: returns the time in seconds.
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
        """Whether the page has no owner."""
        self._lapse()
        return self._owner is None

    @property
    def isLeaving(self) -> bool:
        """Whether the owner's connection is closed, so that the page may soon be free."""
        self._lapse()
        return self._owner is not None and self._owner.hasArrived and self._owner.client is None

    @property
    def watching(self) -> int:
        """The number of watching tabs."""
        return sum(seat.client is not None for seat in self._watchers.values())

    @property
    def nextLapse(self) -> float | None:
        """Seconds until the next seat lapses; None if all seats have a connection."""
        seats = [*self._watchers.values(), *([self._owner] if self._owner else [])]
        waiting = [seat.until for seat in seats if seat.client is None]
        return max(0.0, min(waiting) - self._clock()) if waiting else None

    def enter(self, tab: str, wish: str | None = None) -> str | None:
        """Give a seat to a tab.

        Args:
            tab: id of the tab.
            wish: `OWNER` takes the page over, `WATCHER` watches; None requests the tab's existing seat, or the page if
                it is free.

        Returns:
            `OWNER` or `WATCHER`; None if the page is in use and the tab has no seat.
        """
        self._lapse()
        role = wish or self.roleOfTab(tab) or (OWNER if self._owner is None else None)
        if role is None:
            return None
        # An existing seat is renewed; a tab that changes its role keeps its connection.
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
        """Register a tab's websocket and close its previous one; return whether the tab has a seat."""
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
        """Unregister a closed websocket; its seat is kept for `GRACE_SECONDS`."""
        seat = self._seatOfClient(client)
        if seat is not None:
            seat.client, seat.until = None, self._clock() + GRACE_SECONDS
            self._changed()

    def refresh(self) -> None:
        """Remove lapsed seats."""
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
