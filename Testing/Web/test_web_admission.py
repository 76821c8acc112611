"""How the server parts with its pages."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

pytest.importorskip("wslink", reason="the page needs the 'web' extra")

from MAESILSlicerLib.web.admission import Admission


class Connection:
    """A websocket that remembers in which order it was written to."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def close(self, *, code: int, message: bytes) -> None:
        """Called by the server."""
        self.sent.append(f"close {code}: {message.decode()}")


def make_admission(handler: object) -> Admission:
    """An admission whose server has one endpoint."""
    server = SimpleNamespace(state={}, add_protocol_to_configure=lambda _function: None)
    admission = Admission(server, redraw=lambda: None)
    admission.bind(SimpleNamespace(_ws_handlers=[handler]))
    return admission


def test_the_end_comes_after_what_is_being_sent() -> None:
    async def scenario() -> tuple[list[str], set[str]]:
        connection = Connection()
        handler = SimpleNamespace(
            functionMap={},
            attachment_atomic=asyncio.Lock(),
            authentified_client_ids={"a page"},
            connections={"a page": connection},
        )

        async def send_picture(name: str) -> None:
            async with handler.attachment_atomic:
                # As a large picture is packed by another thread.
                await asyncio.sleep(0.01)
                connection.sent.append(name)

        first = asyncio.create_task(send_picture("first picture"))
        second = asyncio.create_task(send_picture("second picture"))
        await asyncio.sleep(0)
        await make_admission(handler).end()
        await asyncio.gather(first, second)
        return connection.sent, handler.authentified_client_ids

    sent, let_in = asyncio.run(scenario())

    assert sent == ["first picture", "second picture", "close 1001: ended"]
    assert let_in == set(), "nothing more may be sent"


def test_nobody_is_let_in_while_the_server_ends() -> None:
    from aiohttp import web

    async def scenario() -> None:
        handler = SimpleNamespace(functionMap={}, authentified_client_ids=set(), connections={})
        admission = make_admission(handler)
        await admission.end()
        # A page whose websocket was closed asks at once.
        with pytest.raises(web.HTTPServiceUnavailable):
            await admission.enter(SimpleNamespace())

    asyncio.run(scenario())


def test_a_page_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("MAESILSlicerLib.web.admission._FAREWELL_SECONDS", 0.01)

    async def scenario() -> None:
        handler = SimpleNamespace(
            functionMap={},
            attachment_atomic=asyncio.Lock(),
            authentified_client_ids=set(),
            connections={"a page": Connection()},
        )
        async with handler.attachment_atomic:
            await make_admission(handler).end()

    asyncio.run(scenario())
