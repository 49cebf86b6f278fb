"""Evaluation as people read it: tables, progress while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from hrm_scale.base.untrusted import printable
from hrm_scale.reporting.lines import duration


def rates_table(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Exact accuracy of each row with its interval."""
    rows = [{**row, "name": printable(row["name"])} for row in rows]
    width = max(len(title), *(len(row["name"]) for row in rows))
    lines = [f"{title:{width}} {'examples':>9} {'exact accuracy':>15} {'95 % interval':>16}"]
    lines += [
        f"{row['name']:{width}} {row['count']:9} {row['exact_accuracy']:15.4f}"
        f" {interval(row['low'], row['high']):>16}"
        for row in rows
    ]
    return "\n".join(lines)


def interval(low: float, high: float) -> str:
    """Both ends as text."""
    return f"{low:.4f}-{high:.4f}"


class Progress:
    """Rows done, on standard error: a line that renews itself on a terminal, else one line every
    ten seconds. Only where it is `shown`: one process of several tells."""

    def __init__(self, rows: int, shown: bool = True) -> None:
        self._rows, self._visible = rows, shown
        self._start = self._shown = time.monotonic()
        self._tty = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._visible and self._tty:
            print("\r\x1b[K", end="", file=sys.stderr)

    def update(self, done: int) -> bool:
        """Show `done` rows when it is time to. Returns False: evaluation goes on."""
        now = time.monotonic()
        if self._visible and now - self._shown >= (0.2 if self._tty else 10.0):
            self._shown = now
            left = (now - self._start) * (self._rows - done) / max(done, 1)
            text = f"evaluating {done}/{self._rows} | ETA {duration(left)}"
            print(
                f"\r\x1b[K{text}" if self._tty else text,
                end="" if self._tty else "\n",
                file=sys.stderr,
            )
            sys.stderr.flush()
        return False
