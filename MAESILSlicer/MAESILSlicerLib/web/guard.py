"""Access control of every request, for files and the websocket."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from MAESILSlicerLib.web.publicaddress import PublicAddress

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}

#: Content security policy: only this host. `unsafe-eval` is needed because Vue compiles templates in the browser.
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
    token: str | None, isLocal: bool, public: PublicAddress | None = None
) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
    """An aiohttp middleware that passes a request on or refuses it with one sentence.

    The token is sent once in the address (`?token=...`), later as a cookie.

    Args:
        token: the required token; None requires none.
        isLocal: whether the server listens on this machine only. The host name is then checked as well, against DNS
            rebinding.
        public: the public address behind a reverse proxy. Its host and origin are accepted as well, and cookies are
            limited to its path. `X-Forwarded-*` headers are ignored, because any client can set them.
    """
    cookie = None if token is None else _Cookie(token, public)
    names = _LOCAL_NAMES | ({public.host.strip("[]")} if public else set())

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = _refusalOfOrigin(request, names if isLocal else None, public)
        if refusal is None and cookie is not None and not cookie.isIn(request):
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


def _refusalOfOrigin(
    request: web.Request, names: set[str] | None, public: PublicAddress | None
) -> web.Response | None:
    """Refuse a request with a host outside `names` or from a page of another site."""
    try:
        host = urlsplit(f"//{request.host}")
        origin = urlsplit(request.headers.get("Origin", f"//{host.netloc}"))
    except ValueError:
        return web.Response(status=400, text="The host or the origin of this request is not a valid address.")
    if names is not None and host.hostname not in names:
        answered = "localhost" if public is None else f"localhost and {public.host}"
        return web.Response(status=421, text=f"This server accepts requests for {answered} only.")
    # A proxy may keep the browser's host name or replace it by this server's.
    isPublic = public is not None and f"{origin.scheme}://{origin.netloc}" == public.origin
    if origin.netloc != host.netloc and not isPublic:
        return web.Response(status=403, text="This request comes from a page of another site.")
    return None


class _Cookie:
    """A cookie with a hash of the token; its name differs between servers.

    Args:
        token: the access token.
        public: see `makeGuard`.
    """

    def __init__(self, token: str, public: PublicAddress | None) -> None:
        self._value = hashlib.sha256(f"MAESIL {token}".encode()).hexdigest()
        self._name = f"maesil_{self._value[:8]}"
        self._path = "/" if public is None else public.path
        self._isSecure = public is not None and public.scheme == "https"

    def isIn(self, request: web.Request) -> bool:
        """Whether the request has a valid cookie."""
        return _isSame(request.cookies.get(self._name, ""), self._value)

    def putInto(self, response: web.Response) -> None:
        """Set the cookie for the browser session."""
        response.set_cookie(
            self._name,
            self._value,
            httponly=True,
            samesite="Strict",
            path=self._path,
            secure=self._isSecure,
        )


def _isSame(given: str, expected: str) -> bool:
    # A header may contain undecodable bytes.
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _welcome(request: web.Request, cookie: _Cookie) -> web.Response:
    """Redirect to the same address without the token, which would otherwise stay in the history."""
    query = [(key, value) for key, value in request.query.items() if key != "token"]
    # Relative, because a proxy may have removed a path prefix; a single name cannot lead to another host.
    place = "./" + request.rel_url.raw_path.rpartition("/")[2] + (f"?{urlencode(query)}" if query else "")
    response = web.Response(status=302, headers={"Location": place, **_HEADERS})
    cookie.putInto(response)
    return response
