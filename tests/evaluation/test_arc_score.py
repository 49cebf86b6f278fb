"""pass@k under both scorings, its intervals, and Kaggle's file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from hrm_scale.evaluation.arc.rows import ArcRows
from hrm_scale.evaluation.arc.score import Estimate, score, submission
from hrm_scale.evaluation.arc.task_votes import Candidate, TaskVotes, rank
from hrm_scale.evaluation.arc.votes import ArcVotes
from hrm_scale.evaluation.interval import mean_interval, wilson
from tests.support.arc_asked import Grid, asked, tokens_for, variants

RIGHT, WRONG = b"1/2", b"345"


def pair(*texts: bytes, answer: bytes | None = RIGHT) -> object:
    """Candidates in this order, the first with the most votes."""
    made = [Candidate(text, len(texts) - n, 0.5, n) for n, text in enumerate(texts)]
    return rank(made, answer)


def task(name: str, *pairs: object) -> TaskVotes:
    return TaskVotes(name, tuple(pairs))  # type: ignore[arg-type]


def test_both_scorings_of_a_task_with_two_pairs() -> None:
    others = [b"0" * n for n in range(1, 5)]
    votes = [task("half", pair(WRONG, RIGHT), pair(*others, RIGHT))]
    result = score(votes)
    assert {k: result.fraction[k].value for k in (1, 2, 5)} == {1: 0.0, 2: 0.5, 5: 1.0}
    assert {k: result.all_pairs[k].value for k in (1, 2, 5)} == {1: 0.0, 2: 0.0, 5: 1.0}
    assert (result.tasks, result.pairs) == (1, 2)


def test_tasks_count_alike_however_many_pairs() -> None:
    votes = [
        task("a", pair(RIGHT)),
        task("b", pair(WRONG), pair(RIGHT), pair(RIGHT)),
        task("c", pair(WRONG)),
        task("d", pair(RIGHT), pair(RIGHT)),
    ]
    result = score(votes)
    assert math.isclose(result.fraction[1].value, (1 + 2 / 3 + 0 + 1) / 4)
    assert result.all_pairs[1] == Estimate(0.5, *wilson(2, 4))
    assert sorted(result.fraction) == sorted(result.all_pairs) == [1, 2, 5, 10, 100, 1000]
    for estimate in (*result.fraction.values(), *result.all_pairs.values()):
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_unknown_tasks_are_left_out_and_named() -> None:
    votes = [
        task("known", pair(RIGHT), pair()),
        task("unknown", pair(WRONG, answer=None), pair(answer=None)),
    ]
    result = score(votes)
    assert (result.tasks, result.pairs, result.unknown) == (1, 2, ("unknown",))
    assert result.fraction[1].value == 0.5
    assert result.without_votes == (("known", 1), ("unknown", 1))
    nothing = score([votes[1]])
    assert (nothing.tasks, nothing.fraction[2]) == (0, Estimate(0.0, 0.0, 1.0))


def test_submission_has_two_attempts_for_every_pair() -> None:
    votes = [
        task("many", pair(WRONG, RIGHT, b"7"), pair(RIGHT)),
        task("odd", pair(), pair(b"", b"9"), pair(b"8", b"", answer=None)),
    ]
    content = submission(votes)
    wrong, right = [[3, 4, 5]], [[1], [2]]
    assert content == {
        "many": [
            {"attempt_1": wrong, "attempt_2": right},
            {"attempt_1": right, "attempt_2": right},
        ],
        "odd": [
            {"attempt_1": [[0]], "attempt_2": [[0]]},
            {"attempt_1": [[0]], "attempt_2": [[9]]},
            {"attempt_1": [[8]], "attempt_2": [[0]]},
        ],
    }
    assert json.loads(json.dumps(content)) == content


def test_submission_of_real_votes_is_in_the_order_of_the_pairs(tmp_path: Path) -> None:
    grids: list[Grid] = [[[n]] for n in range(1, 4)]
    rows: ArcRows = asked(tmp_path, {"x": [(g, [[5, *g[0]]]) for g in grids]}, variants(3))
    numbers = np.arange(9)[::-1]
    wanted = [[[5, *grids[pair][0]]] for pair in rows.pairs(numbers)]
    votes = ArcVotes(rows)
    votes.add(numbers, tokens_for(rows, numbers.tolist(), wanted), np.ones(9))
    content = submission(votes.merge([votes.parts()]))
    assert [entry["attempt_1"] for entry in content["x"]] == [[[5, n]] for n in (1, 2, 3)]


# --- intervals ------------------------------------------------------------------------------------


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
