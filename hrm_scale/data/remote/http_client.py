"""Requests to web servers: connections that stay open, proxies, redirects, errors in words.

`urllib3` keeps the connections; statuses, redirects and retries are decided here and in `retry`.
`httpx` takes nearly three times the CPU per byte, and `obstore` hangs in a forked process and hides
`Retry-After` and redirects (numbers: docs/streaming.md, "Libraries").
"""

from __future__ import annotations

import base64
import http.client
import logging
import re
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from hrm_scale.base.redaction import redact
from hrm_scale.data.remote.errors import (
    MissingError,
    RefusedError,
    TransientError,
    UnreachableError,
    WrongSizeError,
)
from hrm_scale.data.remote.retry import TRANSIENT_STATUSES

_CHUNK = 1 << 18
_REDIRECTS = frozenset([301, 302, 303, 307, 308])
_MAX_REDIRECTS = 5
_EXPIRED = frozenset([400, 401, 403, 404, 410])
_REMEMBER_SECONDS = 300.0
_MAX_IDLE = 32
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
Response = urllib3.BaseHTTPResponse
_Server = tuple[str, str, int]


class HttpClient:
    """For the threads of one process. timeout: seconds of silence after which a request fails."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self.requests = 0
        # Where a file was redirected to: a hub limits the number of requests.
        self._moved: dict[str, tuple[str, float]] = {}
        self._managers: dict[_Server, urllib3.PoolManager] = {}
        self._of_parent: list[object] = []
        self._lock = threading.Lock()

    def after_fork(self) -> None:
        """In the child: connections and locks of the parent are not its own."""
        # Kept, as their finalizers could wait for a lock that a thread of the parent holds.
        self._of_parent.append(self._managers)
        self._lock, self._managers = threading.Lock(), {}

    @contextmanager
    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        private: Mapping[str, str] | None = None,
    ) -> Iterator[Response]:
        """The response of a success (200, 206), redirects followed; its body is not read yet.

        private: headers for the server of `url` alone, as are the credentials in `url`. Raises
        TransientError, also for what breaks while the body is read, RefusedError, MissingError, or
        WrongSizeError (416).
        """
        url, own = _without_credentials(url)
        own |= private or {}
        sent = {"Accept-Encoding": "identity", "User-Agent": "hrm_scale", **(headers or {})}
        target, until = self._moved.get(url, (url, 0.0))
        if until < time.monotonic():
            self._moved.pop(url, None)
            target = url
        for _ in range(_MAX_REDIRECTS + 1):
            ours = own if _server(target) == _server(url) else {}
            response = self._send(method, target, {**sent, **ours})
            try:
                if response.status in _REDIRECTS:
                    target = _redirected(target, response.headers.get("Location", ""))
                    continue
                if response.status in _EXPIRED and url in self._moved:
                    # A signed link that has expired looks like this: ask for a new one first.
                    self._moved.pop(url, None)
                    raise TransientError(f"the redirect it gave has expired ({response.status})")
                _check_status(response)
                yield response
                if target != url:
                    self._moved[url] = (target, time.monotonic() + _REMEMBER_SECONDS)
                with suppress(HTTPError):
                    response.read(1)  # at its end, so the connection is used again
                return
            except HTTPError as error:  # no OSError: that would be one of the caller's files
                raise self._translated(error) from error
            finally:
                response.close()
        raise RefusedError(f"redirects more than {_MAX_REDIRECTS} times")

    def close(self) -> None:
        with self._lock:
            for manager in self._managers.values():
                manager.clear()

    def _send(self, method: str, url: str, headers: Mapping[str, str]) -> Response:
        with self._lock:
            self.requests += 1
        try:
            return self._manager(url).urlopen(
                method,
                url,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                enforce_content_length=False,
            )
        except ValueError as error:  # first: urllib3's are HTTPErrors too
            raise RefusedError("its redirect leads nowhere") from error
        except HTTPError as error:
            raise self._translated(error) from error

    def _manager(self, url: str) -> urllib3.PoolManager:
        """The connections to a server, through what the environment names (`https_proxy`)."""
        server = scheme, host, port = _server(url)
        with self._lock:
            if server not in self._managers:
                proxy = urllib.request.getproxies().get(scheme, "")
                if urllib.request.proxy_bypass(f"{host}:{port}"):
                    proxy = ""
                self._managers[server] = self._connect_through(proxy)
            return self._managers[server]

    def _connect_through(self, proxy: str) -> urllib3.PoolManager:
        timeout = urllib3.Timeout(connect=self._timeout, read=self._timeout)
        if not proxy:
            return urllib3.PoolManager(maxsize=_MAX_IDLE, timeout=timeout)
        address, headers = _without_credentials(proxy if "://" in proxy else f"http://{proxy}")
        proxy_headers = {f"Proxy-{name}": value for name, value in headers.items()}
        try:
            return urllib3.ProxyManager(
                address, proxy_headers=proxy_headers, maxsize=_MAX_IDLE, timeout=timeout
            )
        except ValueError as error:
            raise RefusedError(f"the proxy {redact(proxy)} is not an http address") from error

    def _translated(self, error: Exception) -> Exception:
        inner = _innermost(error)
        if isinstance(inner, ssl.SSLCertVerificationError):
            return RefusedError(f"its certificate is not valid ({inner.reason})")
        if isinstance(inner, TimeoutError):
            return TransientError(f"no answer within {self._timeout:g} s")
        if isinstance(inner, http.client.RemoteDisconnected):
            return TransientError("the server closed the connection without an answer")
        text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
        words = redact(" ".join(str(text).split()))[:200]
        nobody = isinstance(inner, socket.gaierror | ConnectionRefusedError)
        return UnreachableError(words) if nobody else TransientError(words)


def iter_body(response: Response) -> Iterator[bytes]:
    """The body as it comes, unchanged; ends early without an error when the server does."""
    while data := response.read1(_CHUNK):
        yield data


def content_length(response: Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def content_range(response: Response) -> tuple[int, int, int] | None:
    """First byte, last byte and size of the file in a partial reply."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _server(url: str) -> _Server:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname or "", port


def _without_credentials(url: str) -> tuple[str, dict[str, str]]:
    """The address without them, and the header that has them."""
    parts = urlsplit(url)
    if parts.username is None:
        return url, {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    basic = base64.b64encode(pair.encode()).decode("ascii")
    return _bare(parts).geturl(), {"Authorization": f"Basic {basic}"}


def _bare(parts: SplitResult) -> SplitResult:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2])


def _redirected(url: str, location: str) -> str:
    try:
        target = urlsplit(urljoin(url, location))
    except ValueError as error:
        raise RefusedError("its redirect leads nowhere") from error
    if target.scheme not in ("http", "https") or not target.hostname:
        raise RefusedError("redirects to something that is not http")
    if url.startswith("https:") and target.scheme == "http":
        raise RefusedError("redirects from https to http")
    return _bare(target)._replace(fragment="").geturl()


def _check_status(response: Response) -> None:
    status = response.status
    shown = f"answers {status} {(response.reason or '')[:60]}".rstrip()
    if status in (200, 206):
        return
    if status in (404, 410):
        raise MissingError(shown)
    if status == 416:
        raise WrongSizeError("is shorter than it should be (416)")
    if status in TRANSIENT_STATUSES:
        raise TransientError(shown, _retry_after(response))
    raise RefusedError(shown)


def _retry_after(response: Response) -> float | None:
    try:
        return urllib3.Retry().get_retry_after(response)
    except (HTTPError, ValueError, OverflowError):
        return None


def _innermost(error: BaseException) -> BaseException:
    """The error of the socket or of TLS that one of urllib3 is about."""
    inner = error.__cause__ or next((a for a in error.args if isinstance(a, Exception)), None)
    return error if inner is None else _innermost(inner)


def _mask(record: logging.LogRecord) -> bool:
    """urllib3 logs addresses, whose queries may be credentials."""
    record.msg, record.args, record.exc_info = redact(record.getMessage()), (), None
    return True


for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_mask)
