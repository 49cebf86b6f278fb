"""Download a file over HTTP: what was interrupted goes on where it stopped, or begins anew."""

from __future__ import annotations

import http.client
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path

from hrm_scale.base.errors import DataError, EnvironmentProblem
from hrm_scale.base.redaction import redact
from hrm_scale.data.remote.errors import RefusedError, TransientError
from hrm_scale.data.remote.retry import TRANSIENT_STATUSES, Retrier
from hrm_scale.data.remote.source_http import parse_retry_after

TIMEOUT_SECONDS = 30
PATIENCE_SECONDS = 60.0
"""How long a download may fail without one new byte."""
_PIECE = 1 << 18


def download(
    url: str, path: Path, *, most_bytes: int, progress: Callable[[int], None] | None = None
) -> None:
    """Write what `url` holds to `path`. What has arrived stays when the rest does not.

    A part that lies there goes on when the server says by its ETag that the file is the same, and
    is replaced otherwise. DataError when the file has more than `most_bytes`; EnvironmentProblem
    when it cannot be had now.
    """
    retrier = Retrier(PATIENCE_SECONDS, advice="")
    try:
        retrier.run(
            f"cannot fetch {redact(url)}",
            lambda: _attempt(url, path, most_bytes, progress),
            progress=lambda: _size(path),
        )
    except RefusedError as error:
        raise EnvironmentProblem(f"cannot fetch {redact(url)}: {error}") from error
    _etag_file(path).unlink(missing_ok=True)


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
            raise TransientError(f"status {response.status} with a part that was not asked for")
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else None
        if total is not None and total > most_bytes:
            raise DataError(f"{redact(url)}: has {total} bytes, at most {most_bytes} were expected")
        done = start
        with path.open(mode) as stream:
            for piece in _pieces(response):
                stream.write(piece)
                done += len(piece)
                if done > most_bytes:
                    raise DataError(f"{redact(url)}: has more than the {most_bytes} bytes expected")
                if progress is not None:
                    progress(done)
    if total is not None and done < total:
        raise TransientError(f"the connection ended after {done} of {total} bytes")


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
            raise TransientError("status 416") from error
        shown = f"the server answers {error.code} {error.reason}"
        if error.code in TRANSIENT_STATUSES:
            wait = parse_retry_after(error.headers.get("Retry-After"))
            raise TransientError(shown, wait) from error
        raise RefusedError(shown) from error
    except urllib.error.URLError as error:
        # No such host, or nobody there: waiting does not help.
        final = isinstance(error.reason, socket.gaierror | ConnectionRefusedError)
        failure = RefusedError if final else TransientError
        raise failure(_one_line(error.reason)) from error
    except (http.client.HTTPException, OSError) as error:
        raise TransientError(_one_line(error)) from error


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            piece = response.read(_PIECE)
        except (http.client.HTTPException, OSError) as error:
            raise TransientError(_one_line(error)) from error
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
