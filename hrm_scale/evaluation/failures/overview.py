"""The upper half of the page: what can be said of all rows, as HTML."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import torch

from hrm_scale.base.statistics import wilson
from hrm_scale.evaluation.failures.charts import bars, board_heat, heat, rate_bar
from hrm_scale.evaluation.failures.facts import KINDS
from hrm_scale.evaluation.failures.records import FailureReport
from hrm_scale.evaluation.observers.breakdown import Breakdown

_BARS = 20
_LEVELS = 8


def headline(report: FailureReport) -> str:
    """The numbers that matter most, with their 95 % intervals."""
    sums = report.sums
    rows, right = int(sums["rows"]), int(sums["right"][-1])
    lost = int(sums["kinds"][[kind.key for kind in KINDS].index("lost")])
    wrong, labelled = int(sums["wrong_at"].sum()), int(sums["labelled_at"].sum())
    spread = np.repeat(np.arange(sums["wrong"].shape[1]), sums["wrong"].sum(0))[right:]
    typical = "–"
    if len(spread):
        low, middle, high = np.percentile(spread, (25, 50, 75))
        typical = f"{middle:g}<small>half of them {low:g} to {high:g}</small>"
    numbers = [
        ("exact accuracy", _rate(right, rows)),
        ("failing puzzles", f"{rows - right:,}<small>of {rows:,}</small>"),
        ("right after any step", _rate(right + lost, rows)),
        ("cell accuracy", f"{1 - wrong / max(1, labelled):.2%}"),
        ("wrong cells of a failing puzzle", typical),
    ]
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in numbers)


def _rate(count: int, trials: int) -> str:
    low, high = wilson(count, trials)
    return f"{count / max(1, trials):.1%}<small>{low:.1%} to {high:.1%}</small>"


def kinds_table(report: FailureReport) -> str:
    """Rows of the table of the kinds of failure."""
    failing = int(report.sums["rows"]) - int(report.sums["right"][-1])
    lines = []
    for kind, count in zip(KINDS, report.sums["kinds"].tolist(), strict=True):
        if kind.key == "broken" and not report.meta.puzzle.has_rules:
            continue
        name = f"<b>{escape(kind.name)}</b><p>{escape(kind.meaning)}</p>"
        lines.append(_row(name, count, failing, *wilson(count, failing)))
    return "".join(lines)


def _row(name: str, count: int, trials: int, low: float, high: float) -> str:
    """A line of a table of rates. `name` is HTML."""
    rate = count / max(1, trials)
    return (
        f'<tr><th scope="row">{name}</th><td class="wide">{rate_bar(rate, low, high)}</td>'
        f"<td>{rate:.1%}</td><td>{low:.1%} to {high:.1%}</td>"
        f"<td>{count:,} of {trials:,}</td></tr>"
    )


def breakdowns(report: FailureReport) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Exact accuracy by rating and by source: rows as `Breakdown.result` has them, or none."""
    tables = Breakdown(report.meta, torch.device("cpu")).result(
        {name: torch.from_numpy(report.sums[name]) for name in ("ratings", "sources")}
    )
    return tables.get("ratings", []), tables.get("sources", [])


def rates_table(by: str, rows: list[dict[str, Any]]) -> str:
    """A table of exact accuracies that can be folded."""
    lines = "".join(
        _row(escape(row["name"]), row["exact"], row["count"], row["low"], row["high"])
        for row in rows
    )
    return (
        f'<details class="card scroll" open><summary>Exact accuracy by {escape(by)}</summary>'
        f'<table class="rates"><tbody>{lines}</tbody></table></details>'
    )


def wrong_chart(report: FailureReport) -> str:
    """Failing puzzles by their wrong cells."""
    counts = report.sums["wrong"].sum(0)
    values, labels, titles = [], [], []
    for low, high in wrong_bins(counts, _BARS):
        values.append(int(counts[low : high + 1].sum()))
        labels.append(_span(low, high) if low == high else f"{low}")
        titles.append(f"{_span(low, high)} wrong cells: {values[-1]:,} puzzles")
    labels = [text if at % (1 + len(labels) // 11) == 0 else "" for at, text in enumerate(labels)]
    name = "Failing puzzles by wrong cells at the last step"
    return bars(values, labels, titles, name=name, axis="wrong cells")


def wrong_bins(counts: np.ndarray, most: int) -> list[tuple[int, int]]:
    """At most `most` ranges (first, last) of equal width that hold all of 1 ... the largest number
    with a count; at least one."""
    largest = int(np.flatnonzero(counts).max(initial=1))
    width = -(-max(1, largest) // most)
    return [(low, low + width - 1) for low in range(1, max(1, largest) + 1, width)]


def _span(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low}–{high}"


def rating_chart(report: FailureReport, names: list[str]) -> str:
    """Wrong cells by rating: of the puzzles of each bin of ratings, how many percent are how wrong.
    names: of the bins that hold any puzzle."""
    table = report.sums["wrong"][:-1]
    table = table[table.sum(1) > 0]
    levels = [*wrong_bins(table.sum(0), _LEVELS)[::-1], (0, 0)]
    rating = report.meta.puzzle.rating
    counts = np.array([table[:, low : high + 1].sum(1) for low, high in levels])
    totals = counts.sum(0)
    titles = []
    for level, line in zip(levels, counts.tolist(), strict=True):
        what = f"puzzles have {_span(*level)} wrong cells"
        bins = zip(names, line, totals.tolist(), strict=True)
        titles.append([f"{rating} {name}: {n:,} of {of:,} {what}" for name, n, of in bins])
    return heat(
        counts / totals,
        [name.replace(" to ", "–").replace(" and up", "+") for name in names],
        [_span(*level) if level[0] else "right" for level in levels],
        titles,
        name=f"Wrong cells by {rating}, percent of the puzzles of each bin",
        axis=rating,
    )


def step_charts(report: FailureReport) -> str:
    """All rows after each ACT step: share that is right, cells that changed."""
    rows, steps = int(report.sums["rows"]), range(1, report.steps + 1)
    right, changed = report.sums["right"], report.sums["changed"]
    every = 1 + len(right) // 17
    labels = [f"{step}" if (step - 1) % every == 0 else "" for step in steps]
    shares, moved = (right / rows).tolist(), (changed / rows).tolist()
    first = bars(
        shares,
        labels,
        [f"step {n}: {share:.1%} are right" for n, share in zip(steps, shares, strict=True)],
        name="Share of puzzles that are right after each ACT step",
        axis="share right after ACT step",
        percent=True,
        height=140,
    )
    second = bars(
        moved,
        labels,
        [f"step {n}: {cells:.2f} cells changed" for n, cells in zip(steps, moved, strict=True)],
        name="Mean number of cells that changed at each ACT step",
        axis="cells changed at ACT step, mean",
        height=140,
    )
    return first + second


def break_chart(report: FailureReport) -> str:
    """Failing puzzles by the first ACT step whose answer breaks a rule."""
    counts = report.sums["broken"].tolist()
    counts = [*counts[1:], counts[0]]
    steps = [*(f"{step}" for step in range(1, len(counts))), "never"]
    every = 1 + len(steps) // 17
    labels = [s if at % every == 0 or s == "never" else "" for at, s in enumerate(steps)]
    titles = [f"{step}: {n:,} puzzles" for step, n in zip(steps, counts, strict=True)]
    name = "Failing puzzles by first contradiction"
    return bars(counts, labels, titles, name=name, axis="ACT step of the first contradiction")


def place_chart(report: FailureReport) -> str:
    """The board, each cell by how often it is wrong at the last step."""
    board = report.meta.puzzle
    wrong, labelled = report.sums["wrong_at"], report.sums["labelled_at"]
    shares = np.full(board.height * board.width, np.nan)
    known = np.flatnonzero(labelled)
    shares[known] = wrong[known] / labelled[known]
    titles = [""] * len(shares)
    for at in known.tolist():
        row, column = divmod(at, board.width)
        where = f"row {row + 1}, column {column + 1}"
        titles[at] = f"{where}: wrong in {wrong[at]:,} of {labelled[at]:,} puzzles"
    name = "Share of puzzles in which each cell is wrong at the last step"
    return board_heat(shares.reshape(board.height, board.width), board.drawing.lines, titles, name)
