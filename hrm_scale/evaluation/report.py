"""Evaluation as people read it: a table with the baselines, and progress while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from hrm_scale.reporting.lines import duration

BASELINES = {
    "all_pad": "all PAD",
    "most_frequent": "most frequent token",
    "copy_input": "copy of the input",
}


def render_results(results: Mapping[str, float], checkpoint: str, data: str) -> str:
    """Exact accuracy first, the baselines of the same rows below it."""
    count = int(results["count"])
    lines = [f"checkpoint  {checkpoint}", f"data        {data}, {count} examples", ""]
    if count == 0:
        return "\n".join([*lines, "no example has a label: nothing to evaluate"])
    lines.append(f"{'':31} {'exact accuracy':>15} {'cell accuracy':>15}")
    exact, cells = results["exact_accuracy"], results["accuracy"]
    lines.append(f"{'model':31} {exact:15.4f} {cells:15.4f}")
    for key, name in BASELINES.items():
        exact = results[f"baseline/{key}/exact_accuracy"]
        cells = results[f"baseline/{key}/accuracy"]
        lines.append(f"{'baseline: ' + name:31} {exact:15.4f} {cells:15.4f}")
    lines += [
        "",
        f"q-halt accuracy  {results['q_halt_accuracy']:.4f}",
        f"mean steps       {results['steps']:.2f}",
        f"lm loss          {results['lm_loss']:.4f}",
    ]
    return "\n".join(lines)


def best_baseline(results: Mapping[str, float]) -> float:
    """Exact accuracy of the best of the trivial baselines."""
    return max(results[f"baseline/{key}/exact_accuracy"] for key in BASELINES)


class Progress:
    """Rows done, on standard error: a line that renews itself on a terminal, else one line every
    ten seconds."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._start = self._shown = time.monotonic()
        self._tty = sys.stderr.isatty()

    def update(self, done: int) -> bool:
        """Show `done` rows when it is time to. Returns False: evaluation goes on."""
        now = time.monotonic()
        if now - self._shown >= (0.2 if self._tty else 10.0):
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

    def close(self) -> None:
        if self._tty:
            print("\r\x1b[K", end="", file=sys.stderr)
