"""Who gets in, what can be asked for, and that nothing stays behind."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from serving import REPOSITORY, TAB, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving import Served

pytestmark = pytest.mark.slow

TOKEN = "correct-horse-battery-staple"
FILES = (
    "/",
    "/index.html",
    "/__maesil/page.html",
    "/screenshot.png",
    "/results/results.zip",
    "/loading.tpl",
    "/ws",
)
TRICKS = (
    "/../../../etc/passwd",
    "/..%2f..%2f..%2fetc%2fpasswd",
    "/__maesil/../../../../etc/passwd",
    "/__maesil/..%2f..%2fsession.py",
    "/__maesil/%2e%2e/session.py",
    "/__maesil/..%5c..%5csession.py",
    "/__maesil//etc/passwd",
    "/results/..%2f..%2f..%2fetc%2fpasswd",
    "/results/../../etc/passwd",
    "/results/%2fetc%2fpasswd",
    "/results/voxels.npy",
    "/results/..",
    "/results/%00",
)


class Answer:
    """What a server said."""

    def __init__(
        self, port: int, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        # The path goes out as it is: no client tidies it up.
        connection.putrequest(method, path, skip_host="host" in headers)
        if body is not None:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(body)
        response = connection.getresponse()
        self.status, self.headers, self.body = response.status, response.headers, response.read()
        connection.close()


def own(served: Served, **headers: str) -> str:
    """Take the page over as one tab; the query that names the tab."""
    body = json.dumps({"tab": TAB, "wish": "owner"}).encode()
    assert json.loads(Answer(served.port, "/enter", "POST", body, **headers).body)["role"] == "owner"
    return f"?tab={TAB}"


@pytest.fixture(scope="module")
def a_guarded_server(a_model: Path, a_ct: Path) -> Iterator[Served]:
    with serving(str(a_ct), "--model", str(a_model), "--host", "0.0.0.0", "--token", TOKEN) as served:
        yield served


def websocket(**more: str) -> dict[str, str]:
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **more,
    }


@pytest.mark.parametrize(
    "query", ["", "?token=wrong", "?token=", f"?token={TOKEN[:-1]}", "?secret=wslink-secret"]
)
@pytest.mark.parametrize("path", [*FILES, *TRICKS, "/upload", "/enter", "/paraview/"])
def test_without_the_token_nothing_is_told(a_guarded_server: Served, path: str, query: str) -> None:
    for method, headers in (("GET", {}), ("POST", {}), ("GET", websocket())):
        answer = Answer(
            a_guarded_server.port, path + query, method, b"" if method == "POST" else None, **headers
        )
        # A request line that cannot be understood is refused before anyone looks at the token.
        assert answer.status in (400, 401)
        assert b"root:" not in answer.body
        assert len(answer.body) < 500


def test_a_wrong_cookie_is_no_token(a_guarded_server: Served) -> None:
    welcome = Answer(a_guarded_server.port, f"/?token={TOKEN}")
    name = welcome.headers["Set-Cookie"].partition("=")[0]
    for value in ("wrong", "", TOKEN, "é"):
        assert Answer(a_guarded_server.port, "/index.html", Cookie=f"{name}={value}").status == 401


def test_the_token_is_exchanged_for_a_cookie_and_leaves_the_address(a_guarded_server: Served) -> None:
    welcome = Answer(a_guarded_server.port, f"/index.html?token={TOKEN}")
    assert welcome.status == 302
    assert TOKEN not in welcome.headers["Location"]
    cookie = welcome.headers["Set-Cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    inside = Answer(a_guarded_server.port, "/index.html", Cookie=cookie.partition(";")[0])
    assert inside.status == 200


def test_a_welcome_never_leads_to_another_host(a_guarded_server: Served) -> None:
    welcome = Answer(a_guarded_server.port, f"//evil.example/?token={TOKEN}")
    assert not welcome.headers["Location"].startswith("//")


@pytest.mark.parametrize("trick", TRICKS)
def test_no_path_leads_out_of_what_is_served(a_server: Served, a_guarded_server: Served, trick: str) -> None:
    cookie = Answer(a_guarded_server.port, f"/?token={TOKEN}").headers["Set-Cookie"].partition(";")[0]
    query, guarded = own(a_server), own(a_guarded_server, Cookie=cookie)
    for answer in (
        Answer(a_server.port, trick + query),
        Answer(a_guarded_server.port, trick + guarded, Cookie=cookie),
    ):
        assert answer.status in (400, 403, 404)
        assert b"root:" not in answer.body
        assert b"import" not in answer.body


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1"])
def test_another_name_of_this_machine_is_turned_away(a_server: Served, host: str) -> None:
    assert Answer(a_server.port, "/index.html", host=host).status == 421


def test_a_page_of_another_site_can_neither_listen_nor_upload(a_server: Served) -> None:
    foreign = {"Origin": "http://evil.example"}
    assert Answer(a_server.port, "/ws", **websocket(**foreign)).status == 403
    assert Answer(a_server.port, "/upload", "POST", b"", **foreign).status == 403


def test_every_answer_keeps_the_page_to_its_own_host(a_server: Served) -> None:
    for path in ("/index.html", "/__maesil/maesil.css", "/results/none", "/screenshot.png"):
        policy = Answer(a_server.port, path + own(a_server)).headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy


def test_a_tunnel_from_another_port_gets_in(a_server: Served) -> None:
    answer = Answer(a_server.port, "/index.html", host="localhost:9999", Origin="http://localhost:9999")
    assert answer.status == 200


def form(*files: tuple[str, bytes], parameter: str = 'filename="{}"') -> tuple[bytes, dict[str, str]]:
    parts = b"".join(
        b'--edge\r\nContent-Disposition: form-data; name="file"; '
        + parameter.format(name).encode()
        + b"\r\n\r\n"
        + content
        + b"\r\n"
        for name, content in files
    )
    return parts + b"--edge--\r\n", {"Content_Type": "multipart/form-data; boundary=edge"}


#: A name as browsers send it, and as the standard allows it, too; what stands in the latter is taken as it is.
QUOTED, ENCODED = 'filename="{}"', "filename*=utf-8''{}"
TEMPORARY = Path(tempfile.gettempdir())


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        (QUOTED, "../evil.nii"),
        (QUOTED, "..\\\\evil.nii"),
        (QUOTED, "a/../../evil.nii"),
        (QUOTED, "C:\\\\evil.nii"),
        (QUOTED, "x" * 300 + ".nii"),
        (ENCODED, quote(f"{TEMPORARY}/evil.nii", safe="")),
        (ENCODED, quote(f"/{TEMPORARY}/evil.nii", safe="")),
        (ENCODED, quote(f"///{TEMPORARY}/evil.nii", safe="")),
        (ENCODED, quote(f"/{TEMPORARY}/evil.nii".replace("/", "\\"), safe="")),
        (ENCODED, quote("C:evil.nii", safe="")),
        (ENCODED, quote("../evil.nii", safe="")),
        (ENCODED, quote(". ./evil.nii", safe="")),
        (ENCODED, quote("\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 150 + ".nii", safe="")),
    ],
)
def test_an_upload_cannot_choose_where_it_goes(a_server: Served, parameter: str, name: str) -> None:
    body, headers = form((name, b"content"), parameter=parameter)
    answer = Answer(a_server.port, "/upload" + own(a_server), "POST", body, **headers)
    try:
        assert "file name is not allowed" in json.loads(answer.body)["error"]
        assert not [*TEMPORARY.glob("evil.nii"), *TEMPORARY.glob("maesil-app-*/**/*evil.nii")]
    finally:
        (TEMPORARY / "evil.nii").unlink(missing_ok=True)


def test_an_upload_with_an_absolute_name_stays_below_its_folder(a_server: Served) -> None:
    # Not the name above: the test beside it looks at the folders of all servers, those of other workers among them.
    place = TEMPORARY / "elsewhere.nii"
    body, headers = form((str(place), b"content"))
    assert Answer(a_server.port, "/upload" + own(a_server), "POST", body, **headers).status == 200
    assert not place.exists()


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ((), "The upload contains no file"),
        ((("notes.pdf", b"%PDF"),), "notes.pdf is not a scan"),
        ((("a.txt", b""), ("b.txt", b"")), "None of these files is a scan"),
        ((("a.nii", b""), ("a.nii", b"")), "Two files have the name a.nii"),
    ],
)
def test_an_upload_of_something_else_is_refused(
    a_server: Served, files: tuple[tuple[str, bytes], ...], problem: str
) -> None:
    body, headers = form(*files)
    answer = Answer(a_server.port, "/upload" + own(a_server), "POST", body, **headers)
    assert problem in json.loads(answer.body)["error"]


def test_an_upload_that_is_too_large_is_refused_before_it_comes(a_server: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", a_server.port, timeout=30)
    connection.putrequest("POST", "/upload" + own(a_server))
    connection.putheader("Content-Type", "multipart/form-data; boundary=edge")
    connection.putheader("Content-Length", str(5 * 2**30))
    connection.endheaders()
    assert "larger than 4 GiB" in json.loads(connection.getresponse().read())["error"]
    connection.close()


def test_an_upload_is_refused_if_the_page_is_taken_over_while_it_comes(a_server: Served) -> None:
    body, headers = form(("scan.nii", b"content"))
    connection = http.client.HTTPConnection("127.0.0.1", a_server.port, timeout=30)
    connection.putrequest("POST", "/upload" + own(a_server))
    connection.putheader("Content-Type", headers["Content_Type"])
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:-10])
    # The beginning has been let in once it has been stored.
    until = time.monotonic() + 60
    while not [*TEMPORARY.glob("maesil-app-*/upload-*/Upload/scan.nii")]:
        assert time.monotonic() < until
        time.sleep(0.02)
    other = json.dumps({"tab": "tab-of-another-browser", "wish": "owner"}).encode()
    assert Answer(a_server.port, "/enter", "POST", other).status == 200
    connection.send(body[-10:])
    assert "took the page over" in json.loads(connection.getresponse().read())["error"]
    connection.close()
    own(a_server)


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b"[]", b"{}", b'{"tab": "short", "wish": null}', b'{"tab": 7, "wish": null}'],
)
def test_a_wish_that_makes_no_sense_is_refused(a_server: Served, body: bytes) -> None:
    assert Answer(a_server.port, "/enter", "POST", body).status == 400
    tab = json.dumps({"tab": TAB, "wish": "everything"}).encode()
    assert Answer(a_server.port, "/enter", "POST", tab).status == 400


def test_files_are_given_to_no_tab_but_the_owners(a_server: Served) -> None:
    own(a_server)
    for path in ("/screenshot.png", "/results/results.zip"):
        for query in ("", "?tab=", "?tab=tab-of-another-browser"):
            assert Answer(a_server.port, path + query).status == 403


def test_a_body_that_is_no_form_is_refused(a_server: Served) -> None:
    answer = Answer(
        a_server.port, "/upload" + own(a_server), "POST", b"voxels", Content_Type="application/octet-stream"
    )
    assert "form" in json.loads(answer.body)["error"]


def test_only_its_own_machine_reaches_it_unless_asked(a_server: Served) -> None:
    addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in addresses - {"127.0.0.1", "127.0.1.1"}:
        with pytest.raises(OSError, match=r"refused|timed out"):
            socket.create_connection((address, a_server.port), timeout=2)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="tells processes by /proc, as Linux has it")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_its_workers_and_its_files(
    a_model: Path, a_ct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serving(str(a_ct), "--model", str(a_model)) as served:
        until = time.monotonic() + 60
        # What looks for devices is a child from the start.
        while not (workers := children(served.process.pid)) and time.monotonic() < until:
            time.sleep(0.02)
        started = time.monotonic()
        assert served.stop(number) == 0
        assert time.monotonic() - started < 10
    assert workers
    assert not [worker for worker in workers if is_alive(worker)]
    assert list(tmp_path.glob("maesil-app-*")) == []
    assert served.output.count("http://") == 1
    assert served.output.strip().count("\n") == 0


def children(process: int) -> list[int]:
    lists = Path(f"/proc/{process}/task").glob("*/children")
    return [int(word) for path in lists for word in path.read_text().split()]


def is_alive(process: int) -> bool:
    try:
        # An ended one whose parent has not asked for its status is only a name.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def run_app(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "MAESILSlicer")}
    command = [sys.executable, "-m", "MAESILCore", "app", "--no-browser", *arguments]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120
    )


def test_a_port_that_is_taken_is_one_sentence(a_server: Served) -> None:
    done = run_app("--port", str(a_server.port))
    assert done.returncode == 2
    assert "in use already" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nowhere.nii.gz",), "no file or folder nowhere.nii.gz"),
        (("--token", "short"), "could be guessed"),
        (("--model", "nothing"), "There is no checkpoint nothing;"),
        (("--device", "abacus"), "There is no device 'abacus'"),
        (("--device", "cuda:255"), "The device 'cuda:255' is not available"),
        (("--host", "203.0.113.1"), "cannot be used"),
        (("--public-url", "host.example/maesil"), "give one such as https://host.example/maesil/"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    done = run_app(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
