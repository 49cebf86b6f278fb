"""The learning rate as a function of the step."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hrm_scale.optim.schedule import learning_rate

RATES = st.floats(1e-6, 1.0)
# Below this a rate times a ratio underflows to zero.
RATIOS = st.just(0.0) | st.floats(1e-12, 1.0)
WARMUPS = st.integers(0, 500)
TOTALS = st.integers(1, 3000)


@given(RATES, WARMUPS, TOTALS, RATIOS)
def test_rates_stay_between_zero_and_base(
    base: float, warmup: int, total: int, ratio: float
) -> None:
    for step in {1, warmup - 1, warmup, warmup + 1, total // 2, total} & set(range(1, total + 1)):
        rate = learning_rate(step, base, warmup_steps=warmup, total_steps=total, min_ratio=ratio)
        assert rate * (1 + 1e-9) > 0 or (ratio == 0 and step == total)
        assert rate <= base * (1 + 1e-12)
        if step >= warmup:
            assert rate >= base * ratio * (1 - 1e-12)


@settings(max_examples=40)
@given(RATES, WARMUPS, TOTALS, RATIOS)
def test_rates_rise_in_the_warm_up_and_never_after(
    base: float, warmup: int, total: int, ratio: float
) -> None:
    assume(warmup < total)
    rates = [
        learning_rate(step, base, warmup_steps=warmup, total_steps=total, min_ratio=ratio)
        for step in range(1, total + 1)
    ]
    rising, falling = rates[: max(warmup - 1, 0)], rates[max(warmup - 1, 0) :]
    assert all(a < b for a, b in pairwise(rising))
    assert all(a >= b - 1e-12 * base for a, b in pairwise(falling))
    if warmup:
        assert rates[warmup - 1] == base
        assert rates[0] == pytest.approx(base / warmup)
    assert rates[-1] == pytest.approx(base * ratio, abs=1e-12)


@given(RATES, WARMUPS, st.integers(1, 5000))
def test_a_ratio_of_one_is_constant_after_the_warm_up(base: float, warmup: int, step: int) -> None:
    rate = learning_rate(
        warmup + step, base, warmup_steps=warmup, total_steps=warmup + 5000, min_ratio=1.0
    )
    assert rate == pytest.approx(base, rel=1e-12)


def test_half_way_is_the_middle_of_base_and_minimum() -> None:
    rate = learning_rate(600, 2.0, warmup_steps=100, total_steps=1100, min_ratio=0.5)
    assert rate == pytest.approx(1.5)
    quarter = learning_rate(350, 2.0, warmup_steps=100, total_steps=1100, min_ratio=0.0)
    assert quarter == pytest.approx(1 + math.cos(math.pi / 4))


def test_a_warm_up_longer_than_the_run_never_reaches_base() -> None:
    rate = learning_rate(10, 1.0, warmup_steps=2000, total_steps=10, min_ratio=0.1)
    assert rate == pytest.approx(10 / 2000)
    # The run ends with its warm-up: no division by zero.
    assert learning_rate(10, 1.0, warmup_steps=10, total_steps=10, min_ratio=0.1) == 1.0


def test_without_a_decay_horizon_the_rate_hardly_moves() -> None:
    rate = learning_rate(10_000, 1.0, warmup_steps=10, total_steps=1 << 40, min_ratio=0.0)
    assert rate == pytest.approx(1.0)
