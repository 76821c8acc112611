"""The page behind nginx, at a prefix of another host name: with the lines that README gives."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from serving import REPOSITORY, START_SECONDS, TAB, Served, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page
    from serving import OpenPage

# Debian has it where only root's path leads.
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        NGINX is None, reason="there is no nginx; on Debian and Ubuntu: apt-get install nginx-light"
    ),
]

#: Browsers take this name for their own machine; the server does not, unless it is told.
HOST = "scans.localhost"
TOKEN = "correct-horse-battery-staple"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def readme_lines() -> str:
    """The `location` that README gives for nginx."""
    found = re.search(
        r"```nginx\n(.*?)```", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert found is not None
    return found[1]


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, "nginx ended"
            assert time.monotonic() < until, "nginx does not listen"
            time.sleep(0.05)


def config(folder: Path, listening: int, location: str) -> str:
    """One process, which keeps all it writes in a folder of its own."""
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
        daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
        events {{}}
        http {{
          access_log off; {temporary}
          server {{ listen 127.0.0.1:{listening}; {location} }}
        }}"""


@pytest.fixture(scope="module", params=["as README says", "with the server's own name as Host"])
def a_proxied_server(
    request: pytest.FixtureRequest, a_model: Path, a_ct: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, int]]:
    """A server, and the port of the nginx in front of it."""
    folder = tmp_path_factory.mktemp("nginx")
    listening, behind = free_ports(2)
    location = readme_lines().replace("127.0.0.1:8080", f"127.0.0.1:{behind}")
    assert str(behind) in location
    if "own name" in request.param:
        location = location.replace("proxy_set_header Host $http_host;", "")
    (folder / "nginx.conf").write_text(config(folder, listening, location))
    command = [
        str(NGINX),
        "-p",
        str(folder),
        "-c",
        str(folder / "nginx.conf"),
        "-e",
        str(folder / "error.log"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(listening, process)
        public = f"http://{HOST}:{listening}/maesil/"
        more = ("--port", str(behind), "--public-url", public, "--token", TOKEN)
        with serving(str(a_ct), "--model", str(a_model), "--device", "cpu", *more) as served:
            assert served.address == f"{public}?token={TOKEN}"
            yield served, behind
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def a_proxied_page(a_proxied_server: tuple[Served, int], open_page: OpenPage) -> Page:
    page = open_page(a_proxied_server[0].address)
    page.get_by_test_id("share").wait_for()
    return page


def slide(page: Page, control: str, value: float) -> None:
    page.get_by_test_id(control).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', {bubbles: true})); }",
        str(value),
    )


def test_views_are_sent_and_follow_the_sliders(a_proxied_page: Page) -> None:
    page = a_proxied_page
    assert page.url.endswith("/maesil/index.html")
    page.wait_for_function("document.querySelectorAll('.views img.image-display-area[src]').length === 4")
    picture = "document.querySelector('.layout-grid-item:has(.view-Red) img').src"
    for value in (0.9, 0.35):
        before = page.evaluate(picture)
        slide(page, "opacity", value)
        page.wait_for_function(f"(before) => {picture} !== before", arg=before)


def test_everything_that_is_loaded_lies_below_the_prefix(a_proxied_page: Page) -> None:
    paths: list[str] = []
    page = a_proxied_page
    page.on("request", lambda request: paths.append(request.url))
    page.on("response", lambda response: paths.append(f"{response.url} {response.status}"))
    page.on("websocket", lambda socket: paths.append(socket.url))
    page.reload()
    page.get_by_test_id("share").wait_for()
    assert any(path.endswith("/maesil/ws") for path in paths)
    assert all("/maesil/" in path or path.startswith(("blob:", "data:")) for path in paths)
    assert not [path for path in paths if re.search(r" [45]\d\d$", path)]


def test_uploads_and_downloads_pass(a_proxied_page: Page, a_ct: Path) -> None:
    page = a_proxied_page
    with page.expect_response("**/maesil/upload?*") as answered:
        page.get_by_test_id("upload").set_input_files(a_ct)
    assert answered.value.json() == {"ok": True}
    with page.expect_download() as download:
        page.get_by_role("link", name="Screenshot").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_the_cookie_is_for_the_prefix(a_proxied_page: Page) -> None:
    (cookie,) = [one for one in a_proxied_page.context.cookies() if one["name"].startswith("maesil_")]
    assert (cookie["path"], cookie["domain"], cookie["httpOnly"]) == ("/maesil/", HOST, True)


def test_what_a_stranger_says_about_a_proxy_is_not_believed(a_proxied_server: tuple[Served, int]) -> None:
    from http.client import HTTPConnection

    served, port = a_proxied_server
    public = served.address.partition("maesil/")[0].rstrip("/")
    body = json.dumps({"tab": TAB, "wish": "look"})

    def ask(**headers: str) -> int:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", "/enter", body, named)
        status = connection.getresponse().status
        connection.close()
        return status

    # Without the token, 401 is as far as anybody gets.
    assert ask(Origin=public) == 401
    assert ask(Host=public.removeprefix("http://"), Origin=public) == 401
    assert ask(Host="evil.example", X_Forwarded_Host=HOST) == 421
    assert ask(Origin="http://evil.example", X_Forwarded_Host="evil.example") == 403
    assert ask(Origin=public.replace("http:", "https:")) == 403
