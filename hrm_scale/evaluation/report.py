"""Evaluation as people read it: tables with baselines and intervals, progress while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hrm_scale.base.statistics import wilson
from hrm_scale.base.untrusted import printable
from hrm_scale.reporting.lines import duration

if TYPE_CHECKING:
    from hrm_scale.evaluation.arc.score import ArcScore
    from hrm_scale.evaluation.arc.subsample import CurvePoint
    from hrm_scale.evaluation.session import Found

BASELINES = {
    "all_pad": "all PAD",
    "most_frequent": "most frequent token",
    "copy_input": "copy of the input",
}


def render_results(results: Mapping[str, float], checkpoint: str, data: str) -> str:
    """Exact accuracy first, the baselines of the same rows below it."""
    count = int(results["count"])
    lines = [
        f"checkpoint  {printable(checkpoint)}",
        f"data        {printable(data)}, {count} examples",
        "",
    ]
    if count == 0:
        return "\n".join([*lines, "no example has a label: nothing to evaluate"])
    lines.append(f"{'':31} {'exact accuracy':>15} {'95 % interval':>16} {'cell accuracy':>15}")
    exact, cells = results["exact_accuracy"], results["accuracy"]
    between = _interval(*wilson(round(exact * count), count))
    lines.append(f"{'model':31} {exact:15.4f} {between:>16} {cells:15.4f}")
    for key, name in BASELINES.items():
        exact = results[f"baseline/{key}/exact_accuracy"]
        cells = results[f"baseline/{key}/accuracy"]
        lines.append(f"{'baseline: ' + name:31} {exact:15.4f} {'':16} {cells:15.4f}")
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


def render_more(found: Found) -> list[str]:
    """A block of lines for everything else that was found, but for votes."""
    blocks = []
    if found.paths:
        blocks.append(_paths(found.paths))
    for name, rows in found.breakdown.items():
        blocks.append(_rates({"ratings": "rating", "sources": "source"}[name], rows))
    if found.steps:
        rows = [{**row, "name": row["steps"]} for row in found.steps]
        blocks.append(_rates("ACT steps", rows))
    return blocks


def render_score(score: ArcScore) -> str:
    """pass@k of the votes under both ways of scoring, and what is missing."""
    lines = [
        f"votes over augmentations: {score.tasks} tasks, {score.pairs} test pairs",
        f"{'':10} {'pairs of a task':>17} {'95 % interval':>16} {'whole tasks':>14}"
        f" {'95 % interval':>16}",
    ]
    for k, fraction in score.fraction.items():
        whole = score.all_pairs[k]
        lines.append(
            f"pass@{k:<5} {fraction.value:17.4f} {_interval(fraction.low, fraction.high):>16}"
            f" {whole.value:14.4f} {_interval(whole.low, whole.high):>16}"
        )
    if score.without_votes:
        lines.append(f"without votes: {_few([f'{task}#{n}' for task, n in score.without_votes])}")
    if score.unknown:
        lines.append(f"not scored, their answers are not published: {_few(score.unknown)}")
    return "\n".join(lines)


def render_curve(points: Sequence[CurvePoint]) -> str:
    """Votes against the number of augmentations: a line for each number."""
    lines = [
        f"{'augmentations':>13} {'pass@1':>8} {'pass@2':>8} {'95 % over tasks':>17}"
        f" {'95 % over draws':>17}"
    ]
    rows = {(p.count, p.k): p for p in points if p.scoring == "fraction"}
    for count in dict.fromkeys(count for count, _ in rows):
        one, two = rows[count, 1], rows[count, 2]
        lines.append(
            f"{count or 'all':>13} {one.value:8.4f} {two.value:8.4f}"
            f" {_interval(*two.over_tasks):>17} {_interval(*two.over_draws):>17}"
        )
    lines.append("intervals are those of pass@2; a task counts by the share of its pairs solved")
    return "\n".join(lines)


def _rates(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    rows = [{**row, "name": printable(row["name"])} for row in rows]
    width = max(len(title), *(len(row["name"]) for row in rows))
    lines = [f"{title:{width}} {'examples':>9} {'exact accuracy':>15} {'95 % interval':>16}"]
    lines += [
        f"{row['name']:{width}} {row['count']:9} {row['exact_accuracy']:15.4f}"
        f" {_interval(row['low'], row['high']):>16}"
        for row in rows
    ]
    return "\n".join(lines)


def _paths(paths: Mapping[str, Any]) -> str:
    lines = [f"{'mazes':31} {'rate':>15} {'95 % interval':>16}"]
    names = {"shortest": "a valid shortest path", "paths": "a path from start to goal"}
    for key, name in names.items():
        rate = paths[key]
        between = _interval(rate["low"], rate["high"])
        lines.append(f"{name:31} {rate['rate']:15.4f} {between:>16}")
    return "\n".join(lines)


def _interval(low: float, high: float) -> str:
    return f"{low:.4f}-{high:.4f}"


def _few(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return printable(", ".join(names[:most]) + more)


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
