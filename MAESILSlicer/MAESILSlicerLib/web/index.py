"""The first document of the page: it requests a seat before it loads trame's client."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from html.parser import HTMLParser
from pathlib import Path
from string import Template

from aiohttp import web

STATIC = Path(__file__).with_name("static")


def makeIndex() -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler of `GET /index.html`, with the scripts and styles of trame's own document."""
    from trame_client.module import vue3

    client = _Client((Path(vue3.www) / "index.html").read_text(encoding="utf-8"))
    page = Template((STATIC / "index.html").read_text(encoding="utf-8")).substitute(
        scripts=json.dumps(client.scripts),
        styles="\n    ".join(f'<link rel="stylesheet" href="{style}">' for style in client.styles),
    )

    async def send(_request: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html", headers={"Cache-Control": "no-cache"})

    return send


class _Client(HTMLParser):
    """The scripts (address, and whether it is a module) and styles of trame's client, in order."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.scripts: list[tuple[str, bool]] = []
        self.styles: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser."""
        given = dict(attrs)
        if tag == "script" and given.get("src"):
            self.scripts.append((given["src"], given.get("type") == "module"))
        if tag == "link" and given.get("rel") == "stylesheet":
            self.styles.append(given["href"])
