"""The cells of a scaling measurement as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

NAMES = {
    "first": "plain",
    "halt_head": "halt head",
    "agreement": "agreement",
    "rules": "rules",
    "any": "any (upper bound)",
}
"""Methods as people read them."""


def render_scaling(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for each number of trajectories and method, a column for each number of ACT steps.

    The best of a column is marked `*`, the first of equal ones, the upper bound aside."""
    if not rows or not rows[0]["count"]:
        return "no example has a label: nothing to measure"
    depths = sorted({row["steps"] for row in rows})
    cells = {(row["trajectories"], row["method"], row["steps"]): row for row in rows}
    best = [
        max(
            (row for row in rows if row["steps"] == steps and row["method"] != "any"),
            key=itemgetter("exact"),
        )
        for steps in depths
    ]
    lines = [
        f"exact accuracy of {rows[0]['count']} examples after so many ACT steps",
        f"{'trajectories':>12}  {'answer chosen by':<18}"
        + "".join(f"{steps:>9}" for steps in depths),
    ]
    shown = 0
    for k, method in dict.fromkeys((row["trajectories"], row["method"]) for row in rows):
        marked = [
            (row, "*" if row is first else " ")
            for row, first in zip((cells[k, method, d] for d in depths), best, strict=True)
        ]
        lines.append(
            f"{k if k != shown else '':>12}  {NAMES[method]:<18} "
            + "".join(f"{row['exact_accuracy']:>8.4f}{mark}" for row, mark in marked).rstrip()
        )
        shown = k
    widest = max(max(r["high"] - r["exact_accuracy"], r["exact_accuracy"] - r["low"]) for r in rows)
    return "\n".join(
        [
            *lines,
            "",
            f"95 % intervals reach up to {widest:.3f} to either side; * is the best of a column",
            "cost for each puzzle: trajectories x ACT steps",
        ]
    )
