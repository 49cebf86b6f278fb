"""`events.jsonl`: when a run started, what it warned of, where it went back, and how it ended.

One JSON object a line, over all starts; nothing is ever removed. `metrics.jsonl` tells what a run
has become, this file what happened to it, so `python -m tools.run` reads both.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

from hrm_scale.reporting.line_file import LineFile
from hrm_scale.reporting.sinks import Sink, Values


class EventsSink(Sink):
    """Appends to `events.jsonl`.

    start: {"time", "event": "start", "step", "total_steps", "pid", "host", "processes"}
    warning: {..., "text"}; rollback: {..., "from_step"}; end: {..., "exit_code", "text"}.
    time: seconds since 1970. A start without an end was killed.
    """

    name = "events.jsonl"
    keeps_trying = True

    def __init__(self, path: Path) -> None:
        self._file = LineFile(path)
        self._step = 0

    def start(self, step: int, total_steps: int | None) -> list[str]:
        self._step = step
        self._record(
            "start",
            total_steps=total_steps,
            pid=os.getpid(),
            host=socket.gethostname(),
            processes=_processes(),
        )
        return []

    def metrics(self, step: int, values: Values) -> None:
        self._step = step
        self._file.write_pending()

    def advance(self, step: int) -> None:
        self._step = step

    def message(self, text: str, *, warning: bool) -> None:
        if warning:
            self._record("warning", text=text)

    def sync(self) -> None:
        self._file.sync()

    def rewind(self, step: int) -> list[str]:
        gone, self._step = self._step, step
        self._record("rollback", from_step=gone)
        return []

    def close(self, exit_code: int, text: str) -> None:
        try:
            self._record("end", exit_code=exit_code, text=text)
        finally:
            self._file.close()

    def _record(self, event: str, **values: Any) -> None:
        self._file.append({"time": time.time(), "event": event, "step": self._step, **values})


def _processes() -> int:
    try:
        return max(int(os.environ.get("WORLD_SIZE", "1")), 1)
    except ValueError:
        return 1
