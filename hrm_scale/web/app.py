"""Requests to a page: its files, answers as JSON, answers that come line by line.

The app trusts nobody but the page it serves. A request under a foreign Host is refused: a web page
elsewhere may point a name of its own at this address, and would then read what is here (DNS
rebinding). A POST must be JSON and come from this very page, so that no other page can cause one.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hrm_scale.base.errors import HrmError
from hrm_scale.base.untrusted import parse_json
from hrm_scale.web.assets import CONTENT_TYPES, INDEX
from hrm_scale.web.server import Answer, Stream

MOST_POSTED = 1 << 18
"""Bytes of a question; a task as JSON with all its demonstrations has up to a fifth of it."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_FAULT = "a fault of the program: the terminal it was started in says more"


@dataclass(frozen=True)
class Site:
    """What is served: `files` by name, `routes` (GET) and `streams` (POST) under `api/`. url: where
    the page is. is_trusted: is a Host header a name of this machine?"""

    files: Mapping[str, Path]
    routes: Mapping[str, Answer]
    streams: Mapping[str, Stream]
    url: str
    is_trusted: Callable[[str], bool]


def make_app(site: Site) -> Starlette:
    """The ASGI app of a site. An HrmError of a route becomes {"error": one line}, status 422."""

    async def file(request: Request) -> Response:
        path = site.files.get(request.path_params.get("name", INDEX))
        if path is None:
            raise HTTPException(404, "no such page")
        return FileResponse(path, media_type=CONTENT_TYPES[path.suffix])

    async def route(request: Request) -> Response:
        answer = site.routes.get(request.path_params["name"])
        if answer is None:
            raise HTTPException(404, "no such page")
        return JSONResponse(await _call(answer, dict(request.query_params)))

    async def post(request: Request) -> Response:
        if not site.streams:
            raise HTTPException(501, "nothing is posted to this page")
        _require_own_page(request.headers)
        body = await _posted(request)
        stream = site.streams.get(request.path_params["name"])
        if stream is None:
            raise HTTPException(404, "no such page")
        try:
            asked = parse_json(body)
        except ValueError as error:
            raise HTTPException(400, f"what was posted is no JSON ({error})") from None
        lines = await _call(stream, asked)
        return StreamingResponse(_lines(lines), media_type="application/x-ndjson")

    return Starlette(
        routes=[
            Route("/api/{name}", route),
            Route("/api/{name}", post, methods=["POST"]),
            Route("/", file),
            Route("/{name:path}", file),
        ],
        middleware=[Middleware(_Guard, site=site)],
        exception_handlers={
            HTTPException: lambda _, error: _refusal(error.status_code, error.detail),
            HrmError: lambda _, error: _refusal(422, str(error)),
        },
    )


class _Guard:
    """Refuses requests under a foreign name, and sends the headers of `_HEADERS`."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app, self._site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        app = self._app
        if not self._site.is_trusted(Headers(scope=scope).get("host", "")):
            app = _refusal(403, f"this page is for this machine only: open {self._site.url}")
        await app(scope, receive, send_guarded)


async def _call(function: Callable[[Any], Any], argument: Any) -> Any:
    """What a route returns; a fault of it is shown in the terminal."""
    try:
        return await run_in_threadpool(function, argument)
    except HrmError:
        raise
    except Exception:
        traceback.print_exc()
        raise HTTPException(500, _FAULT) from None


def _refusal(status: int, line: str) -> Response:
    return JSONResponse({"error": line}, status)


def _require_own_page(headers: Headers) -> None:
    if headers.get("origin") not in (None, f"http://{headers['host']}"):
        raise HTTPException(403, "only the page itself may ask this")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "post JSON")


async def _posted(request: Request) -> bytes:
    length = request.headers.get("content-length")
    if length is None:
        raise HTTPException(411, "say how many bytes are posted")
    if int(length) > MOST_POSTED:
        raise HTTPException(413, f"at most {MOST_POSTED} bytes may be posted")
    return await request.body()


def _lines(items: Iterator[Any]) -> Iterator[bytes]:
    """Every item as a line as soon as it is there; the last one tells of an error."""
    try:
        for item in items:
            yield _encode(item)
    except HrmError as error:
        yield _encode({"error": str(error)})
    except Exception:
        traceback.print_exc()
        yield _encode({"error": _FAULT})


def _encode(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"
