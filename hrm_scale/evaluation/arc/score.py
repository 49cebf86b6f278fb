"""What the votes are worth: pass@k under both ways of scoring, and the file Kaggle asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hrm_scale.base.statistics import mean_interval, wilson
from hrm_scale.evaluation.arc.grid_text import to_rows
from hrm_scale.evaluation.arc.task_votes import PairVotes, TaskVotes

PASS_K = (1, 2, 5, 10, 100, 1000)
ATTEMPTS = 2
_NO_GRID = [[0]]


@dataclass(frozen=True)
class Estimate:
    """A rate over tasks and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ArcScore:
    """pass@k over the tasks whose answers are published.

    fraction: by k, the share of a task's test pairs that are solved, averaged over tasks (Kaggle's
    and TRM's scoring), with a normal interval (`mean_interval`); all_pairs: by k, the share of
    tasks with every test pair solved (HRM's), with a Wilson interval. A pair is solved when the
    right grid is among its first k candidates; without votes it is not.

    tasks, pairs: how many are scored; unknown: names of tasks left out because their answers are
    not published; without_votes: (task, number of the pair) of test pairs nobody voted for, known
    or not.
    """

    tasks: int
    pairs: int
    fraction: dict[int, Estimate]
    all_pairs: dict[int, Estimate]
    unknown: tuple[str, ...]
    without_votes: tuple[tuple[str, int], ...]


def score(votes: Sequence[TaskVotes]) -> ArcScore:
    """The score of the votes of an evaluation (or of several, added)."""
    known = [task for task in votes if task.known]
    fraction, all_pairs = {}, {}
    for k in PASS_K:
        shares = [task.solved(k) / len(task.pairs) for task in known]
        whole = sum(share == 1.0 for share in shares)
        count = max(1, len(known))
        fraction[k] = Estimate(math.fsum(shares) / count, *mean_interval(shares))
        all_pairs[k] = Estimate(whole / count, *wilson(whole, len(known)))
    return ArcScore(
        tasks=len(known),
        pairs=sum(len(task.pairs) for task in known),
        fraction=fraction,
        all_pairs=all_pairs,
        unknown=tuple(task.name for task in votes if not task.known),
        without_votes=tuple(
            (task.name, number)
            for task in votes
            for number, pair in enumerate(task.pairs)
            if not pair.votes
        ),
    )


def submission(votes: Sequence[TaskVotes]) -> dict[str, list[dict[str, Any]]]:
    """The content of Kaggle's `submission.json`: two attempts for every test pair, in order.

    Where there is one candidate it is both attempts. For a pair without votes the published
    evaluator leaves the list too short, which Kaggle refuses: here both attempts are [[0]], and
    `ArcScore.without_votes` names the pair. A candidate of 0x0, no grid to Kaggle, is [[0]] too.
    """
    return {task.name: [_attempts(pair) for pair in task.pairs] for task in votes}


def _attempts(pair: PairVotes) -> dict[str, Any]:
    grids = [to_rows(candidate.text) or _NO_GRID for candidate in pair.candidates()[:ATTEMPTS]]
    grids = grids or [_NO_GRID]
    return {f"attempt_{n + 1}": grids[min(n, len(grids) - 1)] for n in range(ATTEMPTS)}
