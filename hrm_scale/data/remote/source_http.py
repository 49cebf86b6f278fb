"""Ranges of files from web servers.

The standard library's client: every status, header and timeout is then in our hands (retries,
`Retry-After`, short bodies, redirects), connections stay open, and no package is needed.
"""

from __future__ import annotations

import email.utils
import http.client
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, urljoin, urlsplit

from hrm_scale.base.redaction import redact
from hrm_scale.data.remote.errors import (
    MissingError,
    NoRangesError,
    RefusedError,
    TransientError,
    WrongSizeError,
)
from hrm_scale.data.remote.http_connections import Connections, basic_authorization, target_of
from hrm_scale.data.remote.options import RemoteOptions
from hrm_scale.data.remote.retry import OPENING_SECONDS, TRANSIENT_STATUSES, Retrier

_CHUNK = 1 << 18
_REDIRECTS = frozenset([301, 302, 303, 307, 308])
_MAX_REDIRECTS = 5
_EXPIRED = frozenset([400, 401, 403, 404, 410])
_REMEMBER_SECONDS = 300.0
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class HttpSource:
    """Files below an http(s) address. headers: sent to the address's own host only."""

    def __init__(
        self,
        address: str,
        options: RemoteOptions,
        *,
        name: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._base = urlsplit(address)
        self.name = name or redact(address)
        self._headers = dict(headers or {})
        if authorization := basic_authorization(self._base):
            self._headers["Authorization"] = authorization
        self._retrier = Retrier(options.retry_seconds)
        self._timeout = options.timeout_seconds
        self.after_fork()
        self._requests = self._bytes = 0
        # Where a file was redirected to: a hub counts every question.
        self._moved: dict[str, tuple[SplitResult, float]] = {}

    def read(self, path: str, start: int, stop: int, total: int) -> bytes:
        body = bytearray()
        whole = (start, stop) == (0, total)

        def attempt() -> None:
            at = start + len(body)
            wanted = {} if whole and not body else {"Range": f"bytes={at}-{stop - 1}"}

            def take(response: http.client.HTTPResponse) -> None:
                if response.status == 206:
                    _check_range(response, at, stop, total)
                elif response.status == 200:
                    length = response.getheader("Content-Length")
                    if length is not None and int(length) != total:
                        raise WrongSizeError(f"has {length} bytes instead of {total}")
                    if not whole:
                        raise NoRangesError
                    body.clear()
                self._receive(response, body, stop - start)

            self._ask("GET", path, wanted, take)

        self._retrier.run(f"{self.name}/{path}", attempt, progress=lambda: len(body))
        return bytes(body)

    def read_small(self, path: str, limit: int) -> bytes:
        body = bytearray()

        def attempt() -> None:
            body.clear()

            def take(response: http.client.HTTPResponse) -> None:
                length = response.getheader("Content-Length")
                size = int(length) if length is not None else None
                if size is not None and size > limit:
                    raise WrongSizeError(f"has {size} bytes, allowed are {limit}")
                self._receive(response, body, limit + 1 if size is None else size, size is None)
                if len(body) > limit:
                    raise WrongSizeError(f"has more than {limit} bytes")

            self._ask("GET", path, {}, take)

        self._retrier.run(f"{self.name}/{path}", attempt, seconds=OPENING_SECONDS)
        return bytes(body)

    def size(self, path: str) -> int | None:
        found: list[int | None] = []

        def take(response: http.client.HTTPResponse) -> None:
            length = response.getheader("Content-Length")
            found.append(int(length) if length is not None and response.status == 200 else None)

        def attempt() -> None:
            self._ask("HEAD", path, {}, take)

        self._retrier.run(f"{self.name}/{path}", attempt, seconds=OPENING_SECONDS)
        return found[-1]

    def stats(self) -> dict[str, float]:
        return {
            "requests": self._requests,
            "bytes": self._bytes,
            "retries": self._retrier.retries,
        }

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._retrier.after_fork()
        # The old ones are not closed: that would end the parent's.
        self._connections = Connections(self._timeout)

    def close(self) -> None:
        self._retrier.close()
        self._connections.close()

    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        take: Callable[[http.client.HTTPResponse], None],
    ) -> None:
        """One request, redirects followed; `take` reads the response of a success."""
        own = self._url(path)
        url, until = self._moved.get(path, (own, 0.0))
        if until < time.monotonic():
            self._moved.pop(path, None)
            url = own
        sent = {"Accept-Encoding": "identity", "User-Agent": "hrm_scale", **headers}
        for _ in range(_MAX_REDIRECTS + 1):
            with self._lock:
                self._requests += 1
            ours = self._headers if target_of(url) == target_of(own) else {}
            try:
                connection, response = self._connections.request(method, url, {**sent, **ours})
            except ssl.SSLCertVerificationError as error:
                raise RefusedError(f"its certificate is not valid ({error.reason})") from error
            except (OSError, http.client.HTTPException) as error:
                raise TransientError(_reason(error, self._timeout)) from error
            except ValueError as error:
                raise RefusedError("its redirect leads nowhere") from error
            done = False
            try:
                if response.status in _REDIRECTS:
                    url = self._redirected(url, response)
                    continue
                if response.status in _EXPIRED and path in self._moved:
                    # A signed link that has expired looks like this: ask for a new one first.
                    self._moved.pop(path, None)
                    raise TransientError(f"the redirect it gave has expired ({response.status})")
                _check_status(response)
                take(response)
                if url != own:
                    self._moved[path] = (url, time.monotonic() + _REMEMBER_SECONDS)
                done = True
                return
            except (OSError, http.client.HTTPException) as error:
                raise TransientError(_reason(error, self._timeout)) from error
            finally:
                if done and response.isclosed() and not response.will_close:
                    self._connections.give_back(url, connection)
                else:
                    connection.close()
        raise RefusedError(f"redirects more than {_MAX_REDIRECTS} times")

    def _url(self, path: str) -> SplitResult:
        return self._base._replace(path=f"{self._base.path.rstrip('/')}/{path}")

    @staticmethod
    def _redirected(url: SplitResult, response: http.client.HTTPResponse) -> SplitResult:
        target = urlsplit(urljoin(url.geturl(), response.getheader("Location", "")))
        if target.scheme not in ("http", "https") or not target.hostname:
            raise RefusedError("redirects to something that is not http")
        if url.scheme == "https" and target.scheme == "http":
            raise RefusedError("redirects from https to http")
        return target

    def _receive(
        self,
        response: http.client.HTTPResponse,
        body: bytearray,
        wanted: int,
        any_size: bool = False,
    ) -> None:
        """Append to `body` until it has `wanted` bytes; what came stays when the rest does not."""
        if response.getheader("Content-Encoding", "identity").lower() != "identity":
            raise RefusedError("is sent in another encoding than it was asked for")
        while len(body) < wanted:
            try:
                data = response.read1(min(_CHUNK, wanted - len(body)))
            except http.client.IncompleteRead as error:
                data = error.partial
            if not data:
                if any_size:
                    return
                raise TransientError(f"the reply was cut off {wanted - len(body)} bytes early")
            body += data
            with self._lock:
                self._bytes += len(data)
        if not any_size:
            response.read(0 if response.length else 1)  # so that it knows that it is at its end


def _check_status(response: http.client.HTTPResponse) -> None:
    status = response.status
    shown = f"answers {status} {response.reason[:60]}".rstrip()
    if status in (200, 206):
        return
    if status in (404, 410):
        raise MissingError(shown)
    if status == 416:
        raise WrongSizeError("is shorter than it should be (416)")
    if status in TRANSIENT_STATUSES:
        raise TransientError(shown, parse_retry_after(response.getheader("Retry-After")))
    raise RefusedError(shown)


def _check_range(response: http.client.HTTPResponse, start: int, stop: int, total: int) -> None:
    match = _CONTENT_RANGE.fullmatch(response.getheader("Content-Range", ""))
    if match is None:
        raise TransientError("the reply does not say which bytes it holds")
    first, last, size = map(int, match.groups())
    if size != total:
        raise WrongSizeError(f"has {size} bytes instead of {total}")
    if (first, last) != (start, stop - 1):
        raise TransientError(f"bytes {first}-{last} came instead of {start}-{stop - 1}")


def parse_retry_after(value: str | None) -> float | None:
    """Seconds from a `Retry-After` header: a number, or a date."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the server closed the connection without an answer"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return redact(" ".join(str(text).split()))[:200]
