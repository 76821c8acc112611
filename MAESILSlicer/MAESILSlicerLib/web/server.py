"""Serves the page until ctrl-C: who may come in, which addresses there are, and that nothing stays behind."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.web.options import AppOptions


class ServerError(MaesilError):
    """The page cannot be served."""


def serveApp(options: AppOptions, say: Callable[[str], None]) -> None:
    """Serve the page until somebody stops it.

    Args:
        options: what was asked for.
        say: tells the address, once it can be opened.

    Raises:
        MaesilError: the address cannot be used, or what was named cannot be read.
    """
    token = options.effectiveToken()
    options.checkDevice()
    _checkAddress(options)
    # trame would read the command line of `maesil`, and wslink greet on standard output.
    os.environ["TRAME_ARGS"] = ""
    os.environ["WSLINK_READY_MSG"] = ""
    from trame.app import get_server

    from MAESILSlicerLib.web.application import Application

    server = get_server("maesil", client_type="vue3")
    folder = Path(tempfile.mkdtemp(prefix="maesil-app-"))
    application = None
    try:
        application = Application(server, options, folder)
        server.controller.on_server_bind.add(
            lambda wslink: _addRoutes(wslink.app, application, token, options.isLocal)
        )
        server.controller.on_server_ready.add(
            lambda **_: _onReady(server.port, application, options, token, say)
        )
        server.start(
            port=options.port,
            host=options.host,
            open_browser=False,
            show_connection_info=False,
            disable_logging=True,
            timeout=0,
        )
    except KeyboardInterrupt:
        # Before the server runs, ctrl-C arrives like this; afterwards the server ends by itself.
        pass
    finally:
        if application is not None:
            application.close()
        shutil.rmtree(folder, ignore_errors=True)


def _addRoutes(app: object, application: object, token: str | None, isLocal: bool) -> None:
    from MAESILSlicerLib.web.guard import makeGuard

    app.middlewares.append(makeGuard(token, isLocal))
    app.router.add_post("/upload", application.uploads.receive)
    app.router.add_get("/results/{name}", application.downloads.sendResult)
    app.router.add_get("/screenshot.png", application.downloads.sendScreenshot)
    app.router.add_get("/loading.tpl", _sendLoading)
    app.router.add_post("/paraview/", _sendSession)


async def _sendLoading(_request: object) -> object:
    """What is seen until the page has come."""
    from aiohttp import web

    from MAESILSlicerLib.web.application import STATIC

    return web.Response(text=(STATIC / "loading.html").read_text(encoding="utf-8"), content_type="text/html")


async def _sendSession(request: object) -> object:
    """Tell trame's client, which asks for a launcher of sessions first, that this one server is all there is."""
    from aiohttp import web

    scheme = "wss" if request.headers.get("X-Forwarded-Proto", request.scheme) == "https" else "ws"
    return web.json_response({"sessionURL": f"{scheme}://{request.host}/ws"})


def _onReady(
    port: int, application: object, options: AppOptions, token: str | None, say: Callable[[str], None]
) -> None:
    # Whoever listens at all addresses wants others to come, who know this machine by its name.
    shown = socket.gethostname() if options.host in ("0.0.0.0", "::") else options.host
    bracketed = f"[{shown}]" if ":" in shown else shown
    address = f"http://{bracketed}:{port}/" + (f"?token={token}" if token else "")
    say(address)
    application.start()
    if options.openBrowser:
        # A browser may take long to start, or stay in front of the terminal.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _checkAddress(options: AppOptions) -> None:
    """Find out now whether the address can be listened at, before seconds are spent on the scene."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((options.host, options.port))
        except (OSError, OverflowError) as error:
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                message = f"Port {options.port} of {options.host} is in use already; choose another one with --port."
            else:
                reason = getattr(error, "strerror", None) or error
                message = f"The address {options.host}:{options.port} cannot be used ({reason})."
            raise ServerError(message) from error
