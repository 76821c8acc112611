"""Who may talk to the server: asked of every request, files and websocket alike, before anything is answered."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode, urlsplit

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}

#: The page may load from here alone, so that no request leaves for another host. Vue compiles templates in the browser.
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' ws: wss:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def makeGuard(
    token: str | None, isLocal: bool
) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
    """An aiohttp middleware that lets a request pass, or answers it with one sentence.

    The token comes once, in the address (`?token=...`), and from then on as a cookie.

    Args:
        token: what to ask for; None asks for nothing.
        isLocal: whether the server listens to this machine alone. A page of another site that has its own name point
            to this machine is then turned away by that name.
    """
    cookie = None if token is None else _cookieOf(token)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = _refusalOfOrigin(request, isLocal)
        if refusal is None and token is not None and not _knows(request, cookie):
            if _isSame(request.query.get("token", ""), token):
                return _welcome(request, cookie)
            refusal = web.Response(
                status=401,
                text="The access token is missing or wrong; use the address that `maesil app` printed.",
            )
        if refusal is not None:
            refusal.headers.update(_HEADERS)
            return refusal
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(_HEADERS)
            raise
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    return guard


def _refusalOfOrigin(request: web.Request, isLocal: bool) -> web.Response | None:
    host = urlsplit(f"//{request.host}")
    if isLocal and host.hostname not in _LOCAL_NAMES:
        return web.Response(status=421, text="This server answers to localhost alone.")
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != host.netloc:
        return web.Response(status=403, text="This request comes from a page of another site.")
    return None


def _cookieOf(token: str) -> tuple[str, str]:
    """Name and value: a trace of the token, so that the cookie does not tell it, named so that two servers differ."""
    trace = hashlib.sha256(f"MAESIL {token}".encode()).hexdigest()
    return f"maesil_{trace[:8]}", trace


def _knows(request: web.Request, cookie: tuple[str, str]) -> bool:
    name, value = cookie
    return _isSame(request.cookies.get(name, ""), value)


def _isSame(given: str, expected: str) -> bool:
    # What a header brings need not be text.
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _welcome(request: web.Request, cookie: tuple[str, str]) -> web.Response:
    """Send the browser to the same place without the token, which would stay in its history."""
    query = [(key, value) for key, value in request.query.items() if key != "token"]
    # Slashes at the front would name another host.
    place = "/" + request.path.lstrip("/") + (f"?{urlencode(query)}" if query else "")
    response = web.Response(status=302, headers={"Location": place, **_HEADERS})
    name, value = cookie
    response.set_cookie(name, value, httponly=True, samesite="Strict", path="/")
    return response
