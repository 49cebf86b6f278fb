"""Download a file over HTTP: an interrupted download resumes where it stopped, or begins anew."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from hrm_scale.base.errors import DataError, EnvironmentProblem
from hrm_scale.base.redaction import redact
from hrm_scale.data.remote.errors import (
    MissingError,
    RefusedError,
    TransientError,
    UnreachableError,
    WrongSizeError,
)
from hrm_scale.data.remote.http_client import (
    HttpClient,
    Response,
    content_length,
    content_range,
    iter_body,
)
from hrm_scale.data.remote.retry import Retrier

TIMEOUT_SECONDS = 30.0
PATIENCE_SECONDS = 60.0
"""How long a download may fail without one new byte."""


def download(
    url: str, path: Path, *, most_bytes: int, progress: Callable[[int], None] | None = None
) -> None:
    """Write what `url` holds to `path`. What has arrived stays when the rest does not.

    A part that lies there is continued when the server confirms by its ETag that the file is the
    same, and is replaced otherwise. DataError when the file has more than `most_bytes`;
    EnvironmentProblem when it cannot be had now.
    """
    client = HttpClient(TIMEOUT_SECONDS)
    failed = f"cannot fetch {redact(url)}"
    try:
        Retrier(PATIENCE_SECONDS, advice="").run(
            failed,
            lambda: _attempt(client, url, path, most_bytes, progress),
            progress=lambda: _size(path),
        )
    except (MissingError, RefusedError) as error:
        raise EnvironmentProblem(f"{failed}: {error}") from error
    finally:
        client.close()
    _etag_file(path).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _etag_file(path: Path) -> Path:
    return path.with_name(path.name + ".etag")


def _attempt(
    client: HttpClient,
    url: str,
    path: Path,
    most_bytes: int,
    progress: Callable[[int], None] | None,
) -> None:
    start = _size(path)
    etag = _etag_file(path).read_text(encoding="utf-8") if _etag_file(path).exists() else ""
    headers = {"Range": f"bytes={start}-", "If-Range": etag} if start and etag else {}
    try:
        with client.request("GET", url, headers) as response:
            if response.status == 200:
                start = 0
                _remember(path, response)
            elif (content_range(response) or (-1,))[0] != start:
                raise WrongSizeError("sends a part that was not asked for")
            length = content_length(response)
            total = None if length is None else start + length
            if total is not None and total > most_bytes:
                raise DataError(
                    f"{redact(url)}: has {total} bytes, at most {most_bytes} were expected"
                )
            done = start
            with path.open("ab" if start else "wb") as stream:
                for piece in iter_body(response):
                    stream.write(piece)
                    done += len(piece)
                    if done > most_bytes:
                        raise DataError(
                            f"{redact(url)}: has more than the {most_bytes} bytes expected"
                        )
                    if progress is not None:
                        progress(done)
    except UnreachableError as error:
        raise RefusedError(str(error)) from error  # waiting does not help
    except WrongSizeError as error:
        path.unlink(missing_ok=True)  # no beginning of that file
        raise TransientError(str(error)) from error
    if total is not None and done < total:
        raise TransientError(f"the connection ended after {done} of {total} bytes")


def _remember(path: Path, response: Response) -> None:
    """Keep a strong ETag, by which a part can be continued."""
    etag = response.headers.get("ETag", "")
    if re.fullmatch(r'"[\x21\x23-\x7e]{1,200}"', etag):
        _etag_file(path).write_text(etag, encoding="utf-8")
    else:
        _etag_file(path).unlink(missing_ok=True)
