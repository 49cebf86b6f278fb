"""`metrics.jsonl`: every reported number of a run, one JSON object a line, whatever happens.

A resumed run cuts away the lines beyond the step it restored, so the finished file is line by line
that of a run that was never interrupted (numbers under `perf/` are measured times and do differ).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hrm_scale.checkpoint.atomic import replace_file
from hrm_scale.reporting.line_file import LineFile
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
    """

    name = "metrics.jsonl"
    keeps_trying = True

    def __init__(self, path: Path, resume_step: int | None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        cut_after(path, resume_step)
        self._file = LineFile(path)

    def metrics(self, step: int, values: Values) -> None:
        self._file.append({"step": step, **{key: _number(v) for key, v in values.items()}})

    def sync(self) -> None:
        self._file.sync()

    def rewind(self, step: int) -> list[str]:
        self._file.cut(lambda line: _keep(line, step))
        return []

    def close(self, exit_code: int, text: str) -> None:
        self._file.close()


def _number(value: Any) -> float | int | None:
    """A JSON number; NaN and infinity, which JSON lacks, become null."""
    if isinstance(value, int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
