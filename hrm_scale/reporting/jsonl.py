"""`metrics.jsonl`: every reported number of a run, one JSON object a line, whatever happens.

A resumed run cuts away the lines beyond the step it restored, so the finished file is line by line
that of a run that was never interrupted (numbers under `perf/` are measured times and do differ).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from hrm_scale.checkpoint.atomic import replace_file
from hrm_scale.reporting.sinks import Sink, Values


def cut_after(path: Path, step: int | None) -> int:
    """Remove lines beyond `step` (all of them when None) and torn ones; return how many.

    Atomic: a kill leaves the old file or the new one. A file that needs no cut is not touched.
    """
    if not path.exists():
        return 0
    with open(path, "rb") as stream:
        removed = sum(not _keep(line, step) for line in stream)
    if removed:
        replace_file(path, _kept(path, step))
    return removed


def _kept(path: Path, step: int | None) -> Iterator[bytes]:
    with open(path, "rb") as stream:
        yield from (line for line in stream if _keep(line, step))


def _keep(line: bytes, step: int | None) -> bool:
    if step is None or not line.endswith(b"\n"):
        return False
    try:
        return bool(json.loads(line)["step"] <= step)
    except (ValueError, KeyError, TypeError):
        return False


class JsonlSink(Sink):
    """Appends to `metrics.jsonl`, in the file system's hands as soon as a step is reported.

    resume_step: the step the run goes on from; None for a run that starts from nothing.

    On a full disk the lines wait in memory and are written when there is room again.
    """

    name = "metrics.jsonl"
    keeps_trying = True

    def __init__(self, path: Path, resume_step: int | None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        cut_after(path, resume_step)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._pending: list[bytes] = []

    def metrics(self, step: int, values: Values) -> None:
        line = {"step": step, **{key: _number(value) for key, value in values.items()}}
        self._pending.append((json.dumps(line) + "\n").encode())
        self._write()

    def sync(self) -> None:
        self._write()
        os.fsync(self._descriptor)

    def close(self, exit_code: int) -> None:
        try:
            self._write()
        finally:
            os.close(self._descriptor)

    def _write(self) -> None:
        data = b"".join(self._pending)
        if not data:
            return
        before = os.fstat(self._descriptor).st_size
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            # Half a line must not stay: the lines are written whole next time.
            with suppress(OSError):
                os.ftruncate(self._descriptor, before)
            raise
        self._pending.clear()


def _number(value: Any) -> float | int | None:
    """A JSON number; NaN and infinity, which JSON lacks, become null."""
    if isinstance(value, int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
