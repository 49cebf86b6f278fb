"""The local server of one page: its address, its life, and under which names it is asked."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Self
from urllib.parse import urlsplit

from hrm_scale.base.errors import EnvironmentProblem

LOOPBACK = "127.0.0.1"

Answer = Callable[[dict[str, str]], Any]
"""Takes the fields of the query, returns what is sent as JSON."""
Stream = Callable[[Any], Iterator[Any]]
"""Takes the JSON that was posted and checks it at once; each item is sent as a line of JSON."""


class LocalServer:
    """Serves `files` by name, `routes` (GET) and `streams` (POST) under `api/`; see
    `hrm_scale.web.app`. `url` is the page. Closed at the end of a `with` block."""

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
        setting it was and what to type, with {reason} in it; or without starlette and uvicorn."""
        try:
            import uvicorn

            from hrm_scale.web.app import Site, make_app
        except ImportError as error:
            raise EnvironmentProblem(
                f"pages in the browser need the package {error.name}: type pip install"
                " 'hrm_scale[web]'"
            ) from None
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family)
        except (OSError, OverflowError, UnicodeError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).partition(" (while")[0]
            raise EnvironmentProblem(taken.format(reason=reason)) from None
        self.port: int = self._socket.getsockname()[1]
        address = _address(host)
        self._private = host == "localhost" if address is None else address.is_loopback
        self._names = {"localhost", host.lower(), socket.gethostname().lower()}
        name = socket.gethostname() if host in ("", "0.0.0.0", "::") else host
        self.url = f"http://{f'[{name}]' if ':' in name else name}:{self.port}/"
        site = Site(files, routes, streams or {}, self.url, self.is_trusted)
        config = uvicorn.Config(
            make_app(site),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            http="h11",
            ws="none",
            timeout_keep_alive=60,
            # A browser that reads no further must not keep the program from ending.
            timeout_graceful_shutdown=5,
        )
        server = self

        class Server(uvicorn.Server):
            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                server.stop()
                super().handle_exit(sig, frame)

        self._server = Server(config)
        self._ended = threading.Event()
        self._ended.set()

    def is_trusted(self, host: str) -> bool:
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

    def serve_forever(self) -> None:
        """Answer requests until `close` or a signal."""
        self._ended.clear()
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._ended.set()

    def stop(self) -> None:
        """Take no more requests; those being answered are finished."""
        self._server.should_exit = True

    def close(self) -> None:
        """End the server, wherever it runs, and free its port."""
        self.stop()
        self._ended.wait()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _has_display() -> bool:
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
