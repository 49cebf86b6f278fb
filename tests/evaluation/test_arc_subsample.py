"""Accuracy with fewer variants: which are chosen, and that their votes alone say the same."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_scale.base.statistics import mean_interval
from hrm_scale.evaluation.arc.rows import ArcRows
from hrm_scale.evaluation.arc.score import score
from hrm_scale.evaluation.arc.subsample import (
    PairBallots,
    Subsample,
    augmentation_curve,
    solved_curve,
)
from hrm_scale.evaluation.arc.task_votes import TaskVotes, rank
from hrm_scale.evaluation.arc.votes import ArcVotes
from tests.support.arc_asked import Grid, asked, tokens_for, variants

GRIDS: list[Grid] = [[[1, 1], [1, 0]], [[2]], [[0, 3, 3]], [[4], [4]]]
COUNTS = (1, 2, 5, 30)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> ArcRows:
    tasks = {
        "a": [([[1]], GRIDS[0]), ([[2]], GRIDS[1])],
        "b": [([[3]], GRIDS[0])],
        "c": [([[1]], GRIDS[2])],
    }
    return asked(tmp_path_factory.mktemp("rows"), tasks, variants(12))


def answers(rows: ArcRows, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions that are right about as often as not, and their q, of which many are the same."""
    random = np.random.default_rng(seed)
    grids = [GRIDS[k] for k in random.choice(4, len(rows), p=[0.4, 0.3, 0.2, 0.1])]
    tokens = tokens_for(rows, range(len(rows)), grids)
    return tokens, random.choice([0.1, 0.2, 0.3, 0.9], len(rows))


def collect(
    rows: ArcRows, tokens: np.ndarray, q: np.ndarray, some: np.ndarray, **settings: Any
) -> list[TaskVotes]:
    votes = ArcVotes(rows, some, **settings)
    votes.add(some, tokens[some], q[some])
    return votes.merge([votes.parts()])


def test_choices_are_nested_seeded_and_of_each_task() -> None:
    plan = Subsample((1, 2), random_seed=3, draws=4)
    chosen = plan.choices("007bbfb7", 50)
    assert chosen.shape == (4, 50)
    assert (np.sort(chosen, axis=1) == np.arange(50)).all()
    assert len({tuple(row) for row in chosen.tolist()}) == 4
    assert np.array_equal(chosen, Subsample((), 3, 4).choices("007bbfb7", 50))
    assert np.array_equal(chosen[:2], Subsample((), 3, 2).choices("007bbfb7", 50))
    assert not np.array_equal(chosen, Subsample((), 4, 4).choices("007bbfb7", 50))
    assert not np.array_equal(chosen, plan.choices("00576224", 50))
    # Pinned: a published curve can be made again.
    assert plan.choices("007bbfb7", 8)[0].tolist() == [2, 6, 0, 3, 1, 5, 4, 7]


def test_the_original_is_chosen_like_any_other() -> None:
    firsts = Subsample((), 0, 4000).choices("x", 10)[:, 0]
    shares = np.bincount(firsts, minlength=10) / 4000
    assert (np.abs(shares - 0.1) < 0.025).all()


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_sub_sample_is_what_its_rows_alone_say(rows: ArcRows, seed: int) -> None:
    tokens, q = answers(rows, seed)
    everything = np.arange(len(rows))
    plan = Subsample(COUNTS, seed, 3)
    found = collect(rows, tokens, q, everything, counts=COUNTS, random_seed=seed, draws=3)
    for number, task in enumerate(found):
        assert task.curve is not None
        own = everything[rows.task_of(everything) == number]
        identifiers = rows.identifiers(own)
        first = identifiers.min()
        for draw, choice in enumerate(plan.choices(task.name, 12)):
            for row, count in enumerate([*COUNTS, 12]):
                some = own[np.isin(identifiers - first, choice[:count])]
                (alone,) = collect(rows, tokens, q, some)
                assert task.curve[row, draw].tolist() == [alone.solved(1), alone.solved(2)]


def test_all_variants_are_no_sub_sample(rows: ArcRows) -> None:
    tokens, q = answers(rows, 1)
    everything = np.arange(len(rows))
    plain = collect(rows, tokens, q, everything)
    found = collect(rows, tokens, q, everything, counts=COUNTS, draws=5)
    assert all(task.curve is None for task in plain)
    result = score(plain)
    points = augmentation_curve(found, COUNTS)
    assert len(points) == 2 * 2 * 5
    for point in points:
        if point.count in (None, 30):  # 30 of the 12 there are
            table = result.fraction if point.scoring == "fraction" else result.all_pairs
            assert point.value == pytest.approx(table[point.k].value)
            assert point.over_draws == pytest.approx((point.value, point.value))
    assert augmentation_curve(plain, COUNTS) == []


def test_a_curve_says_over_what_it_is_uncertain() -> None:
    """Two tasks, two draws, one count: first guesses 1, 0 and 1, 1 of 2 and 1 pairs."""
    curves = [np.zeros((2, 2, 2), np.int16) for _ in range(2)]
    curves[0][0, :, 0] = [2, 1]
    curves[1][0, :, 0] = [1, 0]
    pair = rank([], b"1")
    tasks = [TaskVotes("a", (pair, pair), curves[0]), TaskVotes("b", (pair,), curves[1])]
    points = {(p.scoring, p.k, p.count): p for p in augmentation_curve(tasks, (3,))}
    fraction, whole = points["fraction", 1, 3], points["all", 1, 3]
    assert (fraction.value, whole.value) == (0.625, 0.5)
    assert fraction.over_tasks == mean_interval([0.75, 0.5])
    assert whole.over_tasks == mean_interval([0.5, 0.5])
    half = 1.959963984540054 * np.std([1.0, 0.25], ddof=1)
    assert fraction.over_draws == (max(0, 0.625 - half), min(1, 0.625 + half))


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 40]))
def test_close_sums_are_told_apart_exactly(seed: int, kinds: int) -> None:
    """Against a plain ranking, with q whose sums differ in the last bit or not at all."""
    random = np.random.default_rng(seed)
    grids = random.integers(0, kinds + 1, 60)
    q = random.choice([0.1, 0.2, 0.30000000000000004, 0.3], 60)
    pair = PairBallots(grids, np.arange(60), q, right=0)
    curve = solved_curve(Subsample((7, 25), seed, 2), "t", [pair], 60)
    for draw, choice in enumerate(Subsample((), seed, 2).choices("t", 60)):
        for row, count in enumerate((7, 25, 60)):
            some = np.sort(choice[:count])
            table: dict[int, list[float]] = {}
            for grid, value in zip(grids[some].tolist(), q[some].tolist(), strict=True):
                table.setdefault(grid, []).append(value)
            key = {g: (-len(v), -math.fsum(v) / len(v)) for g, v in table.items()}
            best = sorted(table, key=key.__getitem__)
            assert curve[row, draw].tolist() == [0 in best[:1], 0 in best[:2]]


def test_a_task_without_votes_solves_nothing(rows: ArcRows) -> None:
    votes = ArcVotes(rows, counts=COUNTS, draws=2)
    for task in votes.merge([]):
        assert task.curve is not None
        assert not task.curve.any()


def test_a_curve_of_real_votes_rises(tmp_path: Path) -> None:
    """One right vote in two, and wrong ones that all differ: more variants, more solved."""
    rows = asked(tmp_path, {f"t{n}": [([[1]], GRIDS[0])] for n in range(10)}, variants(40))
    random = np.random.default_rng(0)
    numbers = np.arange(len(rows))
    grids = [
        GRIDS[0] if right else [[n // 100, n // 10 % 10, n % 10]]
        for n, right in enumerate(random.random(len(rows)) < 0.5)
    ]
    votes = ArcVotes(rows, counts=(1, 3, 10))
    votes.add(numbers, tokens_for(rows, numbers.tolist(), grids), np.full(len(rows), 0.5))
    points = augmentation_curve(votes.merge([votes.parts()]), (1, 3, 10))
    values = [point.value for point in points[:4]]
    assert values == sorted(values)
    assert 0.4 < values[0] < 0.6
    assert values[-1] == 1.0
    for point in points:
        assert point.over_tasks[0] <= point.value <= point.over_tasks[1]
        assert point.over_draws[0] <= point.value <= point.over_draws[1]
