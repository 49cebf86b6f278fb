"""HTTP connections that are used again, one per thread at a time, through proxies where set."""

from __future__ import annotations

import base64
import http.client
import threading
import urllib.request
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

_MAX_IDLE = 32


class Target(NamedTuple):
    """Whom to connect to."""

    scheme: str
    host: str
    port: int


def target_of(url: SplitResult) -> Target:
    return Target(
        url.scheme, url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    )


def basic_authorization(url: SplitResult) -> str | None:
    """The `Authorization` header for the credentials in an address."""
    if url.username is None:
        return None
    pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


class Connections:
    """Idle connections by target, for the threads of one process."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._lock = threading.Lock()
        self._idle: dict[Target, list[http.client.HTTPConnection]] = {}

    def request(
        self, method: str, url: SplitResult, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a request; the response is not read yet. Give the connection back or close it.

        A connection that was idle may have been closed by the server meanwhile, so such a failure
        is tried once more on a fresh one. OSError or HTTPException otherwise.
        """
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        target = target_of(url)
        sent = dict(headers)
        if target.scheme == "http" and (proxy := _proxy(target)):
            path = f"http://{url.netloc.rpartition('@')[2]}{path}"
            sent |= _proxy_headers(proxy)
        idle = self._take(target)
        for connection in [idle, None] if idle else [None]:
            used = connection or self._connect(target)
            try:
                used.request(method, path, headers=sent)
                return used, used.getresponse()
            except (OSError, http.client.HTTPException):
                used.close()
                if connection is None:
                    raise
        raise AssertionError("unreachable")

    def give_back(self, url: SplitResult, connection: http.client.HTTPConnection) -> None:
        """After the response was read to its end."""
        with self._lock:
            kept = self._idle.setdefault(target_of(url), [])
            if len(kept) < _MAX_IDLE:
                kept.append(connection)
                return
        connection.close()

    def close(self) -> None:
        with self._lock:
            connections = [each for kept in self._idle.values() for each in kept]
            self._idle.clear()
        for connection in connections:
            connection.close()

    def _take(self, target: Target) -> http.client.HTTPConnection | None:
        with self._lock:
            kept = self._idle.get(target)
            return kept.pop() if kept else None

    def _connect(self, target: Target) -> http.client.HTTPConnection:
        kind = (
            http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
        )
        proxy = _proxy(target)
        if proxy is None:
            return kind(target.host, target.port, timeout=self._timeout)
        connection = kind(proxy.hostname or "", proxy.port or 3128, timeout=self._timeout)
        if target.scheme == "https":
            connection.set_tunnel(target.host, target.port, _proxy_headers(proxy))
        return connection


def _proxy(target: Target) -> SplitResult | None:
    """What the environment says (`https_proxy`, `no_proxy`, ...)."""
    found = urllib.request.getproxies().get(target.scheme)
    if not found or urllib.request.proxy_bypass(f"{target.host}:{target.port}"):
        return None
    return urlsplit(found if "://" in found else f"http://{found}")


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    authorization = basic_authorization(proxy)
    return {"Proxy-Authorization": authorization} if authorization else {}
