"""Means and 95 % confidence intervals of few values: Student's t, and Wilson's for a share."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

LEVEL = 0.95
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
        return wilson(mean, examples)
    return None


def wilson(share: float, count: float) -> Interval:
    """Wilson's score interval of a share of `count` independent trials (E. B. Wilson, 1927)."""
    z = statistics.NormalDist().inv_cdf(0.5 + LEVEL / 2)
    middle = share + z * z / (2 * count)
    reach = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return Interval(
        max((middle - reach) / scale, 0.0), min((middle + reach) / scale, 1.0), EXAMPLES
    )


@lru_cache(maxsize=256)
def t_quantile(level: float, freedom: int) -> float:
    """The t with P(-t < T < t) = `level`, for T of Student's distribution with `freedom` degrees of
    freedom. Raises ValueError outside 0 < level < 1 and freedom >= 1."""
    if not 0 < level < 1 or freedom < 1:
        raise ValueError(f"no quantile for level={level} and freedom={freedom}")
    low, high = 0.0, 1.0
    while _within(high, freedom) < level:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _within(middle, freedom) < level else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """P(-t < T < t) by the finite series for whole degrees of freedom (Abramowitz and Stegun, 1964,
    26.7.3 and 26.7.4)."""
    angle = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for number in range(2 + odd, freedom - 1, 2):
        term *= cosine * cosine * (number - 1) / number
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
