"""Files that somebody else may have written: opened without waiting, read within limits, and shown
without what their text could do to a terminal.

A folder may hold anything under a name we know: a link to elsewhere, a pipe that never ends, a
document of gigabytes or nested a million deep. What is refused here is refused before it is read.
"""

from __future__ import annotations

import json
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

MAX_DEPTH = 64


def open_regular(path: Path, *, links: bool = False) -> BufferedReader:
    """A regular file opened for reading. Never blocks, as opening a pipe would.

    links: follow a link that bears the name itself; folders above it may be links in any case.
    Raises ValueError for a link, folder, pipe or device; OSError for what cannot be opened.
    """
    if not links and path.is_symlink():
        raise ValueError("is a symbolic link, a regular file is expected")
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_BINARY", 0) | (0 if links else getattr(os, "O_NOFOLLOW", 0))
    if not stat.S_ISREG(os.stat(path).st_mode):
        # Before opening: a device may do something when it is opened.
        raise ValueError("is not a regular file (folder, pipe or device)")
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("is not a regular file (folder, pipe or device)")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path, limit: int, *, links: bool = False) -> bytes:
    """All of a regular file of at most `limit` bytes. ValueError otherwise, as `open_regular`."""
    with open_regular(path, links=links) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > limit:
            raise ValueError(f"has {size} bytes, allowed are {limit}")
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"has more than {limit} bytes")
    return data


def parse_json(data: bytes) -> Any:
    """The value of a JSON text in UTF-8. NaN and infinity are numbers here.

    ValueError, one line, for anything else, a name given twice, or nesting beyond MAX_DEPTH.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_object)
    except UnicodeDecodeError:
        raise ValueError("not text in UTF-8") from None
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    _check_depth(value)
    return value


def printable(text: object, limit: int | None = None) -> str:
    """`text` on one line, characters that do not print (control, escape, bidi) as escapes.

    Everything from a file, a name or a message of another library goes through this before it
    reaches a terminal or a log. limit: characters kept; "..." stands for the rest.
    """
    whole = str(text)
    shown = whole if limit is None else whole[:limit]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)
    return shown if len(whole) <= (limit or len(whole)) else f"{shown}..."


def printable_lines(text: str) -> str:
    """`text` with every line as `printable`: for reports whose line breaks are ours."""
    return "\n".join(map(printable, text.split("\n")))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # Readers differ in which one they take: what was looked at may not be what is used.
        raise ValueError("a name occurs twice in one object")
    return found


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for container in level:
            members = container.values() if isinstance(container, dict) else container
            if isinstance(container, dict | list):
                inner.extend(member for member in members if isinstance(member, dict | list))
        if not inner:
            return
        level = inner
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
