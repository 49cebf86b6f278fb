"""The order of what a program does to a disk, for tests of durability."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def record_disk_calls(patch: pytest.MonkeyPatch, root: Path) -> list[tuple[str, ...]]:
    """A list that grows by `(call, path, ...)` for every fsync, rename and removal under `root`.

    Paths are relative to `root`; renames by `os.rename` and `os.replace` are both "rename".
    """
    calls: list[tuple[str, ...]] = []

    def short(path: Any) -> str:
        return os.path.relpath(os.fspath(path), root)

    def wrap(function: str, described: Callable[..., tuple[str, ...]]) -> None:
        real = getattr(os, function)

        def recording(*args: Any, **kwargs: Any) -> Any:
            call = described(*args, **kwargs)
            result = real(*args, **kwargs)
            calls.append(call)
            return result

        patch.setattr(os, function, recording)

    wrap("fsync", lambda fd: ("fsync", short(os.readlink(f"/proc/self/fd/{fd}"))))
    for function in ("rename", "replace"):
        wrap(function, lambda source, target, **_: ("rename", short(source), short(target)))
    wrap("unlink", lambda path, **_: ("unlink", Path(path).name))
    return calls
