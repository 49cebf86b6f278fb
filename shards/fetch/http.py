"""Download a file over HTTP: what was interrupted goes on where it stopped, or begins anew."""

from __future__ import annotations

import http.client
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path

from hrm_scale.base.errors import DataError

TIMEOUT_SECONDS = 30
WAITS = (1.0, 2.0, 4.0)
"""Seconds before the second, third ... attempt."""
_LONGEST_WAIT = 30.0
_PIECE = 1 << 18
_NOT_NOW = (408, 425, 429, 500, 502, 503, 504)


class Unreachable(Exception):
    """The file cannot be had now; says why in a few words."""


class _Interrupted(Exception):
    def __init__(self, reason: str, *, final: bool = False, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.final, self.wait = final, wait


def download(
    url: str, path: Path, *, most_bytes: int, progress: Callable[[int], None] | None = None
) -> None:
    """Write what `url` holds to `path`, all of it or Unreachable; what has arrived by then stays.

    A part that lies there goes on when the server says by its ETag that the file is the same, and
    is replaced otherwise. DataError when the file has more than `most_bytes`.
    """
    attempt = 0
    while True:
        before = _size(path)
        try:
            _attempt(url, path, most_bytes, progress)
            _etag_file(path).unlink(missing_ok=True)
            return
        except _Interrupted as error:
            # As long as something arrives, go on.
            attempt = 0 if _size(path) > before else attempt
            if error.final or attempt >= len(WAITS):
                raise Unreachable(str(error)) from error
            time.sleep(min(_LONGEST_WAIT, max(WAITS[attempt], error.wait)))
            attempt += 1


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _etag_file(path: Path) -> Path:
    return path.with_name(path.name + ".etag")


def _attempt(url: str, path: Path, most_bytes: int, progress: Callable[[int], None] | None) -> None:
    start = _size(path)
    etag = _etag_file(path).read_text(encoding="utf-8") if _etag_file(path).exists() else ""
    headers = {"User-Agent": "hrm_scale", "Accept-Encoding": "identity"}
    if start and etag:
        headers |= {"Range": f"bytes={start}-", "If-Range": etag}
    with _open(url, headers, path) as response:
        if response.status == 206 and _range_start(response.headers) == start:
            mode = "ab"
        elif response.status == 200:
            mode, start = "wb", 0
            _remember(path, response.headers)
        else:
            path.unlink(missing_ok=True)
            raise _Interrupted(f"status {response.status} with a part that was not asked for")
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else None
        if total is not None and total > most_bytes:
            raise DataError(f"{url}: has {total} bytes, at most {most_bytes} were expected")
        done = start
        with path.open(mode) as stream:
            for piece in _pieces(response):
                stream.write(piece)
                done += len(piece)
                if done > most_bytes:
                    raise DataError(f"{url}: has more than the {most_bytes} bytes expected")
                if progress is not None:
                    progress(done)
    if total is not None and done < total:
        raise _Interrupted(f"the connection ended after {done} of {total} bytes")


def _open(url: str, headers: dict[str, str], path: Path) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers=headers)
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(
            request, timeout=TIMEOUT_SECONDS
        )
        return response
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            # What lies there is no beginning of that file.
            path.unlink(missing_ok=True)
            raise _Interrupted("status 416") from error
        wait = error.headers.get("Retry-After", "")
        raise _Interrupted(
            f"the server answers {error.code} {error.reason}",
            final=error.code not in _NOT_NOW,
            wait=float(wait) if re.fullmatch(r"[0-9]{1,4}", wait) else 0.0,
        ) from error
    except urllib.error.URLError as error:
        # No such host, or nobody there: waiting does not help.
        final = isinstance(error.reason, socket.gaierror | ConnectionRefusedError)
        raise _Interrupted(_one_line(error.reason), final=final) from error
    except (http.client.HTTPException, OSError) as error:
        raise _Interrupted(_one_line(error)) from error


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            piece = response.read(_PIECE)
        except (http.client.HTTPException, OSError) as error:
            raise _Interrupted(_one_line(error)) from error
        if not piece:
            return
        yield piece


def _remember(path: Path, headers: Message) -> None:
    """Keep a strong ETag, by which a part can be continued."""
    etag = headers.get("ETag", "")
    if re.fullmatch(r'"[\x21\x23-\x7e]{1,200}"', etag):
        _etag_file(path).write_text(etag, encoding="utf-8")
    else:
        _etag_file(path).unlink(missing_ok=True)


def _range_start(headers: Message) -> int:
    found = re.match(r"bytes ([0-9]{1,18})-", headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _one_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
