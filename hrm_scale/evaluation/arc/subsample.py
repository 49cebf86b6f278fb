"""Accuracy with fewer variants, from the votes of one pass over all of them.

For a task, a number n and a draw, n of the variants that voted are chosen by a permutation keyed by
(seed, task's name, draw): a larger n contains the choice of a smaller one, and a task's choice does
not depend on the other tasks. The original is chosen like any other variant.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hrm_scale.base.counter import make_key, permutations
from hrm_scale.base.statistics import Z95, mean_interval
from hrm_scale.evaluation.arc.task_votes import TaskVotes

COUNTS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 600)
CURVE_K = (1, 2)
_CHOICE = 131  # stream of the counter generator
_CLOSE = 1e-9  # far above the rounding of a sum of q, far below what tells means apart


@dataclass(frozen=True)
class Subsample:
    """counts: numbers of variants, ascending, to which "all of them" is added; draws of each."""

    counts: tuple[int, ...] = COUNTS
    random_seed: int = 0
    draws: int = 20

    def choices(self, task: str, variants: int) -> np.ndarray:
        """Permutations of a task's variants, int64 [draws, variants]: the first n are chosen."""
        name = int.from_bytes(hashlib.sha256(task.encode()).digest()[:8], "little")
        keys = [make_key(_CHOICE, self.random_seed, name, draw) for draw in range(self.draws)]
        return permutations(keys, variants)


@dataclass(frozen=True)
class PairBallots:
    """All votes for a test pair, in the order of their rows.

    grids, variants: int64 [n], number of the grid and of the variant; q: float64 [n]; right: the
    number of the right grid, None where it is unknown or has no vote.
    """

    grids: np.ndarray
    variants: np.ndarray
    q: np.ndarray
    right: int | None


def solved_curve(
    plan: Subsample, task: str, pairs: Sequence[PairBallots], variants: int
) -> np.ndarray:
    """Pairs solved with n of the variants, int16 [counts + 1, draws, 2]: within 1 and 2 guesses.

    The last n is all variants; it is also taken where n is larger than their number.
    """
    solved = np.zeros((len(plan.counts) + 1, plan.draws, len(CURVE_K)), np.int16)
    if variants == 0:
        return solved
    places = np.argsort(plan.choices(task, variants), axis=1)
    sizes = [min(count, variants) for count in (*plan.counts, variants)]
    for pair in pairs:
        if pair.right is None:
            continue
        for draw, place in enumerate(places):
            when = place[pair.variants]
            for row, size in enumerate(sizes):
                if row == 0 or size != sizes[row - 1]:
                    before = _before_right(pair, np.flatnonzero(when < size), pair.right)
                solved[row, draw] += [before < k for k in CURVE_K]
    return solved


def _before_right(pair: PairBallots, chosen: np.ndarray, right: int) -> int:
    """Candidates ranked before the right one by the chosen votes; some large number without it.

    The ranking is that of `task_votes.rank`: sums in floating point decide where they are far apart
    and exact ones where they are close.
    """
    grids, q = pair.grids[chosen], pair.q[chosen]
    counts = np.bincount(grids, minlength=right + 1)
    own = int(counts[right])
    if own == 0:
        return len(grids) + max(CURVE_K)
    more = int((counts > own).sum())
    level = np.flatnonzero(counts == own)
    if more >= max(CURVE_K) or len(level) == 1:
        return more
    means = np.bincount(grids, weights=q, minlength=right + 1) / own
    difference = means[level] - means[right]
    more += int((difference > _CLOSE).sum())
    close = level[np.abs(difference) <= _CLOSE]
    best = _exact(grids, q, right)
    for other in close[close != right].tolist():
        if more >= max(CURVE_K):
            break
        more += _exact(grids, q, other) > best
    return more


def _exact(grids: np.ndarray, q: np.ndarray, grid: int) -> tuple[float, int]:
    """Mean q of a grid, then how early it came: the larger goes first."""
    own = np.flatnonzero(grids == grid)
    return math.fsum(q[own].tolist()) / len(own), -int(own[0])


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy with `count` variants a task (None: all), mean over draws and tasks.

    over_tasks: 95 % normal interval of the mean over tasks (of each its mean over draws): what
    other tasks of this kind might give. over_draws: where 95 % of single evaluations of these tasks
    with other variants lie, if they are normal: mean +- 1.96 standard deviations of the draws.
    """

    count: int | None
    k: int
    scoring: str
    value: float
    over_tasks: tuple[float, float]
    over_draws: tuple[float, float]


def augmentation_curve(votes: Sequence[TaskVotes], counts: Sequence[int]) -> list[CurvePoint]:
    """The curves of all tasks with known answers together, by scoring, k and count.

    scoring: "fraction" of a task's pairs that are solved (Kaggle), or "all" of them (HRM).
    counts: those that the votes were collected with. Empty without such tasks.
    """
    curves = [(task.curve, len(task.pairs)) for task in votes if task.known]
    solved = np.array([curve for curve, _ in curves if curve is not None], np.float64)
    if not len(solved):
        return []
    pairs = np.array([number for curve, number in curves if curve is not None])
    shares = solved / pairs[:, None, None, None]
    points = []
    for scoring, table in (("fraction", shares), ("all", (shares == 1.0).astype(np.float64))):
        for at, k in enumerate(CURVE_K):
            for row, count in enumerate([*counts, None]):
                cells = table[:, row, :, at]
                by_draw = cells.mean(axis=0)
                value = float(by_draw.mean())
                half = Z95 * float(by_draw.std(ddof=1)) if len(by_draw) > 1 else 0.0
                points.append(
                    CurvePoint(
                        count,
                        k,
                        scoring,
                        value,
                        mean_interval(cells.mean(axis=1).tolist()),
                        (max(0.0, value - half), min(1.0, value + half)),
                    )
                )
    return points
