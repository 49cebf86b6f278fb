"""pass@k under both scorings, its intervals, and Kaggle's file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from hrm_scale.base.statistics import wilson
from hrm_scale.evaluation.arc.rows import ArcRows
from hrm_scale.evaluation.arc.score import Estimate, score, submission
from hrm_scale.evaluation.arc.task_votes import Candidate, TaskVotes, rank
from hrm_scale.evaluation.arc.votes import ArcVotes
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
