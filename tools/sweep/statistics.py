"""Interval of a mean over seeds: Student's t, and Wilson's where only the examples can tell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from hrm_scale.base.statistics import LEVEL, t_quantile, wilson

SEEDS, EXAMPLES = "seeds", "examples"


@dataclass(frozen=True)
class Interval:
    """Lower and upper end, and what it is over: `SEEDS` (Student's t: would another training end
    there too?) or `EXAMPLES` (Wilson: would other examples be solved as often by this model?)."""

    low: float
    high: float
    over: str

    def overlaps(self, other: Interval) -> bool:
        return self.low <= other.high and other.low <= self.high


def interval_of(
    values: Sequence[float], examples: float | None, *, share: bool, bounded: bool
) -> Interval | None:
    """The interval of the mean of `values`, one a seed; None when nothing can be said.

    examples: how many were evaluated. share: a value is the share of them that is right, each
    right or wrong. bounded: values lie between 0 and 1, so the interval is cut off there.

    One seed says nothing about another one, and equal results of several seeds would give an
    interval of no width: in both cases what remains is the chance of the examples, where there is
    a share to compute it of.
    """
    if not values:
        return None
    mean = statistics.fmean(values)
    if len(values) > 1 and min(values) < max(values):
        error = statistics.stdev(values) / math.sqrt(len(values))
        reach = t_quantile(LEVEL, len(values) - 1) * error
        low, high = mean - reach, mean + reach
        if bounded:
            low, high = max(low, 0.0), min(high, 1.0)
        return Interval(low, high, SEEDS)
    if share and examples and 0 <= mean <= 1:
        return Interval(*wilson(mean * examples, examples), EXAMPLES)
    return None
