"""Serves the page until Ctrl-C: access control, routes and cleanup."""

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
    """Serve the page until Ctrl-C.

    Args:
        options: the options of `maesil app`.
        say: called with messages, such as the page's address once it can be opened.

    Raises:
        MaesilError: the address cannot be used, or a scan or model in the options cannot be read.
    """
    token = options.effectiveToken()
    options.publicAddress()
    options.checkDevice()
    _checkAddress(options)
    # Otherwise trame parses the command line of `maesil`, and wslink prints to standard output.
    os.environ["TRAME_ARGS"] = ""
    os.environ["WSLINK_READY_MSG"] = ""
    # Most of what is sent are JPEG pictures, which would be compressed a second time, for milliseconds each.
    os.environ["WSLINK_WS_COMPRESS"] = "0"
    from trame.app import get_server

    from MAESILSlicerLib.web.application import Application

    server = get_server("maesil", client_type="vue3")
    folder = Path(tempfile.mkdtemp(prefix="maesil-app-"))
    application = None
    try:
        application = Application(server, options, folder)
        server.controller.on_server_bind.add(
            lambda webServer: _addRoutes(webServer, application, token, options)
        )
        server.controller.on_server_ready.add(
            lambda **_: _onReady(server.port, application, options, token, say)
        )
        server.controller.on_server_exited.add_task(application.admission.end)
        server.start(
            port=options.port,
            host=options.host,
            open_browser=False,
            show_connection_info=False,
            disable_logging=True,
            timeout=0,
        )
    except KeyboardInterrupt:
        # Before the server runs, Ctrl-C raises here; afterwards the server handles it.
        pass
    finally:
        if application is not None:
            application.close()
        shutil.rmtree(folder, ignore_errors=True)


def _addRoutes(webServer: object, application: object, token: str | None, options: AppOptions) -> None:
    from MAESILSlicerLib.web.guard import makeGuard
    from MAESILSlicerLib.web.index import makeIndex

    app, admission = webServer.app, application.admission
    admission.bind(webServer)
    app.middlewares.append(makeGuard(token, options.isLocal, options.publicAddress()))
    app.router.add_get("/index.html", makeIndex())
    app.router.add_post("/enter", admission.enter)
    app.router.add_post("/upload", admission.ownersOnly(application.uploads.receive))
    app.router.add_post("/labels", admission.ownersOnly(application.labels.receive))
    app.router.add_post("/outlines", admission.ownersOnly(application.outlines.receive))
    app.router.add_get(
        "/segmentation.seg.nrrd", admission.ownersOnly(application.learning.applying.sendResult)
    )
    app.router.add_get("/results/{name}", admission.ownersOnly(application.downloads.sendResult))
    app.router.add_get("/screenshot.png", admission.ownersOnly(application.downloads.sendScreenshot))


def _onReady(
    port: int, application: object, options: AppOptions, token: str | None, say: Callable[[str], None]
) -> None:
    public = options.publicAddress()
    if public is not None:
        address = public.text
    else:
        # A server on all addresses is opened from other machines, by this machine's name.
        shown = socket.gethostname() if options.host in ("0.0.0.0", "::") else options.host
        bracketed = f"[{shown}]" if ":" in shown else shown
        address = f"http://{bracketed}:{port}/"
    address += f"?token={token}" if token else ""
    say(address)
    application.start()
    if options.openBrowser:
        # A browser may start slowly or block the terminal.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _checkAddress(options: AppOptions) -> None:
    """Check that the address is usable, before the slow setup of the scene."""
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
