"""Who may talk to the server: asked of every request, files and websocket alike, before anything is answered."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from MAESILSlicerLib.web.publicaddress import PublicAddress

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
    token: str | None, isLocal: bool, public: PublicAddress | None = None
) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
    """An aiohttp middleware that lets a request pass, or answers it with one sentence.

    The token comes once, in the address (`?token=...`), and from then on as a cookie.

    Args:
        token: what to ask for; None asks for nothing.
        isLocal: whether the server listens to this machine alone. A page of another site that has its own name point
            to this machine is then turned away by that name.
        public: where browsers find the page behind a reverse proxy. Its name and origin are let in, too, and cookies
            are for its path. `X-Forwarded-*` headers are not believed, as anybody can send them.
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
    """Refuse a request for a host that is not one of the `names`, and one of a page of another site."""
    try:
        host = urlsplit(f"//{request.host}")
        origin = urlsplit(request.headers.get("Origin", f"//{host.netloc}"))
    except ValueError:
        return web.Response(status=400, text="The host or the origin of this request is no address.")
    if names is not None and host.hostname not in names:
        answered = "localhost" if public is None else f"localhost and {public.host}"
        return web.Response(status=421, text=f"This server answers to {answered} alone.")
    # A proxy may pass on the name that the browser asked for, or put this server's in its place.
    isPublic = public is not None and f"{origin.scheme}://{origin.netloc}" == public.origin
    if origin.netloc != host.netloc and not isPublic:
        return web.Response(status=403, text="This request comes from a page of another site.")
    return None


class _Cookie:
    """Holds a trace of the token, so that the cookie does not tell it; its name differs between two servers.

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
        """Whether the browser has been here before, and knew the token."""
        return _isSame(request.cookies.get(self._name, ""), self._value)

    def putInto(self, response: web.Response) -> None:
        """Have the browser keep it, until it is closed."""
        response.set_cookie(
            self._name,
            self._value,
            httponly=True,
            samesite="Strict",
            path=self._path,
            secure=self._isSecure,
        )


def _isSame(given: str, expected: str) -> bool:
    # What a header brings need not be text.
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _welcome(request: web.Request, cookie: _Cookie) -> web.Response:
    """Send the browser to the same place without the token, which would stay in its history."""
    query = [(key, value) for key, value in request.query.items() if key != "token"]
    # Relative, since a proxy may have taken a prefix off the path; one name alone cannot lead to another host.
    place = "./" + request.rel_url.raw_path.rpartition("/")[2] + (f"?{urlencode(query)}" if query else "")
    response = web.Response(status=302, headers={"Location": place, **_HEADERS})
    cookie.putInto(response)
    return response
