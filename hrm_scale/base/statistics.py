"""Statistics of measured numbers: 95 % confidence intervals of rates and means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

LEVEL = 0.95
Z95 = 1.959963984540054
"""The normal distribution has 95 % between -Z95 and Z95."""


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """The score interval of a proportion of independent trials, (low, high) in 0 ... 1.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference", J. Amer.
    Stat. Assoc. 22: 209-212. Unlike the normal interval it keeps its width at 0 and at all
    successes. (0, 1) for no trial. ValueError for successes that are not 0 ... trials.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    if trials == 0:
        return 0.0, 1.0
    rate, weight = successes / trials, Z95**2 / trials
    centre = (rate + weight / 2) / (1 + weight)
    half = Z95 / (1 + weight) * math.sqrt(rate * (1 - rate) / trials + weight / (4 * trials))
    # Rounding must not cut off the rate itself at the ends.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return low, 1.0 if successes == trials else min(1.0, centre + half)


def exact_row(exact: int, count: int) -> dict[str, float]:
    """Columns of a table of exact accuracy: `count`, `exact` and the rate with its `wilson`."""
    low, high = wilson(exact, count)
    rate = exact / max(count, 1)
    return {"count": count, "exact": exact, "exact_accuracy": rate, "low": low, "high": high}


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The normal interval of the mean of independent values in 0 ... 1, cut to 0 ... 1.

    mean +- Z95 * s / sqrt(n), s being the sample's standard deviation. Where all values are the
    same that would be no width at all: there it is `wilson` of their sum, which is too wide rather
    than too narrow, since no values of this mean vary more than zeros and ones.
    """
    count = len(values)
    total = math.fsum(values)
    if count == 0 or min(values) == max(values):
        return wilson(total, count)
    mean = total / count
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = Z95 * spread / math.sqrt(count)
    return max(0.0, mean - half), min(1.0, mean + half)


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
