"""Lets tabs in: answers their wish to own or to watch the page, and holds the server to it."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, web
from wslink import register
from wslink.websocket import LinkProtocol

from MAESILSlicerLib.web.access import OWNER, WATCHER, Access

if TYPE_CHECKING:
    from trame_server import Server
    from wslink.backends.aiohttp import AioHttpWsHandler, WebAppServer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Closes the websocket of a tab whose seat another one has; `gate/connection.js` knows it.
TAKEN_CODE = 4001
LOOK = "look"
_TAB = re.compile(r"[A-Za-z0-9_-]{20,80}")
#: What a watcher may call: all of it only reads.
_FOR_WATCHERS = {"maesil.alive", "trame.error.client", "trame.lifecycle.update", "trame.state.get"}
_FAREWELL_SECONDS = 1.0
_STATE_UPDATE, _SIZE = "trame.state.update", "trame.rca.size"


class Admission:
    """Wires `Access` to the requests and websockets of the server.

    The state tells the page how many `watchers` there are, and whether it `has_owner`.

    Args:
        server: trame's.
        redraw: has the views that are shown drawn and sent again.
    """

    def __init__(self, server: Server, redraw: Callable[[], None]) -> None:
        self._server, self._redraw = server, redraw
        self._handler: AioHttpWsHandler | None = None
        self._webServer: WebAppServer | None = None
        self._ownersClient = ""
        self._timer: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._isEnding = False
        # Tells a page that the server was started anew, so that it reloads.
        self._start = secrets.token_hex(8)
        self.access = Access(self._close, self._tell)
        server.state.update({"watchers": 0, "has_owner": False})
        server.add_protocol_to_configure(lambda protocol: protocol.registerLinkProtocol(_Door(self.access)))

    def bind(self, webServer: WebAppServer) -> None:
        """Check each call of a websocket, once wslink's server is made."""
        self._webServer = webServer
        # wslink has no public name for the one endpoint that trame makes.
        (self._handler,) = webServer._ws_handlers
        methods = self._handler.functionMap
        for name, (target, function) in list(methods.items()):
            methods[name] = (target, self._checked(name, function))

    async def enter(self, request: web.Request) -> web.Response:
        """Answer `POST /enter`, JSON `{"tab": id, "wish": "owner" | "watcher" | "look" | null}`.

        The answer has the `role` of the tab or null, whether the page `is_free` or the owner `is_leaving`, and the
        `start` of the server.

        Raises:
            HTTPServiceUnavailable: the server ends, and a websocket would break off.
            HTTPBadRequest: the request makes no sense.
        """
        if self._isEnding:
            raise web.HTTPServiceUnavailable(text="MAESIL is being ended.")
        tab, wish = await _askedOf(request)
        role = self.access.roleOfTab(tab) if wish == LOOK else self.access.enter(tab, wish)
        return web.json_response(
            {
                "role": role,
                "is_free": self.access.isFree,
                "is_leaving": self.access.isLeaving,
                "start": self._start,
            },
            headers={"Cache-Control": "no-store"},
        )

    def isOwners(self, request: web.Request) -> bool:
        """Whether the tab that a request names as `?tab=` owns the page."""
        return self.access.roleOfTab(request.query.get("tab", "")) == OWNER

    def ownersOnly(self, handler: Handler) -> Handler:
        """Let only the tab that owns the page have an answer."""

        async def checked(request: web.Request) -> web.StreamResponse:
            if not self.isOwners(request):
                return web.Response(
                    status=403, text="Only the browser tab that has taken the page over can do this."
                )
            return await handler(request)

        return checked

    def _checked(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        """Let the owner call a method of a websocket; a watcher's call is ignored unless it only reads."""

        def call(target: object, *arguments: object, **keywords: object) -> object:
            client = self._webServer.last_active_client_id
            if self.access.roleOf(client) == OWNER:
                self._ownersClient = client
                return function(target, *arguments, **keywords)
            # trame sends changes to all but this one, a moment later: a watcher's call must not come in between.
            self._webServer.last_active_client_id = self._ownersClient
            if name in _FOR_WATCHERS:
                return function(target, *arguments, **keywords)
            if name == _SIZE:
                # The size stays the owner's, but somebody who has just come needs pictures.
                self._redraw()
            elif name == _STATE_UPDATE:
                self._takeBack(client, *arguments)
            return None

        return call

    def _takeBack(self, client: str, changes: object) -> None:
        """Send a watcher the values that it has changed on its own page only."""
        state = self._server.state.to_dict()
        keys = [change.get("key") for change in changes] if isinstance(changes, list) else []
        values = {key: state[key] for key in keys if key in state}
        if values:
            self._handler.publish("trame.state.topic", values, client_id=client)

    def _close(self, client: str) -> None:
        """Send nothing more to a websocket, and close it."""
        self._handler.authentified_client_ids.discard(client)
        connection = self._handler.connections.get(client)
        if connection is not None:
            task = asyncio.get_running_loop().create_task(
                self._closeLast(connection, TAKEN_CODE, b"taken over")
            )
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def end(self, **_state: object) -> None:
        """Tell all pages that the server ends, as trame's task; a page that does not answer is not waited for."""
        self._isEnding = True
        self._handler.authentified_client_ids.clear()
        closing = [
            self._closeLast(connection, WSCloseCode.GOING_AWAY, b"ended")
            for connection in self._handler.connections.values()
        ]
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*closing, return_exceptions=True), _FAREWELL_SECONDS)

    async def _closeLast(self, connection: web.WebSocketResponse, code: int, message: bytes) -> None:
        # What is being sent holds this lock, or waits for it: a browser takes data after the end for an error.
        async with self._handler.attachment_atomic:
            pass
        await connection.close(code=code, message=message)

    def _tell(self) -> None:
        """Write who is here into the state, and look again when a seat lapses."""
        with self._server.state as state:
            state.watchers, state.has_owner = self.access.watching, not self.access.isFree
        if self._timer is not None:
            self._timer.cancel()
        seconds = self.access.nextLapse
        loop = asyncio.get_running_loop()
        self._timer = None if seconds is None else loop.call_later(seconds + 0.05, self.access.refresh)


class _Door(LinkProtocol):
    """The part of wslink's protocol that says which websockets are let in.

    Args:
        access: who has a seat.
    """

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access = access

    async def validateToken(self, tab: object, client: str) -> bool:
        """Called by wslink with what a websocket says first; it sees and does nothing unless this is true."""
        return isinstance(tab, str) and self._access.connect(tab, client)

    def onClose(self, client: str) -> None:
        """Called by wslink."""
        self._access.disconnect(client)

    @register("maesil.alive")
    def alive(self) -> bool:
        """Called by the page, which learns that its connection still works."""
        return True


async def _askedOf(request: web.Request) -> tuple[str, str | None]:
    """The id of the tab, and what it wishes.

    Raises:
        HTTPBadRequest: the request makes no sense.
    """
    try:
        asked = await request.json()
        tab, wish = asked["tab"], asked["wish"]
    except (ValueError, TypeError, KeyError):
        tab, wish = None, None
    if not isinstance(tab, str) or not _TAB.fullmatch(tab) or wish not in (OWNER, WATCHER, LOOK, None):
        raise web.HTTPBadRequest(text="The request names no browser tab, or no wish.")
    return tab, wish
