"""Ranges of files from web servers, continued where a reply broke off."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from hrm_scale.base.redaction import redact
from hrm_scale.data.addresses import RemoteOptions
from hrm_scale.data.remote.errors import (
    NoRangesError,
    RefusedError,
    TransientError,
    WrongSizeError,
)
from hrm_scale.data.remote.http_client import (
    HttpClient,
    Response,
    content_length,
    content_range,
    iter_body,
)
from hrm_scale.data.remote.retry import OPENING_SECONDS, Retrier


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
        self._retrier = Retrier(options.retry_seconds)
        self._client = HttpClient(options.timeout_seconds)
        self._lock = threading.Lock()
        self._bytes = 0

    def read(self, path: str, start: int, stop: int, total: int) -> bytes:
        body = io.BytesIO()  # many times faster than a bytearray that grows
        whole = (start, stop) == (0, total)

        def attempt() -> None:
            at = start + body.tell()
            wanted = {} if whole and at == start else {"Range": f"bytes={at}-{stop - 1}"}
            with self._client.request("GET", self._url(path), wanted, self._headers) as response:
                if response.status == 206:
                    _check_range(response, at, stop, total)
                else:
                    length = content_length(response)
                    if length is not None and length != total:
                        raise WrongSizeError(f"has {length} bytes instead of {total}")
                    if not whole:
                        raise NoRangesError
                    _clear(body)
                self._receive(response, body, stop - start)

        self._retrier.run(f"{self.name}/{path}", attempt, progress=body.tell)
        return body.getvalue()

    def read_small(self, path: str, limit: int) -> bytes:
        body = io.BytesIO()

        def attempt() -> None:
            _clear(body)
            with self._client.request("GET", self._url(path), private=self._headers) as response:
                size = content_length(response)
                if size is not None and size > limit:
                    raise WrongSizeError(f"has {size} bytes, allowed are {limit}")
                self._receive(response, body, limit + 1 if size is None else size, size is None)
                if body.tell() > limit:
                    raise WrongSizeError(f"has more than {limit} bytes")

        self._retrier.run(f"{self.name}/{path}", attempt, seconds=OPENING_SECONDS)
        return body.getvalue()

    def size(self, path: str) -> int | None:
        def attempt() -> int | None:
            with self._client.request("HEAD", self._url(path), private=self._headers) as response:
                return content_length(response) if response.status == 200 else None

        return self._retrier.run(f"{self.name}/{path}", attempt, seconds=OPENING_SECONDS)

    def stats(self) -> dict[str, float]:
        return {
            "requests": self._client.requests,
            "bytes": self._bytes,
            "retries": self._retrier.retries,
        }

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._retrier.after_fork()
        self._client.after_fork()

    def close(self) -> None:
        self._retrier.close()
        self._client.close()

    def _url(self, path: str) -> str:
        return self._base._replace(path=f"{self._base.path.rstrip('/')}/{path}").geturl()

    def _receive(
        self, response: Response, body: io.BytesIO, wanted: int, any_size: bool = False
    ) -> None:
        """Append to `body` until it has `wanted` bytes; what came stays when the rest does not."""
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise RefusedError("is sent in another encoding than it was asked for")
        for data in iter_body(response):
            taken = data[: wanted - body.tell()]
            body.write(taken)
            with self._lock:
                self._bytes += len(taken)
            if body.tell() >= wanted:
                return
        if not any_size and body.tell() < wanted:
            raise TransientError(f"the reply was cut off {wanted - body.tell()} bytes early")


def _clear(body: io.BytesIO) -> None:
    body.seek(0)
    body.truncate()


def _check_range(response: Response, start: int, stop: int, total: int) -> None:
    found = content_range(response)
    if found is None:
        raise TransientError("the reply does not say which bytes it holds")
    first, last, size = found
    if size != total:
        raise WrongSizeError(f"has {size} bytes instead of {total}")
    if (first, last) != (start, stop - 1):
        raise TransientError(f"bytes {first}-{last} came instead of {start}-{stop - 1}")
