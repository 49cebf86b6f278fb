"""`metrics.jsonl`: every reported number of a run, one JSON object a line, whatever happens.

A resumed run cuts away the lines beyond the step it restored, so the finished file is line by line
that of a run that was never interrupted (numbers under `perf/` are measured times and do differ).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hrm_scale.base.files import replace_file
from hrm_scale.reporting.line_file import LineFile
from hrm_scale.reporting.sinks import Sink, Values


def cut_after(path: Path, step: int | None, evaluations: int | None = None) -> int:
    """Remove lines beyond `step` (all of them when None) and torn ones; return how many.

    evaluations: how many of `step` itself stay, None for all: what the run has still to do is
    reported again. Atomic: a kill leaves the old file or the new one. A file that needs no cut is
    not touched.
    """
    if not path.exists():
        return 0
    keep = _keeper(step, evaluations)
    with open(path, "rb") as stream:
        removed = sum(not keep(line) for line in stream)
    if removed:
        replace_file(path, _kept(path, _keeper(step, evaluations)))
    return removed


def _kept(path: Path, keep: Callable[[bytes], bool]) -> Iterator[bytes]:
    with open(path, "rb") as stream:
        yield from (line for line in stream if keep(line))


def _keeper(step: int | None, evaluations: int | None = None) -> Callable[[bytes], bool]:
    """Asked line by line, in their order, whether to keep it."""
    left = math.inf if evaluations is None else evaluations

    def keep(line: bytes) -> bool:
        nonlocal left
        if step is None or not line.endswith(b"\n"):
            return False
        try:
            record = json.loads(line)
            if record["step"] == step and any(key.startswith("eval/") for key in record):
                left -= 1
                return left >= 0
            return bool(record["step"] <= step)
        except (ValueError, KeyError, TypeError):
            return False

    return keep


class JsonlSink(Sink):
    """Appends to `metrics.jsonl`, in the file system's hands as soon as a step is reported.

    resume_step: the step the run goes on from; None for a run that starts from nothing.
    evaluations: how many of them it has evaluated that step already, None for as many as are there.
    """

    name = "metrics.jsonl"
    keeps_trying = True

    def __init__(self, path: Path, resume_step: int | None, evaluations: int | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        cut_after(path, resume_step, evaluations)
        self._file = LineFile(path)

    def metrics(self, step: int, values: Values) -> None:
        self._file.append({"step": step, **{key: _number(v) for key, v in values.items()}})

    def sync(self) -> None:
        self._file.sync()

    def rewind(self, step: int) -> list[str]:
        self._file.cut(_keeper(step))
        return []

    def close(self, exit_code: int, text: str) -> None:
        self._file.close()


def _number(value: Any) -> float | int | None:
    """A JSON number; NaN and infinity, which JSON lacks, become null."""
    if isinstance(value, int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
