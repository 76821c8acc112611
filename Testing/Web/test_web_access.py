"""Who may own the page, watch it, or wait; and where a reverse proxy may have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from MAESILSlicerLib.web.access import Access


class Here:
    """An `Access` with a clock that is turned by hand.

    Attributes:
        now: of the clock, in seconds.
        closed: websockets that were closed, in their order.
        access: under test.
    """

    def __init__(self) -> None:
        from MAESILSlicerLib.web.access import Access

        self.now, self.closed = 0.0, list[str]()
        self.access: Access = Access(self.closed.append, lambda: None, lambda: self.now)

    def come(self, tab: str, wish: str | None = None) -> str | None:
        """Enter and, if let in, connect a websocket that is called after the tab."""
        role = self.access.enter(tab, wish)
        assert self.access.connect(tab, f"{tab}'s") is (role is not None)
        return role


@pytest.fixture
def here() -> Here:
    return Here()


def test_the_first_owns_and_the_second_is_asked(here: Here) -> None:
    assert here.come("first") == "owner"
    assert here.come("second") is None
    assert (here.access.isFree, here.access.isLeaving, here.access.watching) == (False, False, 0)


def test_of_two_that_come_at_once_one_owns_before_it_has_connected(here: Here) -> None:
    assert here.access.enter("first") == "owner"
    assert here.access.enter("second") is None
    assert not here.access.isLeaving


def test_a_tab_that_never_connects_loses_its_seat(here: Here) -> None:
    here.access.enter("first")
    here.now = 19
    assert here.access.enter("second") is None
    here.now = 21
    assert here.access.connect("first", "late") is False
    assert here.access.enter("second") == "owner"


def test_a_takeover_closes_the_owner_and_gives_it_no_seat(here: Here) -> None:
    here.come("first")
    assert here.come("second", "owner") == "owner"
    assert here.closed == ["first's"]
    assert here.access.roleOf("first's") is None
    assert here.come("first") is None
    assert here.come("first", "owner") == "owner"
    assert here.closed == ["first's", "second's"]


def test_a_watcher_stays_a_watcher_when_the_owner_leaves(here: Here) -> None:
    here.come("first")
    assert here.come("second", "watcher") == "watcher"
    assert (here.access.roleOf("second's"), here.access.watching) == ("watcher", 1)
    here.access.disconnect("first's")
    here.now = 6
    assert here.access.isFree
    # A watcher that reloads does not get the page without asking for it.
    assert here.come("second") == "watcher"
    assert here.come("second", "owner") == "owner"
    assert here.access.watching == 0
    assert here.closed == []


def test_a_reload_or_a_short_loss_keeps_the_seat(here: Here) -> None:
    here.come("first")
    here.access.disconnect("first's")
    here.now = 4
    assert here.access.isLeaving
    assert here.access.enter("second") is None
    assert here.come("first") == "owner"
    here.now = 1000
    assert here.access.roleOf("first's") == "owner"


def test_an_owner_that_is_gone_frees_the_page(here: Here) -> None:
    here.come("first")
    here.access.disconnect("first's")
    assert here.access.nextLapse == 5
    here.now = 5
    assert here.come("second") == "owner"
    # Back again, the first one is asked as anybody is.
    assert here.come("first") is None
    assert here.closed == []


def test_a_copy_of_a_tab_takes_its_place(here: Here) -> None:
    here.access.enter("same")
    here.access.connect("same", "one")
    here.access.enter("same")
    here.access.connect("same", "two")
    assert here.closed == ["one"]
    here.access.disconnect("one")
    assert here.access.roleOf("two") == "owner"


@pytest.mark.parametrize(
    ("text", "origin", "path"),
    [
        ("https://host.example/maesil/", "https://host.example", "/maesil/"),
        ("https://Host.Example:443/maesil", "https://host.example", "/maesil/"),
        ("http://127.0.0.1:8081", "http://127.0.0.1:8081", "/"),
        ("http://[::1]:80/a/b", "http://[::1]", "/a/b/"),
    ],
)
def test_a_public_address_in_parts(text: str, origin: str, path: str) -> None:
    from MAESILSlicerLib.web.publicaddress import PublicAddress

    address = PublicAddress.parse(text)
    assert (address.origin, address.path, address.text) == (origin, path, origin + path)


@pytest.mark.parametrize(
    "text", ["", "host.example", "ftp://host/", "https://", "https://a@b/", "https://h/?a", "https://h/a;b"]
)
def test_what_is_no_address_is_one_sentence(text: str) -> None:
    from MAESILCore.errors import ConfigError
    from MAESILSlicerLib.web.publicaddress import PublicAddress

    with pytest.raises(ConfigError, match="cannot be used; give one such as https://"):
        PublicAddress.parse(text)


def test_a_proxy_asks_for_a_token_though_the_server_is_local() -> None:
    from MAESILSlicerLib.web.options import AppOptions

    assert AppOptions().effectiveToken() is None
    assert len(AppOptions(publicUrl="https://host.example/").effectiveToken() or "") > 30
