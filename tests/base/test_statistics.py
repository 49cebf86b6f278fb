"""95 % intervals of rates and means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_scale.base.statistics import exact_row, mean_interval, t_quantile, wilson


def test_wilson_is_where_the_score_test_ends() -> None:
    """Its ends are the rates p with (x/n - p)^2 = z^2 p (1 - p) / n: Wilson's definition."""
    for successes, trials in ((1, 2), (40, 400), (399, 400), (3, 7)):
        for end in wilson(successes, trials):
            gap = (successes / trials - end) ** 2 - 1.959963984540054**2 * end * (1 - end) / trials
            assert abs(gap) < 1e-12
    low, high = wilson(0, 10)
    assert (low, round(high, 4)) == (0.0, 0.2775)
    low, high = wilson(10, 10)
    assert (round(low, 4), high) == (0.7225, 1.0)
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)


def test_interval_of_a_mean() -> None:
    values = [0.0, 0.5, 1.0, 1.0, 0.5, 0.0, 0.5, 0.5]
    half = 1.959963984540054 * np.std(values, ddof=1) / math.sqrt(8)
    assert mean_interval(values) == pytest.approx((0.5 - half, 0.5 + half))
    assert mean_interval([0.0, 0.0, 1.0])[0] == 0.0
    assert mean_interval([1.0] * 5) == wilson(5, 5)
    assert mean_interval([0.25]) == wilson(0.25, 1)
    assert mean_interval([]) == (0.0, 1.0)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    hits = {"wilson": 0, "mean": 0}
    for _ in range(2000):
        solved = random.random((100, 2)) < 0.3
        low, high = wilson(int(solved[:, 0].sum()), 100)
        hits["wilson"] += low <= 0.3 <= high
        low, high = mean_interval(solved.mean(axis=1).tolist())
        hits["mean"] += low <= 0.3 <= high
    assert all(0.93 < count / 2000 < 0.97 for count in hits.values()), hits


def test_wilson_of_the_textbook() -> None:
    assert wilson(8, 10) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert 0 < wilson(0, 500)[1] < 0.01


def test_a_row_of_exact_accuracy() -> None:
    low, high = wilson(3, 4)
    row = {"count": 4, "exact": 3, "exact_accuracy": 0.75, "low": low, "high": high}
    assert list(exact_row(3, 4).items()) == list(row.items())
    assert exact_row(0, 0)["exact_accuracy"] == 0


@pytest.mark.parametrize(
    ("freedom", "expected"),
    # From published tables of Student's t, two-sided 95 %.
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (30, 2.042)],
)
def test_quantiles_of_student(freedom: int, expected: float) -> None:
    assert t_quantile(0.95, freedom) == pytest.approx(expected, abs=5e-4)


def test_more_quantiles_of_student() -> None:
    assert t_quantile(0.99, 2) == pytest.approx(9.925, abs=5e-4)
    assert t_quantile(0.5, 1) == pytest.approx(1.0)
    assert t_quantile(0.95, 5000) == pytest.approx(1.96, abs=1e-3)
    for level, freedom in ((0.0, 3), (1.0, 3), (0.95, 0)):
        with pytest.raises(ValueError, match="quantile"):
            t_quantile(level, freedom)


@given(freedom=st.integers(1, 40), level=st.floats(0.05, 0.99))
@settings(deadline=None, max_examples=25)
def test_the_quantile_encloses_its_share_of_the_density(freedom: int, level: float) -> None:
    # By integration: x = sqrt(freedom) tan(a) makes the density proportional to cos^(freedom-1).
    end = math.atan2(t_quantile(level, freedom), math.sqrt(freedom))

    def area(to: float) -> float:
        middle = (np.arange(20_000) + 0.5) / 20_000 * to
        return float(np.mean(np.cos(middle) ** (freedom - 1)) * to)

    assert area(end) / area(math.pi / 2) == pytest.approx(level, abs=1e-5)
