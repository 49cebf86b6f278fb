"""The viewer's local server: the page's files by name, and answers of `ViewerApi` as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hrm_scale.errors import ConfigError, EnvironmentProblem, HrmError
from tools.shards_view_api import ViewerApi
from tools.shards_view_assets import CONTENT_TYPES, PAGE, asset_names, read_asset
from tools.shards_view_search import Search

HOST = "127.0.0.1"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class ViewerServer(ThreadingHTTPServer):
    """Listens on the loopback interface only. `url` is where the page is."""

    daemon_threads = True

    def __init__(self, api: ViewerApi, port: int = 0) -> None:
        """port 0: any free one. EnvironmentProblem when the port is taken."""
        self.routes = _routes(api)
        self.assets = asset_names()
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise EnvironmentProblem(
                f"--port {port}: cannot listen there ({reason}): leave --port out for a free one"
            ) from None
        self.url = f"http://{HOST}:{self.server_port}/"
        self.hosts = frozenset(f"{name}:{self.server_port}" for name in (HOST, "localhost"))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that closes a connection early is nothing to tell about."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def _routes(api: ViewerApi) -> dict[str, Callable[[dict[str, str]], Any]]:
    """Answers by path; each takes the query's fields."""
    search = Search(api)

    def place(query: dict[str, str]) -> tuple[str, int, int, int | None]:
        variant = _number(query, "variant", -1)
        group, copy = _number(query, "group"), _number(query, "copy", 0)
        return query.get("split", ""), group, copy, None if variant < 0 else variant

    return {
        "about": lambda query: api.about(),
        "groups": lambda query: api.groups(
            query.get("split", ""), _number(query, "start"), _number(query, "count")
        ),
        "group": lambda query: api.group(*place(query)),
        "copies": lambda query: api.copies(
            query.get("split", ""),
            _number(query, "group"),
            _number(query, "start"),
            _number(query, "count"),
        ),
        "predict": lambda query: api.predict(*place(query)),
        "search": lambda query: search.hits(query.get("split", ""), query.get("q", "")[:200]),
    }


class _Handler(BaseHTTPRequestHandler):
    """GET only. A request under a foreign Host is refused: a web page elsewhere may point a name
    of its own at this address, and would then read the data (DNS rebinding)."""

    server: ViewerServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "hrm_scale", ""
    timeout = 60

    def do_GET(self) -> None:
        if self.headers.get("Host", "") not in self.server.hosts:
            self._json(HTTPStatus.FORBIDDEN, {"error": "this page is for this machine only"})
            return
        url = urlsplit(self.path)
        name = url.path.removeprefix("/") or PAGE
        if name in self.server.assets:
            suffix = name[name.rindex(".") :]
            self._send(HTTPStatus.OK, CONTENT_TYPES[suffix], read_asset(name).encode())
            return
        route = self.server.routes.get(name.removeprefix("api/"))
        if route is None or not name.startswith("api/"):
            self._json(HTTPStatus.NOT_FOUND, {"error": "no such page"})
            return
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        try:
            self._json(HTTPStatus.OK, route(query))
        except HrmError as error:
            self._json(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": str(error)})
        except Exception:
            self._json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "a fault of the viewer"})
            raise

    def _json(self, status: HTTPStatus, content: Any) -> None:
        body = json.dumps(content, separators=(",", ":")).encode()
        self._send(status, "application/json", body)

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """The terminal is for the address and for errors."""


def _number(query: dict[str, str], name: str, default: int | None = None) -> int:
    text = query.get(name, "")
    if not text and default is not None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ConfigError(f"{name}={text[:40]!r} is not a whole number")
    return int(text)
