"""A small HTTP server for one page: its files, answers as JSON, answers that come line by line.

It trusts nobody but the page it serves. A request under a foreign Host is refused: a web page
elsewhere may point a name of its own at this address, and would then read what is here (DNS
rebinding). A POST must be JSON and come from this very page, so that no other page can cause one.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hrm_scale.base.errors import EnvironmentProblem
from hrm_scale.serving.handler import Handler

LOOPBACK = "127.0.0.1"

Answer = Callable[[dict[str, str]], Any]
"""Takes the fields of the query, returns what is sent as JSON."""
Stream = Callable[[Any], Iterator[Any]]
"""Takes the JSON that was posted and checks it at once; each item is sent as a line of JSON."""


class LocalServer(ThreadingHTTPServer):
    """Serves `files` by name, `routes` (GET) and `streams` (POST) under `api/`. `url` is the page.

    What a route raises as HrmError becomes {"error": one line} with status 422.
    """

    daemon_threads = True

    def __init__(
        self,
        files: Mapping[str, Path],
        routes: Mapping[str, Answer],
        streams: Mapping[str, Stream] | None = None,
        *,
        host: str = LOOPBACK,
        port: int = 0,
        taken: str,
    ) -> None:
        """port 0: any free one. EnvironmentProblem when it cannot listen there: `taken` says which
        setting it was and what to type, with {reason} in it."""
        self.files, self.routes, self.streams = files, routes, streams or {}
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise EnvironmentProblem(taken.format(reason=reason)) from None
        address = _address(host)
        self._private = host == "localhost" if address is None else address.is_loopback
        self._names = {"localhost", host.lower(), socket.gethostname().lower()}
        name = host
        if host in ("", "0.0.0.0", "::"):
            name = socket.gethostname()
        self.url = f"http://{f'[{name}]' if ':' in name else name}:{self.server_port}/"

    def knows_itself_as(self, host: str) -> bool:
        """Is a request's Host header a name of this machine? Nobody can rebind a bare address."""
        try:
            parts = urlsplit(f"//{host}")
        except ValueError:
            return False
        if "@" in parts.netloc:  # no browser sends a user's name
            return False
        name = parts.hostname or ""
        if name in self._names:
            return True
        address = _address(name)
        return address is not None and (address.is_loopback or not self._private)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that closes a connection early is nothing to tell about."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def serve(self, what: str, *, browser: bool) -> None:
        """Say where the page is, open it if asked and possible, and serve until interrupted."""
        print(f"{what}: {self.url} (Ctrl-C ends it)", flush=True)
        if browser and _has_display():
            import webbrowser

            webbrowser.open(self.url)
        try:
            self.serve_forever()
        except KeyboardInterrupt:
            print(f"{what}: ended", flush=True)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _has_display() -> bool:
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
