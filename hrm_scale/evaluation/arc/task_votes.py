"""The votes for one task, counted: candidates of each test pair, best first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import zstandard

MOST_CANDIDATES = 1000
"""So many distinct grids of a test pair are kept, and the right one wherever it stands."""


class Candidate(NamedTuple):
    """A grid as text, its votes, the sum of their q, and the first row that voted for it."""

    text: bytes
    votes: int
    q_sum: float
    first: int

    @property
    def rank_key(self) -> tuple[float, float]:
        """Sorts the best first: most votes, then the higher mean q."""
        return -self.votes, -self.q_sum / self.votes


@dataclass(frozen=True, eq=False)
class PairVotes:
    """The candidates of one test pair, ranked; a few bytes each, unpacked when asked for.

    answer: text of the right grid, None where it is not published; right: its place among all
    candidates, from 0, or None when nobody voted for it; votes and distinct: of all candidates,
    also those that are not kept.
    """

    answer: bytes | None
    right: int | None
    votes: int
    distinct: int
    _packed: bytes
    _counts: np.ndarray
    _q_sums: np.ndarray
    _first: np.ndarray

    def candidates(self) -> list[Candidate]:
        """Those kept, best first: the first 1000, and behind them perhaps the right one."""
        texts = zstandard.decompress(self._packed).split(b"\n")
        columns = (self._counts.tolist(), self._q_sums.tolist(), self._first.tolist())
        return [Candidate(*row) for row in zip(texts, *columns, strict=False)]


@dataclass(frozen=True, eq=False)
class TaskVotes:
    """The votes of one evaluation for one task; an entry of `pairs` for every test pair.

    curve: test pairs solved with fewer variants (`subsample`), or None.
    """

    name: str
    pairs: tuple[PairVotes, ...]
    curve: np.ndarray | None = field(default=None, repr=False)

    @property
    def known(self) -> bool:
        """Are all answers published?"""
        return all(pair.answer is not None for pair in self.pairs)

    def solved(self, most: int) -> int:
        """How many test pairs have the right grid among their first `most` candidates."""
        return sum(pair.right is not None and pair.right < most for pair in self.pairs)


def rank(candidates: Iterable[Candidate], answer: bytes | None) -> PairVotes:
    """The votes for a test pair: most votes first, then mean q, then the order they came in."""
    ranked = sorted(candidates, key=lambda candidate: candidate.rank_key)
    texts = [candidate.text for candidate in ranked]
    right = texts.index(answer) if answer is not None and answer in texts else None
    kept = ranked[:MOST_CANDIDATES]
    if right is not None and right >= MOST_CANDIDATES:
        kept.append(ranked[right])
    return PairVotes(
        answer=answer,
        right=right,
        votes=sum(candidate.votes for candidate in ranked),
        distinct=len(ranked),
        _packed=zstandard.compress(b"\n".join(candidate.text for candidate in kept)),
        _counts=np.array([candidate.votes for candidate in kept], np.int32),
        _q_sums=np.array([candidate.q_sum for candidate in kept], np.float64),
        _first=np.array([candidate.first for candidate in kept], np.int64),
    )


def add_votes(evaluations: Sequence[TaskVotes]) -> TaskVotes:
    """The votes of several evaluations for the same task, the earliest first, as one.

    Counts are added and so are sums of q, rounded once for all. Candidates with as many votes and
    the same mean q stand in the order they first came in. What an evaluation did not keep is not
    there to be added; with up to 1000 variants that is nothing. ValueError for different tasks.
    """
    first = evaluations[0]
    answers = [pair.answer for pair in first.pairs]
    for other in evaluations:
        if other.name != first.name or [pair.answer for pair in other.pairs] != answers:
            raise ValueError(f"votes for {other.name} cannot be added to those for {first.name}")
    pairs = []
    for number, answer in enumerate(answers):
        same: dict[bytes, list[Candidate]] = {}
        for evaluation in evaluations:
            own = evaluation.pairs[number].candidates()
            for candidate in sorted(own, key=lambda candidate: candidate.first):
                same.setdefault(candidate.text, []).append(candidate)
        pairs.append(rank([_added(parts) for parts in same.values()], answer))
    return TaskVotes(first.name, tuple(pairs))


def _added(parts: Sequence[Candidate]) -> Candidate:
    votes = sum(part.votes for part in parts)
    q_sum = math.fsum(part.q_sum for part in parts)
    return Candidate(parts[0].text, votes, q_sum, parts[0].first)
