"""Admits tabs as owner or watcher and enforces their rights on requests and websockets."""

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

#: Close code of a websocket whose tab has lost its seat; `gate/connection.js` handles it.
TAKEN_CODE = 4001
LOOK = "look"
_TAB = re.compile(r"[A-Za-z0-9_-]{20,80}")
#: The methods that a watcher may call; all are read-only.
_FOR_WATCHERS = {"maesil.alive", "trame.error.client", "trame.lifecycle.update", "trame.state.get"}
_FAREWELL_SECONDS = 1.0
_STATE_UPDATE, _SIZE = "trame.state.update", "trame.rca.size"


class Admission:
    """Connects `Access` to the requests and websockets of the server.

    The state holds the number of `watchers` and whether the page `has_owner`.

    Args:
        server: trame's.
        redraw: renders and sends the shown views again.
    """

    def __init__(self, server: Server, redraw: Callable[[], None]) -> None:
        self._server, self._redraw = server, redraw
        self._handler: AioHttpWsHandler | None = None
        self._webServer: WebAppServer | None = None
        self._ownersClient = ""
        self._timer: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._isEnding = False
        # A page reloads when this value changes, that is, after a restart of the server.
        self._start = secrets.token_hex(8)
        self.access = Access(self._close, self._onSeats)
        server.state.update({"watchers": 0, "has_owner": False})
        server.add_protocol_to_configure(lambda protocol: protocol.registerLinkProtocol(_Door(self.access)))

    def bind(self, webServer: WebAppServer) -> None:
        """Check each call of a websocket; requires wslink's server."""
        self._webServer = webServer
        # wslink has no public name for the one endpoint that trame creates.
        (self._handler,) = webServer._ws_handlers
        methods = self._handler.functionMap
        for name, (target, function) in list(methods.items()):
            methods[name] = (target, self._checked(name, function))

    async def enter(self, request: web.Request) -> web.Response:
        """Answer `POST /enter`, JSON `{"tab": id, "wish": "owner" | "watcher" | "look" | null}`.

        The answer has the tab's `role` or null, whether the page `is_free` or its owner `is_leaving`, and the server's
        `start` id.

        Raises:
            HTTPServiceUnavailable: the server is shutting down.
            HTTPBadRequest: the request is malformed.
        """
        if self._isEnding:
            raise web.HTTPServiceUnavailable(text="MAESIL is shutting down.")
        tab, wish = await _wishOf(request)
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
        """Whether the tab in a request's `?tab=` owns the page."""
        return self.access.roleOfTab(request.query.get("tab", "")) == OWNER

    def ownersOnly(self, handler: Handler) -> Handler:
        """Wrap a handler so that it answers only the owner's tab."""

        async def checked(request: web.Request) -> web.StreamResponse:
            if not self.isOwners(request):
                return web.Response(status=403, text="Only the browser tab that owns the page can do this.")
            return await handler(request)

        return checked

    def _checked(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        """Wrap a websocket method: a watcher's call is ignored unless the method is read-only."""

        def call(target: object, *arguments: object, **keywords: object) -> object:
            client = self._webServer.last_active_client_id
            if self.access.roleOf(client) == OWNER:
                self._ownersClient = client
                return function(target, *arguments, **keywords)
            # trame later sends changes to all clients but this one; a watcher's call must not replace it meanwhile.
            self._webServer.last_active_client_id = self._ownersClient
            if name in _FOR_WATCHERS:
                return function(target, *arguments, **keywords)
            if name == _SIZE:
                # The owner's size is kept, but a new watcher needs pictures.
                self._redraw()
            elif name == _STATE_UPDATE:
                self._takeBack(client, *arguments)
            return None

        return call

    def _takeBack(self, client: str, changes: object) -> None:
        """Reset the values that a watcher has changed on its own page."""
        state = self._server.state.to_dict()
        keys = [change.get("key") for change in changes] if isinstance(changes, list) else []
        values = {key: state[key] for key in keys if key in state}
        if values:
            self._handler.publish("trame.state.topic", values, client_id=client)

    def _close(self, client: str) -> None:
        """Stop sending to a websocket and close it."""
        self._handler.authentified_client_ids.discard(client)
        connection = self._handler.connections.get(client)
        if connection is not None:
            task = asyncio.get_running_loop().create_task(
                self._closeLast(connection, TAKEN_CODE, b"taken over")
            )
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def end(self, **_state: object) -> None:
        """Notify all pages of the shutdown, as trame's task, without waiting for answers."""
        self._isEnding = True
        self._handler.authentified_client_ids.clear()
        closing = [
            self._closeLast(connection, WSCloseCode.GOING_AWAY, b"ended")
            for connection in self._handler.connections.values()
        ]
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*closing, return_exceptions=True), _FAREWELL_SECONDS)

    async def _closeLast(self, connection: web.WebSocketResponse, code: int, message: bytes) -> None:
        # Pending sends hold this lock; a browser treats data after the close as an error.
        async with self._handler.attachment_atomic:
            pass
        await connection.close(code=code, message=message)

    def _onSeats(self) -> None:
        """Write owner and watchers into the state, and refresh when the next seat lapses."""
        with self._server.state as state:
            state.watchers, state.has_owner = self.access.watching, not self.access.isFree
        if self._timer is not None:
            self._timer.cancel()
        seconds = self.access.nextLapse
        loop = asyncio.get_running_loop()
        self._timer = None if seconds is None else loop.call_later(seconds + 0.05, self.access.refresh)


class _Door(LinkProtocol):
    """The part of wslink's protocol that admits websockets.

    Args:
        access: the seats.
    """

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access = access

    async def validateToken(self, tab: object, client: str) -> bool:
        """Called by wslink with a websocket's first message; without True it can neither read nor call."""
        return isinstance(tab, str) and self._access.connect(tab, client)

    def onClose(self, client: str) -> None:
        """Called by wslink."""
        self._access.disconnect(client)

    @register("maesil.alive")
    def alive(self) -> bool:
        """Called by the page as a heartbeat."""
        return True


async def _wishOf(request: web.Request) -> tuple[str, str | None]:
    """The tab's id and its wish.

    Raises:
        HTTPBadRequest: the request is malformed.
    """
    try:
        content = await request.json()
        tab, wish = content["tab"], content["wish"]
    except (ValueError, TypeError, KeyError):
        tab, wish = None, None
    if not isinstance(tab, str) or not _TAB.fullmatch(tab) or wish not in (OWNER, WATCHER, LOOK, None):
        raise web.HTTPBadRequest(text="The request needs the id of a browser tab and a valid wish.")
    return tab, wish
