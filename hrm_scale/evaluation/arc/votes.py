"""Collecting votes: every prediction is turned back and counted for the test pair it answers.

What comes out is a function of the rows and their predictions alone: not of the order they come in,
nor of how many processes share them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import numpy as np

from hrm_scale.evaluation.arc.grid_text import read_tokens
from hrm_scale.evaluation.arc.rows import ArcRows
from hrm_scale.evaluation.arc.subsample import PairBallots, Subsample, solved_curve
from hrm_scale.evaluation.arc.task_votes import Candidate, PairVotes, TaskVotes, rank


@dataclass
class Ballots:
    """The votes for a task of which some are still to come: parallel lists, and its grids."""

    numbers: list[int] = field(default_factory=list)
    pairs: list[int] = field(default_factory=list)
    grids: list[int] = field(default_factory=list)
    q: list[float] = field(default_factory=list)
    texts: dict[bytes, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)

    def add(self, number: int, pair: int, text: bytes, q: float) -> None:
        self.numbers.append(number)
        self.pairs.append(pair)
        self.grids.append(self.texts.setdefault(text, len(self.texts)))
        self.q.append(q)

    def extend(self, other: Ballots) -> None:
        texts = list(other.texts)
        for number, pair, grid, q in zip(
            other.numbers, other.pairs, other.grids, other.q, strict=True
        ):
            self.add(number, pair, texts[grid], q)


@dataclass(frozen=True)
class Parts:
    """What one process has: tasks that are finished, and votes for others; by number of task."""

    finished: dict[int, TaskVotes]
    unfinished: dict[int, Ballots]


class ArcVotes:
    """The votes of one evaluation over `rows`.

    chosen: the rows that are asked, by all processes together (default: all). A task all of whose
    chosen rows have come to one process is counted there at once and its votes are let go, so
    memory is bounded where every process is given a stretch of consecutive rows.

    counts: numbers of variants to sub-sample, ascending; then every task gets its `curve` from
    `draws` choices each, keyed by `random_seed` (see `subsample`). None: no curves.
    """

    def __init__(
        self,
        rows: ArcRows,
        chosen: np.ndarray | None = None,
        *,
        counts: Sequence[int] | None = None,
        random_seed: int = 0,
        draws: int = 20,
    ) -> None:
        self._rows = rows
        self._expected = rows.expected(chosen)
        self._plan = None if counts is None else Subsample(tuple(counts), random_seed, draws)
        self._finished: dict[int, TaskVotes] = {}
        self._unfinished: dict[int, Ballots] = {}

    @property
    def held(self) -> int:
        """Votes for tasks that are not finished."""
        return sum(map(len, self._unfinished.values()))

    def add(self, numbers: np.ndarray, predictions: np.ndarray, q: np.ndarray) -> None:
        """Count the answers to some rows, each row once in all.

        numbers: int64 [n], a negative one is padding and left out, as is a row of the blank
        identifier; predictions: tokens [n, 900]; q: sigmoid of the halting logit, float [n], where
        nan counts as 0.
        """
        real = np.flatnonzero(numbers >= 0)
        real = real[self._rows.task_of(numbers[real]) >= 0]
        numbers, q = numbers[real], np.nan_to_num(q[real].astype(np.float64), nan=0.0)
        tasks = self._rows.task_of(numbers).tolist()
        pairs = self._rows.pairs(numbers).tolist()
        texts = read_tokens(predictions[real], self._rows.variants(numbers))
        votes = zip(numbers.tolist(), pairs, texts, q.tolist(), strict=True)
        for task, vote in zip(tasks, votes, strict=True):
            self._unfinished.setdefault(task, Ballots()).add(*vote)
        for task in sorted(set(tasks)):
            if len(self._unfinished[task]) >= self._expected[task]:
                self._finished[task] = self._count(task, self._unfinished.pop(task))

    def parts(self) -> Parts:
        """What this process has collected, to be sent to the one that merges. Can be pickled."""
        return Parts(self._finished, self._unfinished)

    def merge(self, parts: Sequence[Parts]) -> list[TaskVotes]:
        """The votes for all tasks that had chosen rows, from the parts of all processes.

        In the order of the tasks. One without any vote is there too, with empty pairs. ValueError
        when a row voted twice.
        """
        finished: dict[int, TaskVotes] = {}
        unfinished: dict[int, Ballots] = {}
        for part in parts:
            self._reject_twice(finished.keys() & part.finished.keys())
            finished.update(part.finished)
            for task, ballots in part.unfinished.items():
                unfinished.setdefault(task, Ballots()).extend(ballots)
        self._reject_twice(finished.keys() & unfinished.keys())
        for task in np.flatnonzero(self._expected).tolist():
            if task not in finished:
                finished[task] = self._count(task, unfinished.get(task, Ballots()))
        return [finished[task] for task in sorted(finished)]

    def _reject_twice(self, tasks: Set[int]) -> None:
        if tasks:
            name = self._rows.tasks[min(tasks)].name
            raise ValueError(f"rows of task {name} voted twice, or were not chosen")

    def _count(self, number: int, ballots: Ballots) -> TaskVotes:
        task = self._rows.tasks[number]
        rows = np.array(ballots.numbers, np.int64)
        if len(np.unique(rows)) < len(rows) or len(rows) > self._expected[number]:
            self._reject_twice({number})
        order = np.argsort(rows)
        asked = np.array(ballots.pairs, np.int64)[order]
        grids = np.array(ballots.grids, np.int64)[order]
        q = np.array(ballots.q, np.float64)[order]
        texts = list(ballots.texts)
        pairs = []
        for pair in range(len(task.inputs)):
            own = asked == pair
            answer = None if task.answers is None else task.answers[pair]
            pairs.append(_ranked(rows[order][own], grids[own], q[own], texts, answer))
        if self._plan is None:
            return TaskVotes(task.name, tuple(pairs))
        identifiers, variants = np.unique(self._rows.identifiers(rows[order]), return_inverse=True)
        by_pair = []
        for pair, counted in enumerate(pairs):
            right = None if counted.right is None else ballots.texts[counted.answer or b""]
            own = asked == pair
            by_pair.append(PairBallots(grids[own], variants[own], q[own], right))
        curve = solved_curve(self._plan, task.name, by_pair, len(identifiers))
        return TaskVotes(task.name, tuple(pairs), curve)


def _ranked(
    rows: np.ndarray, grids: np.ndarray, q: np.ndarray, texts: list[bytes], answer: bytes | None
) -> PairVotes:
    """Votes for one pair, in the order of their rows, by grid."""
    first: dict[int, int] = {}
    values: dict[int, list[float]] = {}
    for row, grid, value in zip(rows.tolist(), grids.tolist(), q.tolist(), strict=True):
        first.setdefault(grid, row)
        values.setdefault(grid, []).append(value)
    return rank(
        [
            Candidate(texts[grid], len(own), math.fsum(own), first[grid])
            for grid, own in values.items()
        ],
        answer,
    )
