"""The server of a page: real requests, what it refuses, answers that come line by line."""

from __future__ import annotations

import http.client
import io
import json
import sys
import threading
import time
from collections.abc import Iterator
from email.message import Message
from typing import Any

import pytest

from hrm_scale.base.errors import ConfigError, DataError, EnvironmentProblem
from hrm_scale.playing.server import PlayServer
from hrm_scale.web.app import MOST_POSTED
from hrm_scale.web.assets import page_files
from hrm_scale.web.server import LocalServer
from tests.support.pages import running
from tests.support.play_sets import api_of, served, train_run

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayServer]:
    with served(api_of(*train_run(tmp_path_factory.mktemp("run"), "sudoku"))) as server:
        yield server


def send(
    server: LocalServer, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, Message]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET" if body is None else "POST", path, body, named)
    answer = connection.getresponse()
    content = answer.status, answer.read(), answer.headers
    connection.close()
    return content


def error_of(body: bytes) -> str:
    error: str = json.loads(body)["error"]
    assert "\n" not in error
    return error


def post(server: LocalServer, asked: object, **headers: str) -> tuple[int, bytes, Message]:
    settings = {"Content_Type": "application/json", **headers}
    return send(server, "/api/solve", json.dumps(asked).encode(), **settings)


def test_a_puzzle_is_solved_over_http(server: PlayServer) -> None:
    example = json.loads(send(server, "/api/example?number=2")[1])
    status, body, headers = post(server, {"puzzle": example["puzzle"], "steps": 5})
    assert status == 200
    assert headers["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in body.splitlines()]
    assert [line.get("step") for line in lines] == [1, 2, 3, 4, 5, None]
    assert lines[-1] == {"end": "done"}


def test_closing_ends_what_is_being_solved(server: PlayServer) -> None:
    other = PlayServer(server._api)
    with running(other):
        connection = http.client.HTTPConnection("127.0.0.1", other.port, timeout=20)
        asked = json.dumps({"puzzle": "." * 16, "steps": 12}).encode()
        connection.request("POST", "/api/solve", asked, JSON)
        answer = connection.getresponse()
        assert json.loads(answer.readline())["step"] == 1
        other.close()
        *_, last = answer.read().splitlines()
        assert json.loads(last)["end"] in ("replaced", "done")
    with pytest.raises(ConnectionRefusedError):
        send(other, "/")


def test_every_file_of_the_page_and_no_other(server: PlayServer) -> None:
    status, body, headers = send(server, "/")
    assert (status, body) == (200, page_files("play")["index.html"].read_bytes())
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    for name, path in page_files("play").items():
        assert send(server, f"/{name}")[1] == path.read_bytes()
    for path in (
        "/server.py",
        "/../play.py",
        "/%2e%2e/play.py",
        "/page/main.js",
        "/about",
        "/api/x",
    ):
        status, body, _ = send(server, path)
        assert (status, error_of(body)) == (404, "no such page")


@pytest.mark.parametrize(
    ("status", "words", "headers"),
    [
        (403, "this page is for this machine only", {"Host": "evil.example"}),
        (403, "this page is for this machine only", {"Host": "evil.example:8266"}),
        (403, "this page is for this machine only", {"Host": "192.0.2.7"}),
        (403, "this page is for this machine only", {"Host": "[::1"}),
        (403, "this page is for this machine only", {"Host": "evil.example@127.0.0.1"}),
        (403, "only the page itself", {"Origin": "http://evil.example"}),
        (403, "only the page itself", {"Origin": "null"}),
        (415, "post JSON", {"Content_Type": "text/plain"}),
        (415, "post JSON", {"Content_Type": "application/x-www-form-urlencoded"}),
        (413, "at most 262144 bytes", {"Content_Length": str(MOST_POSTED + 1)}),
    ],
)
def test_who_is_refused(
    server: PlayServer, status: int, words: str, headers: dict[str, str]
) -> None:
    answered, body, _ = post(server, {"puzzle": "." * 16}, **headers)
    assert answered == status
    assert words in error_of(body)


def test_a_body_of_unknown_length_is_refused(server: PlayServer) -> None:
    for headers, status in (
        ({"Transfer-Encoding": "chunked"}, 411),
        ({"Content-Length": "many"}, 400),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.putrequest("POST", "/api/solve")
        for name, value in {**JSON, **headers}.items():
            connection.putheader(name, value)
        connection.endheaders(b"2\r\n{}\r\n0\r\n\r\n")
        assert connection.getresponse().status == status
        connection.close()


def test_who_is_not_refused(server: PlayServer) -> None:
    host = f"localhost:{server.port}"
    for headers in ({}, {"Host": host, "Origin": f"http://{host}"}, {"Host": "127.0.0.1:9"}):
        assert post(server, {"puzzle": "." * 16, "steps": 1}, **headers)[0] == 200


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "no JSON"),
        (b"\xff", 400, "no JSON"),
        (b'{"puzzle": ".", "puzzle": "."}', 400, "a name occurs twice"),
        (b"[" * 5000, 400, "no JSON"),
        (b'{"puzzle": "1"}', 422, "has 1 cell"),
        (b"null", 422, "a question has no fields but"),
    ],
)
def test_what_is_no_question(server: PlayServer, body: bytes, status: int, words: str) -> None:
    answered, content, _ = send(server, "/api/solve", body, Content_Type="application/json")
    assert answered == status
    assert words in error_of(content)


def test_wrong_addresses_get_one_line(server: PlayServer) -> None:
    status, body, _ = send(server, "/api/example?number=-1")
    assert (status, error_of(body)) == (422, "number='-1' is not a whole number")
    status, body, _ = send(server, "/api/task?name=x")
    assert status == 422
    assert "no ARC data set is there" in error_of(body)


def test_a_taken_port_says_what_to_type(server: PlayServer) -> None:
    words = rf"port={server.port}: cannot listen there \(.*\): type port=0 for a free"
    with pytest.raises(EnvironmentProblem, match=words):
        PlayServer(server._api, port=server.port)
    with pytest.raises(EnvironmentProblem, match=r"host=192\.0\.2\.7 port=0: cannot listen there"):
        PlayServer(server._api, host="192.0.2.7")


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(EnvironmentProblem, match=r"uvicorn: type pip install 'hrm_scale\[web\]'"):
        LocalServer({}, {}, taken="")


@pytest.fixture
def made() -> Iterator[LocalServer]:
    """A server of streams made for tests; `gate` lets the slow one go on."""

    def slow(asked: Any) -> Iterator[Any]:
        yield {"step": 1}
        assert gate.wait(20)
        yield {"step": 2}

    def ending(error: Exception) -> Iterator[Any]:
        yield {"step": 1}
        raise error

    streams = {
        "slow": slow,
        "wrong": lambda asked: ending(DataError("the shard is damaged")),
        "fault": lambda asked: ending(KeyError("x")),
    }
    gate = threading.Event()
    routes = {"refused": lambda query: refuse(), "fault": lambda query: 1 // 0}
    with running(LocalServer({}, routes, streams, host="0.0.0.0", taken="{reason}")) as server:
        server.gate = gate  # type: ignore[attr-defined]
        yield server
        gate.set()


def refuse() -> None:
    raise ConfigError("not so")


def test_a_line_is_sent_as_soon_as_it_is_there(made: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", made.port, timeout=20)
    connection.request("POST", "/api/slow", b"{}", JSON)
    answer = connection.getresponse()
    assert json.loads(answer.readline()) == {"step": 1}, "while the second is not made yet"
    made.gate.set()
    assert json.loads(answer.readline()) == {"step": 2}
    assert answer.readline() == b""
    connection.request("GET", "/api/refused")
    assert connection.getresponse().status == 422, "the connection goes on"
    connection.close()


def test_faults_are_one_line_and_no_traceback(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    for name, words in (("wrong", "the shard is damaged"), ("fault", "a fault of the program")):
        status, body, _ = send(made, f"/api/{name}", b"{}", Content_Type="application/json")
        assert status == 200, "the first line had gone by then"
        first, last = body.splitlines()
        assert json.loads(first) == {"step": 1}
        assert words in error_of(last)
    status, body, _ = send(made, "/api/fault")
    assert status == 500
    assert "a fault of the program" in error_of(body)
    # Written by the thread that answered, after the answer.
    end = time.monotonic() + 20
    while "ZeroDivisionError" not in terminal.getvalue() and time.monotonic() < end:
        time.sleep(0.01)
    assert "ZeroDivisionError" in terminal.getvalue(), "the terminal shows the fault"


def test_a_page_for_the_network_is_asked_by_address_only(made: Any) -> None:
    """A name can be rebound by who owns it, a bare address cannot."""
    for host, status in (("192.0.2.7:80", 422), ("[2001:db8::1]", 422), ("evil.example", 403)):
        assert send(made, "/api/refused", Host=host)[0] == status


def test_where_nothing_is_posted() -> None:
    with running(LocalServer({}, {}, taken="")) as server:
        assert send(server, "/api/x", b"{}", Content_Type="application/json")[0] == 501
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("PUT", "/api/x", b"{}")
        assert connection.getresponse().status == 405
        connection.close()
