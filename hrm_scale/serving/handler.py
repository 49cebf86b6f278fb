"""One request to a `LocalServer`: what is refused, and how answers are written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from hrm_scale.base.errors import HrmError
from hrm_scale.base.untrusted import parse_json
from hrm_scale.serving.page_files import CONTENT_TYPES, INDEX

if TYPE_CHECKING:
    from hrm_scale.serving.server import LocalServer

MOST_POSTED = 1 << 16
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_FAULT = {"error": "a fault of the program: the terminal it was started in says more"}


class _Refused(Exception):
    """A request that gets no answer but `status` and one line."""

    def __init__(self, status: HTTPStatus, line: str) -> None:
        super().__init__(line)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """GET for files and answers, POST for answers that come in parts. Nothing else."""

    server: LocalServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "hrm_scale", ""
    timeout = 60

    def do_GET(self) -> None:
        try:
            self._require_host()
            url = urlsplit(self.path)
            name = url.path.removeprefix("/") or INDEX
            if name in self.server.files:
                path = self.server.files[name]
                self._send(HTTPStatus.OK, CONTENT_TYPES[path.suffix], path.read_bytes())
                return
            route = self.server.routes.get(name.removeprefix("api/"))
            if route is None or not name.startswith("api/"):
                raise _Refused(HTTPStatus.NOT_FOUND, "no such page")
            query = {key: values[-1] for key, values in parse_qs(url.query).items()}
            self._json(HTTPStatus.OK, route(query))
        except Exception as error:
            self._fail(error)

    def do_POST(self) -> None:
        try:
            posted = self._posted()
            self._require_host()
            self._require_own_page()
            stream = self.server.streams.get(self.path.removeprefix("/api/"))
            if stream is None or not self.path.startswith("/api/"):
                raise _Refused(HTTPStatus.NOT_FOUND, "no such page")
            try:
                asked = parse_json(posted)
            except ValueError as error:
                line = f"what was posted is no JSON ({error})"
                raise _Refused(HTTPStatus.BAD_REQUEST, line) from None
            lines = stream(asked)
        except Exception as error:
            self._fail(error)
            return
        self._stream(lines)

    def _require_host(self) -> None:
        if not self.server.knows_itself_as(self.headers.get("Host", "")):
            line = f"this page is for this machine only: open {self.server.url}"
            raise _Refused(HTTPStatus.FORBIDDEN, line)

    def _require_own_page(self) -> None:
        origin = self.headers.get("Origin")
        if origin not in (None, f"http://{self.headers['Host']}"):
            raise _Refused(HTTPStatus.FORBIDDEN, "only the page itself may ask this")
        if self.headers.get_content_type() != "application/json":
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "post JSON")

    def _posted(self) -> bytes:
        """The body; it is read before anything is refused, or the connection is given up."""
        if not self.server.streams:
            self.close_connection = True
            raise _Refused(HTTPStatus.NOT_IMPLEMENTED, "nothing is posted to this page")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 9):
            self.close_connection = True
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "say how many bytes are posted")
        if int(length) > MOST_POSTED:
            self.close_connection = True
            line = f"at most {MOST_POSTED} bytes may be posted"
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, line)
        return self.rfile.read(int(length))

    def _fail(self, error: Exception) -> None:
        """Answer with one line. A fault of ours goes on, to be seen in the terminal."""
        if isinstance(error, _Refused):
            self._json(error.status, {"error": str(error)})
        elif isinstance(error, HrmError):
            self._json(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": str(error)})
        elif isinstance(error, ConnectionError | TimeoutError):
            raise error
        else:
            self._json(HTTPStatus.INTERNAL_SERVER_ERROR, _FAULT)
            raise error

    def _stream(self, lines: Iterator[Any]) -> None:
        """Send every item as soon as it is there, a line each (chunked)."""
        self._head(HTTPStatus.OK, "application/x-ndjson", {"Transfer-Encoding": "chunked"})
        try:
            for line in lines:
                self._chunk(_encode(line) + b"\n")
        except HrmError as error:
            self._chunk(_encode({"error": str(error)}) + b"\n")
        except (ConnectionError, TimeoutError):
            # Nobody reads on: no end to be told.
            self.close_connection = True
            raise
        except Exception:
            with suppress(OSError):
                self._chunk(_encode(_FAULT) + b"\n")
                self._chunk(b"")
            raise
        self._chunk(b"")

    def _chunk(self, part: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))

    def _json(self, status: HTTPStatus, content: Any) -> None:
        self._send(status, "application/json", _encode(content))

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self._head(status, kind, {"Content-Length": str(len(body))})
        self.wfile.write(body)

    def _head(self, status: HTTPStatus, kind: str, more: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, **more}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """The terminal is for the address and for errors."""


def _encode(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
